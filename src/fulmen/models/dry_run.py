"""A dry run: one row of zeros sent through a network, to check its shapes, list its layers and estimate its work."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


def check(net: nn.Module, in_shape: tuple[int, ...], out_features: int) -> None:
    """Checks that the network takes and returns rows of the right shape; leaves it as it was.

    Raises:
        ValueError: it has nothing to train, cannot take a row of this data, or returns anything but [1, out_features].
    """
    name = type(net).__name__
    if not isinstance(net, nn.Module):
        raise ValueError(f"the model is a {name}, but must be a torch.nn.Module")
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise ValueError(f"{name} has no parameters, so there is nothing to train; add a layer that has some")
    try:
        with evaluation_mode(net), torch.no_grad():
            out: object = net(torch.zeros(1, *in_shape, dtype=next(net.parameters()).dtype))
    except (RuntimeError, TypeError, IndexError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ValueError(f"{name} cannot take a row of the shape {in_shape}: {said}") from error
    wanted = (1, out_features)
    found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
    if found != wanted:
        raise ValueError(
            f"{name} returns {found} for one row, but this data needs {wanted}: [rows, out_features]; "
            "make its last layer out_features wide"
        )


@contextmanager
def evaluation_mode(net: nn.Module) -> Iterator[None]:
    """Puts a network into evaluation mode, and afterwards each module back into its own: a frozen one stays frozen."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training  # not `train`, which would set all modules below as well


class Layer(NamedTuple):
    """A module without children, in the order of the forward pass."""

    name: str
    kind: str
    out_shape: tuple[int, ...]
    """For one row: (1, ...); empty if the output is not a tensor."""
    parameters: int


def layers(net: nn.Module, in_shape: tuple[int, ...]) -> list[Layer]:
    """Returns every layer that one row of zeros, [1, *in_shape], goes through; leaves the network as it was."""
    seen: list[Layer] = []

    def watch(name: str, module: nn.Module) -> Any:
        def look(_module: nn.Module, _inputs: Any, out: Any) -> None:
            shape = tuple(out.shape) if isinstance(out, Tensor) else ()
            seen.append(Layer(name or "(all)", type(module).__name__, shape, parameter_count(module)))

        return module.register_forward_hook(look)

    handles = [watch(name, module) for name, module in net.named_modules() if not list(module.children())]
    try:
        with evaluation_mode(net), torch.no_grad():
            net(torch.zeros(1, *in_shape, dtype=next(net.parameters()).dtype))
    finally:
        for handle in handles:
            handle.remove()
    return seen


def parameter_count(module: nn.Module) -> int:
    """Returns the number of trained parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def work(net: nn.Module, in_shape: tuple[int, ...]) -> int:
    """Returns the multiplications of a row's forward pass: a parameter counts once for each pixel it is applied to."""
    return sum(layer.parameters * math.prod(layer.out_shape[2:]) for layer in layers(net, in_shape))


def widest(net: nn.Module, in_shape: tuple[int, ...]) -> int:
    """Returns the size of the largest output of a layer, for one row."""
    return max(math.prod(layer.out_shape) for layer in layers(net, in_shape))
