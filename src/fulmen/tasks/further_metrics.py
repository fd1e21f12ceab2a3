"""Metrics beside a task's own: torchmetrics' by name, and functions of one's own.

Unlike the task's own they see all rows of a split at once, and one network at a time.

Shapes: N rows, T targets, K classes. Predictions are values in the targets' units [N, T] for regression,
probabilities of class 1 [N] for binary, of each class [N, K] for multiclass; targets are [N, T], or classes [N].
"""

import functools
import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fulmen.rules import called, wrong_part
from fulmen.tasks.task import Task


@dataclass(frozen=True)
class Metric:
    """A metric, called with raw scores and targets of all rows, and the task; shapes of those as in `task.py`.

    Args:
        name: its name in the history and in `metrics.json`.
        function: takes predictions and targets, and returns one number.
    """

    name: str
    function: Callable[[Tensor, Tensor], Any]

    def __call__(self, out: Tensor, y: Tensor, task: Task) -> float:
        """Returns the metric; NaN where it is undefined.

        Raises:
            ConfigurationError: it is no number.
        """
        found = self.function(*(tensor.clone() for tensor in predictions(out, y, task)))  # it may change them
        if isinstance(found, Tensor) and found.numel() == 1:
            found = found.item()
        try:
            return float(found)
        except (TypeError, ValueError) as error:
            what = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else f"{found!r:.60}"
            raise wrong_part("metric", self.name, f"returned {what}") from error

    def check(self, task: Task) -> None:
        """Calls the metric with three made-up rows.

        Raises:
            ConfigurationError: it cannot be called with predictions and targets, or returns no number.
        """
        shape, rows = (3, task.out_features), torch.arange(3)
        y = rows % task.out_features if task.kind == "multiclass" else (rows % 2).double().unsqueeze(1).expand(shape)
        out = torch.linspace(0.1, 0.9, 3 * task.out_features, dtype=torch.float64).view(shape)
        called("metric", self.name, lambda: self(out, y, task))


def as_metric(part: Any, name: str) -> Metric:
    """Returns a metric by its name, or made of a function of the user's own, which has the name of its target."""
    return Metric(name, (OURS.get(name) or functools.partial(named, name)) if isinstance(part, str) else part)


def predictions(out: Tensor, y: Tensor, task: Task) -> tuple[Tensor, Tensor]:
    """Returns predictions and targets as a metric takes them, on the CPU."""
    out, y = out.cpu(), y.cpu()
    if task.kind == "regression":
        return task.values(out.double()), task.values(y.double())
    found = task.probabilities(out)
    return (found[:, 0], y[:, 0].long()) if task.kind == "binary" else (found, y)


def measure(metrics: Iterable[Metric], out: Tensor, y: Tensor, task: Task) -> dict[str, float]:
    """Returns the metrics of all rows by name, without those that are undefined or infinite."""
    found = {metric.name: metric(out, y, task) for metric in metrics}
    return {name: value for name, value in found.items() if math.isfinite(value)}


def balanced_accuracy(prediction: Tensor, target: Tensor) -> Tensor:
    """Returns the mean over the classes that occur of the share of their rows that is predicted rightly."""
    predicted = prediction > 0.5 if prediction.ndim == 1 else prediction.argmax(1)
    return torch.stack([(predicted[target == each] == each).double().mean() for each in torch.unique(target)]).mean()


def top(k: int, prediction: Tensor, target: Tensor) -> Tensor:
    """Returns the share of rows whose class is among the k most probable ones; equal ones count for the class."""
    more_probable = (prediction > prediction.gather(1, target.unsqueeze(1))).sum(1)
    return (more_probable < k).double().mean()


OURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "balanced_accuracy": balanced_accuracy,
    "top2": functools.partial(top, 2),
    "top3": functools.partial(top, 3),
    "top5": functools.partial(top, 5),
}
"""Metrics that torchmetrics lacks, or has with another meaning."""


def named(name: str, prediction: Tensor, target: Tensor) -> Tensor:
    """Returns torchmetrics' metric of a name, such as `cohen_kappa` for `BinaryCohenKappa`; the mean over targets."""
    from torchmetrics import classification, regression

    kind = "".join(map(str.capitalize, name.split("_"))).replace("Corrcoef", "CorrCoef")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is undefined; then it is NaN or 0
        if target.is_floating_point():
            columns = zip(prediction.unbind(1), target.unbind(1), strict=True)
            return torch.stack([getattr(regression, kind)()(*column) for column in columns]).mean()
        if prediction.ndim == 1:
            found: Tensor = getattr(classification, f"Binary{kind}")()(prediction, target)
            return found
        found = getattr(classification, f"Multiclass{kind}")(num_classes=prediction.shape[1])(prediction, target)
        return found
