"""The loss and the metrics of a split, from scores and targets that arrive in chunks: a split may be of any size.

The mean squared and absolute errors and the confusion matrix are torchmetrics'. R² and the area under the ROC curve are
not: torchmetrics' R² treats small errors as none whatever the unit of the targets, and its ROC curves take longer than
counting ranks. Shapes as in `task.py`.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional import classification as classes
from torchmetrics.functional import regression as values

from fulmen.data.source import DataSpec
from fulmen.data.tensors import Rows, chunks
from fulmen.tasks.losses import Loss
from fulmen.tasks.task import Task

RANKED = 2**24
"""Probabilities kept for the area under the ROC curve. If the rows have more in all, every n-th row counts."""
AT_ONCE = 2**16
SMALLEST_ERROR = 1e-4
"""A sum of squared errors, in units of the targets' variance, up to which R² is 1."""


class StreamingMetrics:
    """The loss and the metrics of the rows seen so far.

    Args:
        task: how scores are read and measured.
        loss: a mean over rows, or a sum.
        rows: the number of rows there will be.
    """

    def __init__(self, task: Task, loss: Loss, rows: int) -> None:
        self.loss, self.task, self.rows = loss, task, rows
        self.total = 0.0
        self.metrics = Errors(task, rows) if task.kind == "regression" else Classes(task, rows)

    def add(self, out: Tensor, y: Tensor) -> None:
        """Adds the scores and targets of further rows."""
        self.total += self.loss(out, y, self.task).item() * (1 if self.loss.reduction == "sum" else len(y) / self.rows)
        self.metrics.add(out, y)

    def results(self) -> dict[str, float]:
        """Returns the loss, and the metrics without those that are undefined or infinite."""
        found = self.metrics.results()
        return {"loss": self.total, **{name: value for name, value in found.items() if math.isfinite(value)}}


class Errors:
    """Metrics of regression.

    Errors are measured in the targets' own units, by their std alone: adding the mean would only blur differences.
    R² is measured in units of the first chunk's std, because squares of large numbers lose what is small.
    """

    def __init__(self, task: Task, rows: int) -> None:
        self.task, self.rows = task, rows
        self.mse = self.mae = 0.0
        self.first: Tensor | None = None
        self.unit: tuple[Tensor, Tensor] | None = None
        """Mean and std of the first chunk's targets, both [T]."""
        self.sums = torch.zeros(3, 1, dtype=torch.float64)
        """Sums of squared errors, squared targets and targets, [3, T]."""

    def add(self, out: Tensor, y: Tensor) -> None:
        """Adds scores and targets, [B, T]."""
        if self.first is None:
            self.first, self.varies = y[0], torch.zeros_like(y[0], dtype=torch.bool)
        self.varies |= (y != self.first).any(0)
        std, share = out.new_tensor(self.task.std), len(y) / self.rows
        out, y = out * std, y * std
        self.mse += values.mean_squared_error(out, y).item() * share
        self.mae += values.mean_absolute_error(out, y).item() * share
        if self.unit is None:
            spread = y.std(0, correction=0)
            self.unit = y.mean(0), torch.where(spread > 0, spread, 1)
        mean, spread = self.unit
        y, out = (y - mean) / spread, (out - mean) / spread
        self.sums = self.sums + torch.stack([(y - out).square().sum(0), y.square().sum(0), y.sum(0)]).cpu().double()

    def results(self) -> dict[str, float]:
        """Returns `mse`, `mae` and `r2`, the mean over targets of 1 - squared error / variance."""
        assert self.first is not None
        errors, squares, total = self.sums
        dtype = self.first.dtype
        squares = squares - total * (total / self.rows)
        errors = errors.where(~(errors <= SMALLEST_ERROR * squares / self.rows), 0)  # of any unit, if it is rounding
        errors, squares = errors.to(dtype), squares.to(dtype)
        r2 = (1 - errors / squares).where(self.varies.cpu(), math.nan).mean().item()
        return {"mse": self.mse, "mae": self.mae, "r2": r2}


