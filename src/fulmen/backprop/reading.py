"""From a loss's name and a task to formulas: how the network's output is read, and what is measured then."""

import functools
from collections.abc import Callable
from types import ModuleType
from typing import Any

from fulmen import losses
from fulmen.backprop.activations import Sigmoid, Softmax
from fulmen.backprop.arrays import Array
from fulmen.backprop.layer import Layer
from fulmen.backprop.losses import (
    BinaryCrossEntropy,
    BinaryCrossEntropyOfLogits,
    CrossEntropy,
    CrossEntropyOfLogits,
    Huber,
    Loss,
    MeanAbsolute,
    MeanSquare,
    SumOfSquares,
)
from fulmen.tasks import TINY, Task

ERRORS: dict[Any, Callable[..., Loss]] = {
    losses.mse: MeanSquare,
    losses.sse: SumOfSquares,
    losses.mae: MeanAbsolute,
    losses.huber: Huber,
}


class Shares(Layer):
    """p_i = a_i / Σ_j a_j: what an output activation of the model's own gives, as probabilities."""

    def forward(self, x: Array) -> Array:
        """[B, K] -> [B, K], rows that sum to 1."""
        self.sum = x.sum(1)[:, None]  # [B, 1]
        self.p = x / self.xp.clip(self.sum, TINY, None)
        return self.p

    def backward(self, d_out: Array) -> Array:
        """[B, K] -> [B, K], the chain rule: ∂p_i/∂a_j = ((1 if i = j else 0) - p_i) / Σa."""
        through_sum = (d_out * self.p).sum(1)[:, None] * (self.sum >= TINY)
        return (d_out - through_sum) / self.xp.clip(self.sum, TINY, None)


def formulas(xp: ModuleType, loss: losses.Loss, task: Task) -> tuple[list[Layer], Loss]:
    """What follows the network's last layer: layers that read its output, and the loss of what they give.

    Raises:
        ValueError: there is no formula for this loss.
    """
    function = loss.func if isinstance(loss, functools.partial) else loss
    options = loss.keywords if isinstance(loss, functools.partial) else {}
    if function is losses.auto:
        function = losses.OWN[task.kind]
    if function is losses.bce:
        return [], BinaryCrossEntropy(xp) if task.gives_probabilities else BinaryCrossEntropyOfLogits(xp)
    if function is losses.cross_entropy:
        return ([Shares(xp)], CrossEntropy(xp)) if task.gives_probabilities else ([], CrossEntropyOfLogits(xp))
    if function not in ERRORS:
        name = getattr(function, "__name__", type(function).__name__)
        raise ValueError(f"the loss {name} has no formulas for back-propagation by hand; take backprop=autograd")
    return _probabilities(xp, task), ERRORS[function](xp, **options)


def _probabilities(xp: ModuleType, task: Task) -> list[Layer]:
    """The layer that makes class probabilities of the network's output, where it takes one."""
    if task.kind == "multiclass":
        return [Shares(xp) if task.gives_probabilities else Softmax(xp)]
    return [Sigmoid(xp)] if task.kind == "binary" and not task.gives_probabilities else []


def target(xp: ModuleType, y: Array, out: Array) -> Array:
    """The target in the output's shape: several classes, [B], become 1 in the column of the class, else 0, [B, K]."""
    if y.ndim == out.ndim:
        return y
    columns = xp.zeros_like(out)
    columns[list(range(len(y))), y] = 1
    return columns
