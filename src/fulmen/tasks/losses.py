"""Losses, each a function of a model's raw scores, the targets and the task: one number for a batch.

All are means but `sse`, which is a sum. Shapes as in `tasks.py`.
"""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from fulmen.tasks.task import Task

Loss = Callable[[Tensor, Tensor, Task], Tensor]


def auto(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """The task's own loss: squared error, binary cross-entropy or cross-entropy."""
    return OWN[task.kind](out, y, task)


def mse(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """Mean squared error; on classes, of the probabilities (the Brier score)."""
    return F.mse_loss(*task.comparable(out, y))


def sse(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """Sum of squared errors over rows and targets."""
    return F.mse_loss(*task.comparable(out, y), reduction="sum")


def mae(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """Mean absolute error."""
    return F.l1_loss(*task.comparable(out, y))


def huber(out: Tensor, y: Tensor, task: Task, *, delta: float) -> Tensor:
    """Half the squared error up to an error of `delta`, linear beyond (Huber, 1964)."""
    return F.huber_loss(*task.comparable(out, y), delta=delta)


def bce(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """Binary cross-entropy, from logits unless the model gives probabilities itself."""
    if task.gives_probabilities:
        with torch.autocast(out.device.type, enabled=False):  # torch refuses logarithms of half-precision probabilities
            return F.binary_cross_entropy(out.to(y.dtype), y)
    return F.binary_cross_entropy_with_logits(out, y)


def cross_entropy(out: Tensor, y: Tensor, task: Task) -> Tensor:
    """Cross-entropy of the class probabilities."""
    return F.nll_loss(task.log_probabilities(out), y) if task.gives_probabilities else F.cross_entropy(out, y)


OWN = {"regression": mse, "binary": bce, "multiclass": cross_entropy}
"""Each task's own loss."""


def is_sum(loss: Loss) -> bool:
    """Whether `loss` adds rows up instead of taking their mean."""
    return (loss.func if isinstance(loss, functools.partial) else loss) is sse