class Classes:
    """Metrics of classification."""

    def __init__(self, task: Task, rows: int) -> None:
        self.task, self.seen = task, 0
        self.count = max(2, task.out_features)
        self.counts = np.zeros((self.count, self.count), np.int64)
        """Rows by true class (first index) and predicted class (second): the confusion matrix, [K, K]."""
        self.every = -(-rows * task.out_features // RANKED) or 1
        self.areas = [AUROC(-(-rows // self.every)) for _ in range(task.out_features)]

    def add(self, out: Tensor, y: Tensor) -> None:
        """Adds scores [B, 1] or [B, K], and targets."""
        probabilities, true = self.task.probabilities(out), y.flatten().long()
        predicted = (probabilities > 0.5).long().flatten() if self.task.kind == "binary" else out.argmax(1)
        table = classes.multiclass_confusion_matrix(predicted, true, self.count, validate_args=False)
        self.counts += table.cpu().numpy()
        ranked = slice(-self.seen % self.every, None, self.every)
        columns, indices = probabilities[ranked].cpu().numpy(), true[ranked].cpu().numpy()
        for column, area in enumerate(self.areas):
            area.add(columns[:, column], indices == (1 if self.task.kind == "binary" else column))
        self.seen += len(y)

    def results(self) -> dict[str, float]:
        """Returns `accuracy`, `f1` and `auroc`.

        F1 is 2 · right / (rows of a class + rows taken for it): of class 1 of two, or the mean over classes that occur.
        The area is that of class 1 of two, or the mean over classes of one against the rest.
        """
        right, both = self.counts.diagonal(), self.counts.sum(0) + self.counts.sum(1)
        if self.task.kind == "binary":
            f1 = float(2 * right[1] / both[1]) if self.counts[1].any() else math.nan
        else:
            f1 = float((2 * right[both > 0] / both[both > 0]).mean())
        areas = torch.tensor([area.value() for area in self.areas], dtype=torch.float64)
        return {"accuracy": float(right.sum() / self.counts.sum()), "f1": f1, "auroc": areas.mean().item()}


class AUROC:
    """The area under the ROC curve: how often a row of the class has a greater probability than a row of the rest.

    Equal ones count half (Mann and Whitney, 1947). Both sorts of rows share one array, from its two ends.

    Args:
        rows: the largest number of rows there will be.
    """

    def __init__(self, rows: int) -> None:
        self.kept: NDArray[np.floating] = np.empty(rows, np.float32)
        self.of_class = self.of_rest = 0

    def add(self, probabilities: NDArray[np.floating], is_of_class: NDArray[np.bool_]) -> None:
        """Adds the probability of the class for further rows, [B], and whether they are of it, [B]."""
        if self.kept.dtype != probabilities.dtype:  # known with the first rows
            self.kept = np.empty(len(self.kept), probabilities.dtype)
        ours, theirs = probabilities[is_of_class], probabilities[~is_of_class]
        self.kept[self.of_class : self.of_class + len(ours)] = ours
        end = len(self.kept) - self.of_rest
        self.kept[end - len(theirs) : end] = theirs
        self.of_class, self.of_rest = self.of_class + len(ours), self.of_rest + len(theirs)

    def value(self) -> float:
        """Returns the area; NaN if all rows are of the class, or none, or a probability is NaN."""
        ours, theirs = self.kept[: self.of_class], self.kept[len(self.kept) - self.of_rest :]
        if not len(ours) or not len(theirs):
            return math.nan
        ours.sort()
        theirs.sort()
        if np.isnan(ours[-1]) or np.isnan(theirs[-1]):  # they sort to the end
            return math.nan
        below = 0
        for start in range(0, len(ours), AT_ONCE):
            some = ours[start : start + AT_ONCE]
            below += int(theirs.searchsorted(some, "left").sum() + theirs.searchsorted(some, "right").sum())
        return below / (2 * len(ours) * len(theirs))


def undefined(spec: DataSpec, split: Rows) -> dict[str, str]:
    """Returns the metrics that no prediction of `split` can have, each with the reason, such as `has one row`.

    R² needs two values of every target, F1 of two classes a row of the second, and the area under the ROC curve rows of
    every class and of another. Loss, mean errors and accuracy are defined for any rows.
    """
    targets = (chunk.y for chunk in chunks(split))
    if spec.task == "regression":
        lowest, highest = map(torch.stack, zip(*((y.amin(0), y.amax(0)) for y in targets), strict=True))
        constant = (lowest.amin(0) == highest.amax(0)).tolist()
        if not any(constant):
            return {}
        name = spec.target_names[constant.index(True)]
        return {"r2": "has one row" if split.rows == 1 else f"has one value of the target {name!r}"}
    there = set[int]().union(*(torch.unique(y).int().tolist() for y in targets))
    missing = [name for index, name in enumerate(spec.target_names) if index not in there]
    if not missing:
        return {}
    why = f"has no row of class {missing[0]!r}"
    return {"auroc": why} | ({"f1": why} if spec.task == "binary" and 1 not in there else {})
