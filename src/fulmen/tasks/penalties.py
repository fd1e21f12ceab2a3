"""Penalties on the size of the parameters, added to the loss that is trained on. All parameters count, biases too."""

import functools
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


def coefficients(penalty: Penalty) -> tuple[float, float] | None:
    """(a, b) of a penalty Σ(a |p| + b p²); None for one of the user's own."""
    options = penalty.keywords if isinstance(penalty, functools.partial) else {}
    weight, function = options.get("weight", 0.0), getattr(penalty, "func", penalty)
    ratios = [(l1, 1.0), (l2, 0.0), (elastic_net, options.get("l1_ratio"))]
    ratio = next((ratio for known, ratio in ratios if function is known), None)
    return None if ratio is None else (weight * ratio, weight * (1 - ratio))


@torch.no_grad()
def add_gradient(shares: tuple[float, float], parameters: Iterable[Tensor]) -> None:
    """Adds a sign(p) + 2 b p, the derivative of a penalty of these shares, to `.grad` of what learns."""
    of_size, of_square = shares
    for parameter in (parameter for parameter in parameters if parameter.requires_grad):
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        if of_size:
            parameter.grad.add_(parameter.sign(), alpha=of_size)
        if of_square:
            parameter.grad.add_(parameter, alpha=2 * of_square)


def _flat(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters as one vector, so that a penalty costs a few operations however many layers there are."""
    return torch.cat([parameter.flatten() for parameter in parameters])
