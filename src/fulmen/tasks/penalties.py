"""Penalties on the size of the parameters, added to the training loss. All parameters count, biases included."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

Penalize = Callable[[Iterable[Tensor]], Tensor]
"""A penalty: one of ours, or any function of the parameters to one number, []."""


@dataclass(frozen=True)
class Penalty:
    """The penalty weight · (l1_ratio · Σ|p| + (1 - l1_ratio) · Σp²), which is Σ(l1 |p| + l2 p²).

    Args:
        weight: weight of the whole.
        l1_ratio: the share of Σ|p|, in [0, 1].
    """

    weight: float
    l1_ratio: float

    @property
    def l1(self) -> float:
        return self.weight * self.l1_ratio

    @property
    def l2(self) -> float:
        return self.weight * (1 - self.l1_ratio)

    @property
    def name(self) -> str:
        """The choice of `penalty=` that makes it."""
        return {0.0: "l2", 1.0: "l1"}.get(self.l1_ratio, "elastic_net")

    def __call__(self, parameters: Iterable[Tensor]) -> Tensor:
        """Returns the penalty, []; terms of weight 0 and factors of 1 are left out."""
        flat = torch.cat([parameter.flatten() for parameter in parameters])  # a few operations, however many layers
        if self.l1_ratio == 1:
            return self.weight * flat.abs().sum()
        if self.l1_ratio == 0:
            return self.weight * flat.square().sum()
        return self.weight * (self.l1_ratio * flat.abs().sum() + (1 - self.l1_ratio) * flat.square().sum())

    @torch.no_grad()
    def add_gradient(self, parameters: Iterable[Tensor]) -> None:
        """Adds its derivative, l1 sign(p) + 2 l2 p, to `.grad` of each parameter that is trained."""
        l1, l2 = self.l1, self.l2
        for parameter in (parameter for parameter in parameters if parameter.requires_grad):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            if l1:
                parameter.grad.add_(parameter.sign(), alpha=l1)
            if l2:
                parameter.grad.add_(parameter, alpha=2 * l2)


def none() -> None:
    """Makes no penalty."""


def l1(*, weight: float) -> Penalty:
    """Makes weight · Σ|p|, which draws parameters to zero and keeps them there (Tibshirani: the lasso, 1996)."""
    return Penalty(weight, 1.0)


def l2(*, weight: float) -> Penalty:
    """Makes weight · Σp² (ridge regression; twice the weight in `optimizer.weight_decay` of `sgd` is the same)."""
    return Penalty(weight, 0.0)


def elastic_net(*, weight: float, l1_ratio: float) -> Penalty:
    """Makes weight · (l1_ratio · Σ|p| + (1 - l1_ratio) · Σp²) (Zou and Hastie, 2005)."""
    return Penalty(weight, l1_ratio)
