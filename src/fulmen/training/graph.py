"""A whole step of training as a graph of operations on tensors, for `compiled.py`.

The learner's own step, gradient, penalty, clipping and optimizer included, runs once on tensors without values, while
torch's `make_fx` notes what it does to them. (dynamo, with which `torch.compile` begins, does not enter optimizers.)
The price: Python in a network runs but this once, and may not depend on values, as `if x.sum() > 0` does.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import GraphModule
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from fulmen.data.tensors import Batch
from fulmen.training.optimizers import MakeOptimizer
from fulmen.training.replayed import named_tensors
from fulmen.training.step import Advance, Backward, Update

MakeAdvance = Callable[[Update, Backward], Advance]


class Impossible(Exception):
    """There is no graph that does the same; says why."""


def mutable_state(net: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    """What a step changes, as it is and where it is: weights, the network's buffers, the optimizer's state.

    Raises:
        Impossible: that state is more than tensors.
    """
    kept = [value for parameter in net.parameters() for value in optimizer.state.get(parameter, {}).values()]
    if not all(isinstance(value, Tensor) for value in kept):
        raise Impossible("the optimizer's state is more than tensors")
    return [*(parameter.detach() for parameter in net.parameters()), *net.buffers(), *kept]


def settings(optimizer: Optimizer) -> dict[str, Any]:
    """The optimizer's, but for its learning rate: in a graph they are constants."""
    return {name: value for name, value in optimizer.param_groups[0].items() if name not in ("params", "lr")}


def trace(
    net: nn.Module,
    optimizer: Optimizer,
    make_optimizer: MakeOptimizer,
    make_advance: MakeAdvance,
    rate: Tensor,
    step: Tensor,
    batch: Batch,
) -> GraphModule:
    """The graph of a step.

    Args:
        net: as it is before the step, like
        optimizer: that trains it. Neither is changed.
        make_optimizer: makes another one.
        make_advance: makes the learner's own step, for the tensors that `net` has at that moment.
        rate: the learning rate, [].
        step: its number, [].
        batch: of the shape that the graph is for.

    Returns:
        A function of the tensors of `changing`, which it changes, of rate, step, x and y, to the loss, [], and the
        gradient of each parameter.

    Raises:
        Impossible: there is none.
        Exception: whatever code says that meets tensors without values.
    """
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    named, parameters = named_tensors(net), list(net.parameters())
    states = [list(optimizer.state.get(parameter, ())) for parameter in parameters]

    def whole(*flat: Tensor) -> Any:
        *tensors, rate, step, x, y = flat
        given = iter(tensors)
        own = {id(weight): next(given).detach().requires_grad_(weight.requires_grad) for weight in parameters}
        own |= {id(buffer): next(given) for buffer in net.buffers()}
        state = [{name: next(given) for name in names} for names in states]
        note = functools.partial(_note, net, settings(optimizer), make_optimizer, make_advance)
        taken = {f"net.{name}": own[id(tensor)] for name, tensor in named.items()}
        return functional_call(_Within(net, note), taken, (state, rate, step, Batch(x, y)), tie_weights=False)

    try:
        return make_fx(whole, tracing_mode="fake")(*mutable_state(net, optimizer), rate, step, *batch)
    except GuardOnDataDependentSymNode as error:
        raise Impossible("the network or the optimizer decides by values what to do next") from error


def _note(
    net: nn.Module,
    constants: Mapping[str, Any],
    make_optimizer: MakeOptimizer,
    make_advance: MakeAdvance,
    states: list[dict[str, Tensor]],
    rate: Tensor,
    step: Tensor,
    batch: Batch,
) -> list[Tensor | None]:
    """Takes the learner's own step with `net` as it is for the moment, and an optimizer in the states given."""
    parameters, buffers = list(net.parameters()), dict(net.named_buffers())
    optimizer = make_optimizer(parameters)
    plain = {name: False for name in ("foreach", "fused") if name in constants}
    optimizer.param_groups[0] |= {**constants, **plain, "lr": rate}
    optimizer.state.clear()
    for parameter, state in zip(parameters, states, strict=True):
        optimizer.state[parameter] = dict(state)
    update = functools.partial(inspect.unwrap(type(optimizer).step), optimizer)  # no marks for profilers
    with _Numbers(), torch.no_grad():
        loss = make_advance(update, torch.autograd.backward)(batch, step)
        for parameter, state in zip(parameters, states, strict=True):
            _write_back(state, optimizer.state[parameter])
        _write_back(buffers, dict(net.named_buffers()))
    return [loss, *(parameter.grad for parameter in parameters)]


def _write_back(given: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    """Copies back tensors that the optimizer replaced instead of updating in place."""
    if given.keys() != after.keys():
        raise Impossible(f"what is kept from step to step is first {list(given)} and then {list(after)}")
    for name, tensor in after.items():
        if tensor is not given[name]:
            given[name].copy_(tensor)


class _Within(nn.Module):
    """Calls a function while `functional_call` has given `net` other tensors."""

    def __init__(self, net: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.net, self.function = net, function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


class _Numbers(TorchFunctionMode):
    """What optimizers make numbers of, counts of steps and the learning rate, stays tensors and so in the graph."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.item:  # a number has the digits of float64, whatever it comes from
            (tensor,) = args
            return tensor.detach().to(torch.float64 if tensor.is_floating_point() else tensor.dtype, copy=True)
        kwargs = dict(kwargs or {})
        for factor in [name for name in ("alpha", "value") if isinstance(kwargs.get(name), Tensor)]:
            args = (args[0], args[1] * kwargs.pop(factor), *args[2:])  # a + alpha · b, a + value · b / c
        return func(*args, **kwargs)
