"""A split's figures, added up chunk by chunk in double precision: for splits too large to be measured at once.

Shapes as in `tasks.py`.
"""

import math
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fulmen.tasks.losses import Loss
from fulmen.tasks.task import Task, accuracy, f1

RANKED = 2**24
"""Probabilities that are kept for the area under the ROC curve. Where rows have more in all, every n-th row counts."""
AT_ONCE = 2**16


class StreamingMetrics:
    """What the rows seen so far give.

    Args:
        task: how scores are read and measured.
        loss: a mean over rows, or a sum.
        rows: that will be seen.
    """

    def __init__(self, task: Task, loss: Loss, rows: int) -> None:
        self.task, self.loss, self.rows = task, loss, 0
        self.sums = {"loss": 0.0, "mse": 0.0, "mae": 0.0}
        self.spread = R2()
        classes = max(2, task.out_features)
        self.counts = np.zeros((classes, classes), np.int64)
        ranked = 0 if task.kind == "regression" else task.out_features
        self.every = -(-rows * ranked // RANKED) or 1
        self.areas = [AUROC(-(-rows // self.every)) for _ in range(ranked)]

    def add(self, out: Tensor, y: Tensor) -> None:
        """Scores and targets of further rows."""
        loss = self.loss(out, y, self.task).item()
        self.sums["loss"] += loss if self.loss.reduction == "sum" else loss * len(out)
        if self.task.kind == "regression":
            found = self.task.metrics(out, y, ["mse", "mae"])
            for name in ("mse", "mae"):
                self.sums[name] += found.get(name, math.nan) * len(out)
            self.spread.add(out.cpu().double(), y.cpu().double())
        else:
            self.counts += np.array(self.task.confusion(out, y))
            self._rank(out[-self.rows % self.every :: self.every], y[-self.rows % self.every :: self.every])
        self.rows += len(out)

    def _rank(self, out: Tensor, y: Tensor) -> None:
        probabilities, true = self.task.probabilities(out).cpu().numpy(), y.cpu().flatten().long().numpy()
        for column, area in enumerate(self.areas):
            area.add(probabilities[:, column], true == (1 if self.task.kind == "binary" else column))

    def figures(self, names: Iterable[str]) -> dict[str, float]:
        """The loss, and the metrics `names` but for those that the rows leave undefined."""
        loss = self.sums["loss"] / (1 if self.loss.reduction == "sum" else self.rows)
        found = {name: getattr(self, f"_{name}")() for name in names}
        return {"loss": loss, **{name: value for name, value in found.items() if math.isfinite(value)}}

    def confusion(self) -> list[list[int]]:
        """Rows counted by true class (first index) and predicted class (second)."""
        rows: list[list[int]] = self.counts.tolist()
        return rows

    def _mse(self) -> float:
        return self.sums["mse"] / self.rows

    def _mae(self) -> float:
        return self.sums["mae"] / self.rows

    def _r2(self) -> float:
        return self.spread.r2()

    def _accuracy(self) -> float:
        return accuracy(self.counts)

    def _f1(self) -> float:
        return f1(self.counts, self.task.kind)

    def _auroc(self) -> float:
        """The mean over classes of one against the rest."""
        return sum(area.value() for area in self.areas) / len(self.areas)


class R2:
    """Squared errors, and squared deviations from the mean, of each target [T] (Chan, Golub and LeVeque, 1979)."""

    def __init__(self) -> None:
        self.rows, self.errors, self.mean, self.squares = 0, torch.zeros(()), torch.zeros(()), torch.zeros(())

    def add(self, out: Tensor, y: Tensor) -> None:
        """Predictions and targets [B, T], in double precision."""
        rows, apart = self.rows + len(y), y.mean(0) - self.mean
        self.errors = self.errors + (out - y).square().sum(0)
        self.squares = self.squares + (y - y.mean(0)).square().sum(0) + apart.square() * (self.rows * len(y) / rows)
        self.mean, self.rows = self.mean + apart * (len(y) / rows), rows

    def r2(self) -> float:
        """The mean over targets; of one that is constant 0, or 1 if there is no error."""
        constant = (self.errors == 0).double()
        return torch.where(self.squares > 0, 1 - self.errors / self.squares, constant).mean().item()


class AUROC:
    """The area under the ROC curve: how often a row of the class has a greater probability than a row of the rest.

    Equal ones count half. Both sorts of rows share one array, from its two ends.

    Args:
        rows: that will be seen at most.
    """

    def __init__(self, rows: int) -> None:
        self.kept: NDArray[np.floating] = np.empty(rows, np.float32)
        self.of_class = self.of_rest = 0

    def add(self, probabilities: NDArray[np.floating], is_of_class: NDArray[np.bool_]) -> None:
        """Of further rows, [B] and [B]."""
        if self.kept.dtype != probabilities.dtype:  # known with the first rows
            self.kept = np.empty(len(self.kept), probabilities.dtype)
        ours, theirs = probabilities[is_of_class], probabilities[~is_of_class]
        self.kept[self.of_class : self.of_class + len(ours)] = ours
        end = len(self.kept) - self.of_rest
        self.kept[end - len(theirs) : end] = theirs
        self.of_class, self.of_rest = self.of_class + len(ours), self.of_rest + len(theirs)

    def value(self) -> float:
        """Not a number where one sort has no rows, or a probability is none."""
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
