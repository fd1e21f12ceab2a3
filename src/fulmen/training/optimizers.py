"""Gradient descent written out, and how every optimizer is made."""

import inspect
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from fulmen.training.parameters import Groups

MakeOptimizer = Callable[..., Optimizer]
FUSED_DEVICES = ("cpu", "cuda", "mps")


class GD(Optimizer):
    """The update by hand: p ← p - lr · (∂loss/∂p + weight_decay · p)."""

    def __init__(self, params: Iterable[Tensor], *, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Updates every parameter that has a gradient, and returns the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter -= group["lr"] * (parameter.grad + group["weight_decay"] * parameter)
        return loss


def make(optimizer: MakeOptimizer, parameters: Sequence[Tensor] | Groups) -> Optimizer:
    """Returns the optimizer of parameters; one fused kernel a step where torch has it, about a fifth faster."""
    factory = getattr(optimizer, "func", optimizer)
    tensors = [p for each in parameters for p in (each["params"] if isinstance(each, dict) else [each])]
    fits = tensors[0].device.type in FUSED_DEVICES and all(p.is_floating_point() for p in tensors)
    if fits and "fused" in inspect.signature(factory).parameters:
        return optimizer(parameters, fused=True)
    return optimizer(parameters)
