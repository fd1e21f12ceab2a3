"""What is learned: values (regression), one of two classes (binary), one of several (multiclass).

A task turns a model's raw scores into predictions and measures them, with torchmetrics' functions but for what takes
longest there: accuracy and F1 are read from one confusion matrix, and the area under the ROC curve comes from ranks.

Shapes: B rows, T targets, K classes. Scores `out` and targets `y` are
[B, T] and [B, T] for regression, [B, 1] and [B, 1] (0 or 1) for binary, [B, K] and [B] (int64) for multiclass.
"""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics.functional import classification as classes
from torchmetrics.functional import regression as values

from fulmen.data import source

TINY = 1e-12
"""Keeps the logarithm of a probability finite where a model's own output activation rounds it to zero."""


@dataclass(frozen=True)
class Task:
    """A task's kind and how a model's output is to be read."""

    kind: source.TaskKind
    out_features: int
    gives_probabilities: bool = False
    """The model has an output activation of its own that gives probabilities (of multiclass: up to their sum)."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    """Of regression: a target is mean + deviation · its number in training. One for each target, or one for all."""

    def predictions(self, out: Tensor) -> Tensor:
        """What a model's raw scores say: values [B, T] in the targets' own units, or class probabilities."""
        return self.values(out) if self.kind == "regression" else self.probabilities(out)

    def values(self, scaled: Tensor) -> Tensor:
        """Scores or targets of regression, [B, T], in the targets' own units."""
        if (self.mean, self.std) == ((0.0,), (1.0,)):
            return scaled
        return scaled * scaled.new_tensor(self.std) + scaled.new_tensor(self.mean)

    def probabilities(self, out: Tensor) -> Tensor:
        """Class probabilities: [B, 1] of class 1 for binary, [B, K] for multiclass."""
        if self.kind == "binary":
            return out if self.gives_probabilities else out.sigmoid()
        return out / out.sum(1, keepdim=True).clamp_min(TINY) if self.gives_probabilities else out.softmax(1)

    def log_probabilities(self, out: Tensor) -> Tensor:
        """Logarithms of the K class probabilities of a multiclass task, [B, K]."""
        return self.probabilities(out).clamp_min(TINY).log() if self.gives_probabilities else out.log_softmax(1)

    def comparable(self, out: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction and target as numbers of one shape: values, or probabilities and the classes as 0 and 1."""
        if self.kind == "regression":
            return out, y
        if self.kind == "binary":
            return self.probabilities(out), y
        return self.probabilities(out), F.one_hot(y, self.out_features).to(out.dtype)

    def metrics(self, out: Tensor, y: Tensor, names: Iterable[str]) -> dict[str, float]:
        """The metrics `names` over all rows at once, of values in the targets' own units.

        (Times their deviation alone: what is measured is differences, which adding the mean would only blur.) One that
        these rows leave undefined is left out: R² of a single row, say, or the area under the ROC curve where only one
        class occurs.
        """
        if self.kind == "regression":
            std = out.new_tensor(self.std)
            seen = BatchOutputs(out * std, y * std, np.empty((0, 0)))
        else:
            seen = BatchOutputs(self.probabilities(out), y.long(), np.array(self.confusion(out, y)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchmetrics warns of what is undefined; it is left out below
            found = {name: float(METRICS[self.kind][name](seen)) for name in names}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def confusion(self, out: Tensor, y: Tensor) -> list[list[int]]:
        """Rows counted by true class (first index) and predicted class (second)."""
        count = max(2, self.out_features)
        predicted = (self.probabilities(out) > 0.5).long() if self.kind == "binary" else out.argmax(1)
        table = classes.multiclass_confusion_matrix(predicted.flatten(), y.long().flatten(), count, validate_args=False)
        rows: list[list[int]] = table.tolist()
        return rows


class BatchOutputs(NamedTuple):
    """What is measured."""

    prediction: Tensor
    target: Tensor
    counts: NDArray[Any]
    """Of classes: rows by true class (first index) and predicted class (second), [K, K]."""


def accuracy(counts: NDArray[Any]) -> float:
    """The share of rows on the diagonal of a confusion matrix, [K, K]."""
    return float(np.trace(counts) / counts.sum())


def f1(counts: NDArray[Any], kind: source.TaskKind) -> float:
    """2 · right / (rows of a class + rows taken for it): of class 1 of two, or the mean over classes that occur.

    Args:
        counts: a confusion matrix, [K, K].
        kind: `binary` or `multiclass`.
    """
    both = counts.sum(0) + counts.sum(1)
    if kind == "binary":
        return float(2 * counts[1, 1] / both[1]) if both[1] else 0.0
    return float((2 * counts.diagonal()[both > 0] / both[both > 0]).mean())


def _r2(seen: BatchOutputs) -> Tensor | float:
    """1 - squared error / squared deviation, the mean over targets; undefined for a single row.

    In units of each target's deviation, because torchmetrics takes errors below 1e-4 for none, and squares of large
    numbers lose what is small.
    """
    prediction, target, _ = seen
    if len(target) < 2:
        return math.nan
    mean, std = target.mean(0), target.std(0, correction=0)
    std = torch.where(std > 0, std, 1)
    return values.r2_score((prediction - mean) / std, (target - mean) / std)


def _areas(scores: Tensor, belongs: Tensor) -> Tensor:
    """The area under the ROC curve of each class: how often a row of the class scores above another, ties half.

    By ranks (Mann and Whitney, 1947), in integers, so exact; one sort for all classes, in half the time that
    torchmetrics takes for its curves. Not a number where all rows are of the class, or none, or a score is none.

    Shapes: [B, K] and [B, K], of truth values -> [K].
    """
    columns, belongs = scores.cpu().T.contiguous(), belongs.cpu().T  # [B, K] -> [K, B]; MPS has no double precision
    ordered = columns.sort(1).values
    twice = torch.searchsorted(ordered, columns) + torch.searchsorted(ordered, columns, right=True) + 1
    inside = belongs.sum(1)  # twice: the mean rank of each row and its equals
    outside = belongs.shape[1] - inside
    areas = ((twice * belongs).sum(1) - inside * (inside + 1)).double() / (2 * inside * outside)
    return areas.where(~ordered[:, -1].isnan(), math.nan)  # which sorts to the end


METRICS: dict[source.TaskKind, dict[str, Callable[[BatchOutputs], Tensor | float]]] = {
    "regression": {
        "mse": lambda seen: values.mean_squared_error(seen.prediction, seen.target),
        "mae": lambda seen: values.mean_absolute_error(seen.prediction, seen.target),
        "r2": _r2,
    },
    "binary": {
        "accuracy": lambda seen: accuracy(seen.counts),
        "f1": lambda seen: f1(seen.counts, "binary"),
        "auroc": lambda seen: _areas(seen.prediction, seen.target.bool()).mean(),
    },
    "multiclass": {
        "accuracy": lambda seen: accuracy(seen.counts),
        "f1": lambda seen: f1(seen.counts, "multiclass"),
        "auroc": lambda seen: _areas(
            seen.prediction, F.one_hot(seen.target, seen.prediction.shape[1]).bool()
        ).mean(),  # one against the rest
    },
}
"""What is measured, by the names of `vocabulary.METRICS`."""
