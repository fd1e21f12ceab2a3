"""A dry run: rows sent through a network before it trains, to list its layers and estimate its work.

What fails there may be the user's own code; messages name its line.
"""

import inspect
import math
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from fulmen.errors import first_line

LIBRARIES = ("torch", "fulmen", "lightning")


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


def class_line(module: nn.Module, name: str) -> str:
    """Returns a module's class with the first line of its code that has a name in it, as in `Net (nets.py:7)`.

    Of a name with points, such as that of a weight, the first part counts.
    """
    kind = type(module)
    try:
        lines, start = inspect.getsourcelines(kind)
        file = Path(inspect.getfile(kind)).name
    except (OSError, TypeError):
        return kind.__name__
    name, *_ = name.split(".")
    written = re.compile(rf"""(self\.|def |["']){re.escape(name)}\b""")
    index = next((index for index, line in enumerate(lines) if written.search(line)), 0)
    return f"{kind.__name__} ({file}:{start + index})"


def place(net: nn.Module, error: BaseException) -> str:
    """Returns the line of a user's code and the layer that raised an error, as in `nets.py:7, in head (Linear)`."""
    names = {id(module): name for name, module in net.named_modules()}
    line = layer = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] not in LIBRARIES:
            line = f"{Path(frame.f_code.co_filename).name}:{number}"
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and names.get(id(module)):
            layer = f"in {names[id(module)]} ({type(module).__name__})"
    return ", ".join(filter(None, [line, layer])) or type(net).__name__


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

    def look(name: str, module: nn.Module, _inputs: Any, out: Any) -> None:
        shape = tuple(out.shape) if isinstance(out, Tensor) else ()
        seen.append(Layer(name or "(all)", type(module).__name__, shape, parameter_count(module)))

    handles = [
        module.register_forward_hook(partial(look, name))
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
