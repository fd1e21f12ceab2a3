"""A dry run: rows sent through a network before it trains, to list its layers and estimate its work."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fulmen.errors import first_line
from fulmen.models.code_lines import place


def run(net: nn.Module, x: Tensor, when: str = "") -> Any:
    """Returns the network's output for rows, [B, *in_shape], whatever it is.

    Raises:
        ValueError: it fails; names the line and the layer.
    """
    try:
        return net(x)
    except Exception as error:  # whatever a network of one's own may raise
        types = {str(p.dtype) for p in net.parameters() if p.is_floating_point()} - {str(x.dtype)}
        way_out = ""
        if types:
            kinds = f"the rows are {x.dtype} and it has weights in {types.pop()}".replace("torch.", "")
            way_out = f"; {kinds}: leave out .double() or .half(), or set trainer.precision, as in 64-true"
        raise ValueError(
            f"{type(net).__name__} cannot take rows of the shape {tuple(x.shape[1:])}{when}, here {len(x)}: "
            f"{place(net, error)} raises {first_line(error)}{way_out}"
        ) from error


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

    handles = [
        watch(name, module)
        for name, module in net.named_modules()
        if not list(module.children()) and not isinstance(module, torch.jit.ScriptModule)  # takes no hooks
    ]
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
    return max((math.prod(layer.out_shape) for layer in layers(net, in_shape)), default=1)
