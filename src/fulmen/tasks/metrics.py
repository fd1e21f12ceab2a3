"""The loss and the metrics of a split, from scores and targets that arrive in chunks: a split may be of any size.

The mean squared and absolute errors are torchmetrics'. R² and the area under the ROC curve are not: torchmetrics' R²
treats small errors as none whatever the unit of the targets, and its ROC curves take longer than counting ranks.

Shapes as in `task.py`, with C copies of a network first.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.func import vmap
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
    """The loss and the metrics of the rows seen so far, for one network or for many copies of it.

    Args:
        task: how scores are read and measured.
        loss: a mean over rows, or a sum.
        rows: the number of rows there will be.
        copies: networks that are measured.
        std: of the targets of each copy, [C, 1, T], where they have units of their own.
    """

    def __init__(self, task: Task, loss: Loss, rows: int, copies: int = 1, std: Tensor | None = None) -> None:
        self.loss, self.task, self.rows = loss, task, rows
        self.total = np.zeros(copies)
        self.metrics = Errors(task, rows, std) if task.kind == "regression" else Classes(task, rows, copies)

    def add(self, out: Tensor, y: Tensor) -> None:
        """Adds the scores and targets of further rows, both with an axis of copies first."""
        losses = _of_each(lambda out, y: self.loss(out, y, self.task), out, y)
        self.total += _numbers(losses) * (1 if self.loss.reduction == "sum" else y.shape[1] / self.rows)
        self.metrics.add(out, y)

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Returns the loss and the metrics of each copy, [C]; not a number, or infinite, where one is undefined."""
        return {"loss": self.total, **self.metrics.results()}

    def results(self) -> list[dict[str, float]]:
        """Returns for each copy its loss, and its metrics without those that are undefined or infinite."""
        arrays = self.arrays()
        copies = zip(*(values.tolist() for values in arrays.values()), strict=True)
        found = [dict(zip(arrays, values, strict=True)) for values in copies]
        return [{name: v for name, v in each.items() if name == "loss" or math.isfinite(v)} for each in found]


def _of_each(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """Returns a number for each copy, [C]."""
    if len(tensors[0]) == 1:
        return function(*(values[0] for values in tensors)).view(1)
    found: Tensor = vmap(function)(*tensors)
    return found


def _numbers(values: Tensor) -> NDArray[np.float64]:
    return values.detach().cpu().double().numpy()


class Errors:
    """Metrics of regression.

    Errors are measured in the targets' own units, by their std alone: adding the mean would only blur differences.
    R² is measured in units of the first chunk's std, because squares of large numbers lose what is small.
    """

    def __init__(self, task: Task, rows: int, std: Tensor | None = None) -> None:
        self.rows, self.std = rows, torch.tensor(task.std, dtype=torch.float64) if std is None else std
        self.mse: Any = 0.0
        self.mae: Any = 0.0
        self.first: Tensor | None = None
        self.unit: tuple[Tensor, Tensor] | None = None
        """Mean and std of the first chunk's targets, both [C, 1, T]."""
        self.sums = torch.zeros(3, 1, 1, dtype=torch.float64)
        """Sums of squared errors, squared targets and targets, [3, C, T]."""

    def add(self, out: Tensor, y: Tensor) -> None:
        """Adds scores and targets, [C, B, T]."""
        if self.first is None:
            self.first, self.varies = y[:, :1], torch.zeros_like(y[:, 0], dtype=torch.bool)
        self.varies |= (y != self.first).any(1)
        std, share = self.std.to(out), y.shape[1] / self.rows
        out, y = out * std, y * std
        self.mse = self.mse + _numbers(_of_each(values.mean_squared_error, out, y)) * share
        self.mae = self.mae + _numbers(_of_each(values.mean_absolute_error, out, y)) * share
        if self.unit is None:
            spread = y.std(1, correction=0, keepdim=True)
            self.unit = y.mean(1, keepdim=True), torch.where(spread > 0, spread, 1)
        mean, spread = self.unit
        y, out = (y - mean) / spread, (out - mean) / spread
        self.sums = self.sums + torch.stack([(y - out).square().sum(1), y.square().sum(1), y.sum(1)]).cpu().double()

    def results(self) -> dict[str, NDArray[np.float64]]:
        """Returns `mse`, its root, `mae`, and `r2`, the mean over targets of 1 - squared error / variance; [C] each."""
        assert self.first is not None
        errors, squares, total = self.sums
        dtype = self.first.dtype
        squares = squares - total * (total / self.rows)
        errors = errors.where(~(errors <= SMALLEST_ERROR * squares / self.rows), 0)  # of any unit, if it is rounding
        errors, squares = errors.to(dtype), squares.to(dtype)
        r2 = (1 - errors / squares).where(self.varies.cpu(), math.nan).mean(-1)
        return {"mse": self.mse, "rmse": np.sqrt(self.mse), "mae": self.mae, "r2": _numbers(r2)}


class Classes:
    """Metrics of classification."""

    def __init__(self, task: Task, rows: int, copies: int) -> None:
        self.task, self.seen = task, 0
        self.count = max(2, task.out_features)
        self.counts = np.zeros((copies, self.count, self.count), np.int64)
        """Rows by true class (first index) and predicted class (second): the confusion matrices, [C, K, K]."""
        self.every = -(-rows * task.out_features // RANKED) or 1
        room = -(-rows // self.every)
        self.areas = [[AUROC(room) for _ in range(task.out_features)] for _ in range(copies)]

    def add(self, out: Tensor, y: Tensor) -> None:
        """Adds scores [C, B, 1] or [C, B, K], and targets."""
        is_binary, copies = self.task.kind == "binary", len(out)
        probabilities, true = self.task.probabilities(out), y.reshape(copies, -1).long()
        predicted = (probabilities > 0.5).long().flatten(1) if is_binary else out.argmax(-1)
        cells = (torch.arange(copies, device=out.device).unsqueeze(1) * self.count + true) * self.count + predicted
        found = torch.bincount(cells.flatten(), minlength=self.counts.size)
        self.counts += found.cpu().numpy().reshape(self.counts.shape)
        ranked = slice(-self.seen % self.every, None, self.every)
        numbers, indices = probabilities[:, ranked].cpu().numpy(), true[:, ranked].cpu().numpy()
        for areas, columns, of_rows in zip(self.areas, numbers, indices, strict=True):
            for column, area in enumerate(areas):
                area.add(columns[:, column], of_rows == (1 if is_binary else column))
        self.seen += true.shape[1]

    def results(self) -> dict[str, NDArray[np.float64]]:
        """Returns `accuracy`, `f1` and `auroc`, [C] each.

        F1 is 2 · right / (rows of a class + rows taken for it): of class 1 of two, or the mean over classes that occur.
        The area is that of class 1 of two, or the mean over classes of one against the rest.
        """
        right, both = self.counts.diagonal(0, 1, 2), self.counts.sum(1) + self.counts.sum(2)
        of_class = np.divide(2 * right, both, out=np.full(both.shape, math.nan), where=both > 0)
        if self.task.kind == "binary":
            f1 = np.where(self.counts[:, 1].any(1), of_class[:, 1], math.nan)
        else:
            f1 = np.array([each[~np.isnan(each)].mean() for each in of_class])
        areas = torch.tensor([[area.value() for area in each] for each in self.areas], dtype=torch.float64)
        accuracy = right.sum(1) / self.counts.sum((1, 2))
        return {"accuracy": accuracy, "f1": f1, "auroc": areas.mean(1).numpy()}


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
