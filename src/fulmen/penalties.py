"""Penalties on the size of the parameters, added to the loss that is trained on. All parameters count, biases too."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Penalty = Callable[[Iterable[Tensor]], Tensor]


def none() -> None:
    """No penalty."""


def l1(parameters: Iterable[Tensor], *, weight: float) -> Tensor:
    """weight · Σ|p|, which draws parameters to zero and keeps them there (Tibshirani: the lasso, 1996)."""
    return weight * _flat(parameters).abs().sum()


def l2(parameters: Iterable[Tensor], *, weight: float) -> Tensor:
    """weight · Σp² (ridge regression; twice the weight in `optimizer.weight_decay` of `sgd` is the same)."""
    return weight * _flat(parameters).square().sum()


def elastic_net(parameters: Iterable[Tensor], *, weight: float, l1_ratio: float) -> Tensor:
    """weight · (l1_ratio · Σ|p| + (1 - l1_ratio) · Σp²) (Zou and Hastie, 2005)."""
    flat = _flat(parameters)
    return weight * (l1_ratio * flat.abs().sum() + (1 - l1_ratio) * flat.square().sum())


def _flat(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector, so that a penalty costs a few operations however many layers there are."""
    return torch.cat([parameter.flatten() for parameter in parameters])
