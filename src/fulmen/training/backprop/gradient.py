"""How the gradient is found: the choices of `backprop=`, and what the formulas have to do with a training step."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fulmen.data.tensors import Batch
from fulmen.tasks import losses
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.penalties import Penalize
from fulmen.tasks.task import TINY, Task
from fulmen.training.backprop.layers import Array, Layer, Sigmoid, Softmax, array, tensor
from fulmen.training.backprop.losses import (
    BinaryCrossEntropy,
    BinaryCrossEntropyOfLogits,
    CrossEntropy,
    CrossEntropyOfLogits,
    Huber,
    Loss,
    MeanAbsolute,
    MeanSquare,
    SumOfSquares,
    formula,
)
from fulmen.training.backprop.network import Network, layers

ERRORS: dict[Any, Callable[..., Loss]] = {
    losses.squared_error: MeanSquare,
    losses.summed_squared_error: SumOfSquares,
    losses.absolute_error: MeanAbsolute,
    losses.huber_error: Huber,
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
    """The end of the network after its last layer: layers that read its output, and the loss of what they give.

    Raises:
        ValueError: there is no formula for this loss.
    """
    function = loss.function
    if function is losses.tasks_own:
        function = losses.OWN[task.kind]
    if "class_weights" in loss.options:
        raise ValueError("loss.class_weights has no formulas for back-propagation by hand; take backprop=autograd")
    if function is losses.binary_cross_entropy:
        return [], BinaryCrossEntropy(xp) if task.gives_probabilities else BinaryCrossEntropyOfLogits(xp)
    if function is losses.class_cross_entropy:
        return ([Shares(xp)], CrossEntropy(xp)) if task.gives_probabilities else ([], CrossEntropyOfLogits(xp))
    if function not in ERRORS:
        raise ValueError(f"the loss {loss.name} has no formulas for back-propagation by hand; take backprop=autograd")
    return _probabilities(xp, task), ERRORS[function](xp, **loss.options)


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


Gradient = Callable[[Batch, int], tuple[Tensor, Tensor]]
"""Finds every parameter's `.grad` for the rows of step so-and-so; returns their loss without and with the penalty."""
MakeGradient = Callable[[Evaluation, Penalize | None, int], Gradient]
PRECISIONS = ("32-true", "64-true")


def autograd() -> None:
    """By torch's autograd, in the learner itself."""


def tensors(evaluation: Evaluation, penalty: Penalize | None, batch_size: int) -> Gradient:
    """By formulas on tensors, where the network is."""
    return ByHand(torch, evaluation, penalty, batch_size)


def numpy(evaluation: Evaluation, penalty: Penalize | None, batch_size: int) -> Gradient:
    """By formulas in NumPy, on the CPU."""
    return ByHand(np, evaluation, penalty, batch_size)


def find_gradient(
    make: MakeGradient | None, evaluation: Evaluation, penalty: Penalize | None, batch_size: int, devices: int
) -> Gradient | None:
    """Build the gradient by hand that `make` describes; None for autograd.

    Raises:
        ValueError: there are several devices, or as `ByHand`.
    """
    if make is None:
        return None
    if devices > 1:
        raise ValueError(
            f"back-propagation by hand is for one device, and trainer.devices is {devices}; "
            "take trainer.devices=1, or backprop=autograd"
        )
    return make(evaluation, penalty, batch_size)


class ByHand:
    """The gradient of loss and penalty by formulas; autograd has no part in it.

    Args:
        xp: `numpy` or `torch`.
        evaluation: the network, its task and its loss.
        penalty: on the parameters, or None.
        batch_size: rows that go through the network at once.

    Raises:
        ValueError: there are no formulas for one of these, or for the precision.
    """

    def __init__(self, xp: ModuleType, evaluation: Evaluation, penalty: Penalize | None, batch_size: int) -> None:
        if evaluation.precision not in PRECISIONS:
            raise ValueError(
                f"back-propagation by hand does not go with trainer.precision={evaluation.precision}; "
                f"take {' or '.join(PRECISIONS)}, or backprop=autograd"
            )
        self.xp, self.evaluation, self.batch_size = xp, evaluation, batch_size
        self.penalty = None if penalty is None else formula(xp, penalty)
        self.sums = evaluation.loss.reduction == "sum"
        self._network()

    def _network(self) -> Network:
        """The network with its weights as they are now."""
        reading, loss = formulas(self.xp, self.evaluation.loss, self.evaluation.task)
        return Network([*layers(self.xp, self.evaluation.net), *reading], loss)

    @torch.no_grad()
    @np.errstate(all="ignore")  # a loss that is not finite is noticed and said once a pack
    def __call__(self, batch: Batch, _step: int) -> tuple[Tensor, Tensor]:
        """Sets every parameter's `.grad`; a batch larger than `batch_size` goes through the network in parts."""
        network, loss = self._network(), 0.0
        for x, y in zip(torch.split(batch.x, self.batch_size), torch.split(batch.y, self.batch_size), strict=True):
            share = 1 if self.sums else len(x) / len(batch.x)
            out = network.forward(array(self.xp, x))  # [B, T]
            loss = loss + share * network.loss.forward(out, target(self.xp, array(self.xp, y), out))
            network.backward(share)
        return self._hand_over(network, loss, batch.x)

    def _hand_over(self, network: Network, loss: float, like: Tensor) -> tuple[Tensor, Tensor]:
        """To torch's optimizers, which look for `.grad`."""
        objective = loss
        parameters = list(self.evaluation.net.parameters())
        gradients = network.gradients()
        if self.penalty is not None:
            values = [array(self.xp, parameter) for parameter in parameters]
            objective = loss + self.penalty.value(values)
            gradients = [d + self.penalty.gradient(p) for d, p in zip(gradients, values, strict=True)]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if parameter.requires_grad:
                parameter.grad = tensor(gradient, parameter)
        return tensor(loss, like), tensor(objective, like)
