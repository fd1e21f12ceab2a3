"""Losses: functions of a model's raw scores, the targets and the task that return one number for a batch.

All are means but `sse`, which is a sum. Shapes as in `task.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from fulmen.tasks.task import TINY, Task

Function = Callable[..., Tensor]
"""Takes raw scores, targets and the task; returns one number, []."""


@dataclass(frozen=True)
class Loss:
    """A loss, called with raw scores, targets and the task.

    Args:
        name: its name in messages.
        function: computes it.
        reduction: whether rows are averaged or summed.
        options: further arguments of `function`.
    """

    name: str
    function: Function
    reduction: Literal["mean", "sum"] = "mean"
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __call__(self, out: Tensor, y: Tensor, task: Task) -> Tensor:
        return self.function(out, y, task, **self.options)


def as_loss(own: Function) -> Loss:
    """Wraps a loss function of the user; a mean, unless it has an attribute `reduction` that is "sum"."""
    if isinstance(own, Loss):
        return own
    function: Any = getattr(own, "func", own)  # a partial does not have the attributes of its function
    name = getattr(function, "__name__", type(function).__name__)
    reduction = getattr(own, "reduction", getattr(function, "reduction", "mean"))
    return Loss(name, own, "sum" if reduction == "sum" else "mean")


def auto() -> Loss:
    """Makes the task's default loss: squared error, binary cross-entropy or cross-entropy."""
    return Loss("auto", tasks_own)


def mse() -> Loss:
    """Makes the mean squared error; on classes, of the probabilities (the Brier score)."""
    return Loss("mse", squared_error)


def sse() -> Loss:
    """Makes the sum of squared errors over rows and targets."""
    return Loss("sse", summed_squared_error, "sum")


def mae() -> Loss:
    """Makes the mean absolute error."""
    return Loss("mae", absolute_error)


def huber(*, delta: float) -> Loss:
    """Makes half the squared error up to an error of `delta`, linear beyond (Huber, 1964)."""
    return Loss("huber", huber_error, options={"delta": delta})


def bce(*, class_weights: Sequence[float] | None = None) -> Loss:
    """Makes the binary cross-entropy, from logits unless the model gives probabilities itself."""
    return Loss("bce", binary_cross_entropy, options=_weights(class_weights))


def cross_entropy(*, class_weights: Sequence[float] | None = None) -> Loss:
    """Makes the cross-entropy of the class probabilities."""
    return Loss("cross_entropy", class_cross_entropy, options=_weights(class_weights))


def _weights(class_weights: Sequence[float] | None) -> dict[str, Any]:
    return {} if class_weights is None else {"class_weights": tuple(class_weights)}


def tasks_own(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """Returns the task's default loss, []."""
    return OWN[task.kind](out, y, task)


def squared_error(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """Returns the mean of squared errors, []."""
    return F.mse_loss(*task.comparable(out, y))


def summed_squared_error(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """Returns the sum of squared errors, []."""
    return F.mse_loss(*task.comparable(out, y), reduction="sum")


def absolute_error(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """Returns the mean of absolute errors, []."""
    return F.l1_loss(*task.comparable(out, y))


def huber_error(out: Tensor, y: Tensor, task: Task, *, delta: float) -> Tensor:
    """Returns the mean of Huber's error, []."""
    return F.huber_loss(*task.comparable(out, y), delta=delta)


def binary_cross_entropy(
    out: Tensor, y: Tensor, task: Task, *, class_weights: tuple[float, float] | None = None
) -> Tensor:
    """Returns the mean over rows of -w log p, p the probability of the true one of two classes, w its weight, []."""
    weight = None if class_weights is None else of_rows(class_weights, y)
    if task.gives_probabilities:
        with torch.autocast(out.device.type, enabled=False):  # torch refuses logarithms of half-precision probabilities
            return F.binary_cross_entropy(out.to(y.dtype), y, weight)
    return F.binary_cross_entropy_with_logits(out, y, weight)


def class_cross_entropy(
    out: Tensor, y: Tensor, task: Task, *, class_weights: tuple[float, ...] | None = None
) -> Tensor:
    """Returns the mean over rows of -w log p, p the probability of the true class, w its weight, []."""
    log_p = task.probabilities(out).clamp_min(TINY).log() if task.gives_probabilities else None
    if class_weights is None:
        return F.cross_entropy(out, y) if log_p is None else F.nll_loss(log_p, y)
    # not torch's own weights: it divides by their sum, so that a loss would depend on the classes of its batch
    rows = F.cross_entropy(out, y, reduction="none") if log_p is None else F.nll_loss(log_p, y, reduction="none")
    return (rows * of_rows(class_weights, y).to(rows.dtype)).mean()


def of_rows(class_weights: Sequence[float], y: Tensor) -> Tensor:
    """Returns the weight of each row's class, in the shape of y; without a table, which a recorded step cannot hold."""
    weights = y * 0.0
    for index, weight in enumerate(class_weights):
        weights = weights + weight * (y == index)
    return weights


OWN: dict[str, Function] = {
    "regression": squared_error,
    "binary": binary_cross_entropy,
    "multiclass": class_cross_entropy,
}
"""Each task's default loss."""
