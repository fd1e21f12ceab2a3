"""How the gradient is found: the choices of `backprop=`, and what the formulas have to do with a training step."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from fulmen.backprop.arrays import array, tensor
from fulmen.backprop.network import Network, layers
from fulmen.backprop.penalties import formula
from fulmen.backprop.reading import formulas, target
from fulmen.data.tensors import Batch
from fulmen.evaluation import Evaluation
from fulmen.losses import is_sum
from fulmen.penalties import Penalty

Gradient = Callable[[Batch, int], tuple[Tensor, Tensor]]
"""Finds every parameter's `.grad` for the rows of step so-and-so; returns their loss without and with the penalty."""
MakeGradient = Callable[[Evaluation, Penalty | None, int], Gradient]
PRECISIONS = ("32-true", "64-true")


def autograd() -> None:
    """By torch's autograd, in the learner itself."""


def tensors(evaluation: Evaluation, penalty: Penalty | None, batch_size: int) -> Gradient:
    """By formulas on tensors, where the network is."""
    return ByHand(torch, evaluation, penalty, batch_size)


def numpy(evaluation: Evaluation, penalty: Penalty | None, batch_size: int) -> Gradient:
    """By formulas in NumPy, on the CPU."""
    return ByHand(np, evaluation, penalty, batch_size)


def find_gradient(
    make: MakeGradient | None, evaluation: Evaluation, penalty: Penalty | None, batch_size: int, devices: int
) -> Gradient | None:
    """What `make` makes to find the gradient by hand; None for autograd.

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

    def __init__(self, xp: ModuleType, evaluation: Evaluation, penalty: Penalty | None, batch_size: int) -> None:
        if evaluation.precision not in PRECISIONS:
            raise ValueError(
                f"back-propagation by hand does not go with trainer.precision={evaluation.precision}; "
                f"take {' or '.join(PRECISIONS)}, or backprop=autograd"
            )
        self.xp, self.evaluation, self.batch_size = xp, evaluation, batch_size
        self.penalty = None if penalty is None else formula(xp, penalty)
        self.sums = is_sum(evaluation.loss)
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
            parameter.grad = tensor(gradient, parameter)
        return tensor(loss, like), tensor(objective, like)
