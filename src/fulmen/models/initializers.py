"""Initial values of the parameters. Each initializer takes a network and fills its layers in place.

A layer is any module that owns a parameter of two or more dimensions; normalization layers are left as they are.
`bias` sets the layer's one-dimensional parameters: `zeros`, or `same` for the distribution of the weights, as a row
[1, n]. Fans are counted as torch does: inputs (or outputs) times the kernel's size.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from fulmen.errors import first_line
from fulmen.models.dry_run import class_line, evaluation_mode, run
from fulmen.models.precision import data_type, default_dtype
from fulmen.rules import called, listed, type_of, wrong_part

Bias = Literal["zeros", "same"]
NORMALIZATIONS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)
"""Layers that are left as they are, although some own scales of several dimensions."""


def default(net: nn.Module) -> None:
    """Keeps each layer's own values: for torch's linear layers and convolutions uniform in ±1/√fan_in."""


def zeros(net: nn.Module) -> None:
    """Sets all to zero: the units of a layer then stay equal, which every other initializer avoids."""
    _fill(net, nn.init.zeros_, "same")


def normal(net: nn.Module, *, std: float, bias: Bias) -> None:
    """Draws from N(0, std²)."""
    _fill(net, lambda weight: nn.init.normal_(weight, 0.0, std), bias)


def xavier_uniform(net: nn.Module, *, bias: Bias) -> None:
    """Draws uniformly from ±√(6 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    _fill(net, nn.init.xavier_uniform_, bias)


def xavier_normal(net: nn.Module, *, bias: Bias) -> None:
    """Draws from N(0, 2 / (fan_in + fan_out)) (Glorot and Bengio, 2010)."""
    _fill(net, nn.init.xavier_normal_, bias)


def he_uniform(net: nn.Module, *, bias: Bias) -> None:
    """Draws uniformly from ±√(6 / fan_in), for ReLU (He et al.: Delving deep into rectifiers, 2015)."""
    _fill(net, lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"), bias)


def he_normal(net: nn.Module, *, bias: Bias) -> None:
    """Draws from N(0, 2 / fan_in), for ReLU (He et al., 2015)."""
    _fill(net, lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"), bias)


def lecun_uniform(net: nn.Module, *, bias: Bias) -> None:
    """Draws uniformly from ±√(3 / fan_in) (LeCun et al.: Efficient BackProp, 1998)."""

    def draw(weight: Tensor) -> Tensor:
        bound = math.sqrt(3 / weight[0].numel())
        return nn.init.uniform_(weight, -bound, bound)

    _fill(net, draw, bias)


def lecun_normal(net: nn.Module, *, bias: Bias) -> None:
    """Draws from N(0, 1 / fan_in) (LeCun et al., 1998)."""
    _fill(net, lambda weight: nn.init.normal_(weight, 0.0, math.sqrt(1 / weight[0].numel())), bias)


def orthogonal(net: nn.Module, *, bias: Bias) -> None:
    """Draws an orthogonal matrix, or its rows or columns (Saxe, McClelland, Ganguli, 2014)."""
    _fill(net, nn.init.orthogonal_, bias)


def _fill(net: nn.Module, initialize: Callable[[Tensor], Tensor], bias: Bias) -> None:
    for module in net.modules():
        parameters = list(module.parameters(recurse=False))
        if isinstance(module, NORMALIZATIONS) or not any(parameter.ndim > 1 for parameter in parameters):
            continue
        for parameter in parameters:
            if parameter.ndim > 1:
                initialize(parameter)
            elif bias == "same":
                initialize(parameter.unsqueeze(0).detach())
            else:
                nn.init.zeros_(parameter)


def new_network(
    model: Callable[..., nn.Module],
    in_shape: tuple[int, ...],
    out_features: int,
    precision: str,
    seed: int = 0,
    init: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Makes a network that fits the data; its initial values are drawn in double precision if it computes in that.

    Raises:
        ValueError: it is no network, or has lazy layers that cannot be sized.
    """
    torch.manual_seed(seed)
    double = data_type(precision) == torch.float64
    with default_dtype(torch.float64 if double else torch.float32):
        make = partial(model, in_shape=in_shape, out_features=out_features)
        kind = getattr(model, "func", model)
        is_ours = str(getattr(kind, "__module__", "")).startswith("fulmen.")  # which says in a sentence what is wrong
        net = make() if is_ours else called("model", getattr(kind, "__name__", ""), make)
        if not isinstance(net, nn.Module):
            raise ValueError(f"the model is {type_of(net)}, but must be a torch.nn.Module")
        if _lazy(net):  # they need weights that can be initialized
            with evaluation_mode(net), torch.no_grad():
                run(net, torch.zeros(2, *in_shape))
        if unused := _lazy(net):
            owner = class_line(net, unused[0])
            raise ValueError(f"{owner} has a lazy layer that forward does not use, with {unused[0]}; leave it out")
        if init is not None:
            _initialize(net, init)
    return net


def _initialize(net: nn.Module, init: Callable[[nn.Module], None]) -> None:
    name, before = getattr(getattr(init, "func", init), "__name__", ""), {n: p.shape for n, p in net.named_parameters()}
    returned: object = called("init", name, lambda: init(net))
    if returned is not None:
        raise wrong_part("init", name, f"returned {type_of(returned)}")
    for parameter, values in net.named_parameters():
        if before.get(parameter) != values.shape:
            raise wrong_part("init", name, f"replaced {parameter} by another of shape {[*values.shape]}")
        if not values.isfinite().all():
            raise wrong_part("init", name, f"filled {parameter} with values that are not finite")


def _lazy(net: nn.Module) -> list[str]:
    return [name for name, value in [*net.named_parameters(), *net.named_buffers()] if is_lazy(value)]


def load_weights(net: nn.Module, state: Mapping[str, Any]) -> None:
    """Loads the state of another network of the same kind.

    Raises:
        ValueError: it is of another kind; names the weights that differ.
    """
    try:
        net.load_state_dict(state)
    except Exception as error:  # a network's own hooks may raise anything
        own = {name: [*getattr(value, "shape", ())] for name, value in net.state_dict().items()}
        found = {name: [*getattr(value, "shape", ())] for name, value in state.items()}
        resized = [f"{name} {found[name]}, here {own[name]}" for name in own if found.get(name, own[name]) != own[name]]
        differences = {
            "without": [f"{name} {own[name]}" for name in own if name not in found],
            "with": [f"{name} {found[name]}" for name in found if name not in own],
            "of another size:": resized,
        }
        what = "; ".join(f"{lead} {listed(names)}" for lead, names in differences.items() if names) or first_line(error)
        raise ValueError(f"the weights are those of another {class_line(net, '__init__')}, {what}") from error
