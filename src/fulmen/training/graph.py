"""Training as a graph of operations on tensors, which torch's `make_fx` records once.

Two graphs are recorded. The *gradient* alone is called operation by operation: at every step autograd builds a chain of
what it has to undo, and walks it, though the operations are always the same; calling them directly shortens a small
step, with the same bits. The *whole step*, gradient, penalty, clipping and optimizer, is for `compile.py`. (dynamo,
with which `torch.compile` begins, does not enter optimizers.)

The price: Python in a network runs only while it is recorded, and may not depend on values, as `if x.sum() > 0` does.
"""

import functools
import inspect
import itertools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import Graph, GraphModule, Node
from torch.optim import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, Optimizer, RMSprop
from torch.overrides import TorchFunctionMode

from fulmen.data.tensors import Batch
from fulmen.errors import Impossible
from fulmen.tasks import losses
from fulmen.tasks.evaluation import Evaluation
from fulmen.training import torch_private
from fulmen.training.optimizers import GD, MakeOptimizer

TrainStep = Callable[[Batch, Any], Tensor]
"""Trains on the batch of a step, given its number; returns its loss without the penalty, [], detached."""
Update = Callable[[Callable[[], Any]], Any]
"""Changes the parameters, given a closure that finds their gradient."""
Backward = Callable[[Tensor], Any]
"""Adds the gradient of a number to every parameter's `.grad`."""
BuildStep = Callable[[Update, Backward], TrainStep]
Differentiate = Callable[[Tensor, Tensor], Tensor]
"""Finds every parameter's `.grad` for rows x, y; returns their loss, [], detached."""
Function = Callable[..., Sequence[Tensor]]

LONG = 4000
"""Steps from which on recording the gradient pays (some 0.05 s for each of two shapes of batches)."""
KNOWN = ("torch.nn.modules.", "fulmen.models.")
"""Modules whose layers do nothing but operations on tensors."""
ELEMENTWISE = (GD, SGD, Adam, AdamW, Adamax, RMSprop, Adagrad, Adadelta)
"""Optimizers whose update of a number of a weight depends on nothing but that number's gradient and state."""
aten = torch.ops.aten


def mutable_state(net: nn.Module, optimizer: Optimizer) -> list[Tensor]:
    """Returns what a step changes, itself and not copies: weights, the network's buffers, the optimizer's state.

    Raises:
        Impossible: that state is more than tensors.
    """
    kept = [value for parameter in net.parameters() for value in optimizer.state.get(parameter, {}).values()]
    if not all(isinstance(value, Tensor) for value in kept):
        raise Impossible("the optimizer's state is more than tensors")
    return [*(parameter.detach() for parameter in net.parameters()), *net.buffers(), *kept]


def settings(optimizer: Optimizer) -> dict[str, Any]:
    """Returns the optimizer's settings but for its learning rate: in a graph they are constants."""
    return {name: value for name, value in optimizer.param_groups[0].items() if name not in ("params", "lr")}


class Layout:
    """The tensors of `mutable_state` as a few flat ones: weights, one of their states, buffers.

    An elementwise optimizer then has one tensor to update instead of one for each layer, which makes both the graph and
    its machine code shorter. It is made after a step, so that the weights that are trained have a gradient.

    Shapes: a flat tensor is [n], as long as its tensors together.
    """

    def __init__(self, net: nn.Module, optimizer: Optimizer) -> None:
        parameters, tensors = list(net.parameters()), mutable_state(net, optimizer)
        count = len(parameters) + len(list(net.buffers()))
        position = itertools.count(count)
        states = [{name: next(position) for name in optimizer.state.get(parameter, ())} for parameter in parameters]
        groups: dict[Any, list[int]] = {}
        for index, parameter in enumerate(parameters):
            if parameter.grad is not None:
                kind = (parameter.dtype, parameter.device, *states[index])
                groups.setdefault(kind if type(optimizer) in ELEMENTWISE else index, []).append(index)
        self.shapes = [tensor.shape for tensor in tensors]
        self.groups = list(groups.values())
        """Indices of the parameters that are updated as one."""
        self.states = [
            {name: [states[index][name] for index in group] for name in states[group[0]]} for group in self.groups
        ]
        """Indices of their states, by name."""
        self.buckets = [
            bucket for group, of in zip(self.groups, self.states, strict=True) for bucket in (group, *of.values())
        ]
        """Indices of the tensors that each flat one consists of."""
        rest: dict[Any, list[int]] = {}
        for index in sorted(set(range(len(tensors))) - set(itertools.chain.from_iterable(self.buckets))):
            rest.setdefault((tensors[index].dtype, tensors[index].device), []).append(index)
        self.buckets += rest.values()

    def flatten(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Copies the tensors of `mutable_state` into flat ones."""
        return [torch.cat([tensors[index].reshape(-1) for index in bucket]) for bucket in self.buckets]

    def unflatten(self, flat: Sequence[Tensor]) -> list[Tensor]:
        """Returns views of flat tensors, in the order of `mutable_state`."""
        pieces = zip(itertools.chain.from_iterable(self.buckets), self._pieces(flat, self.buckets), strict=True)
        return [piece for _, piece in sorted(pieces, key=operator.itemgetter(0))]

    def for_optimizer(self, values: Tensor, bucket: list[int], group: list[int]) -> Tensor:
        """Returns a flat tensor as an optimizer of `group` takes it."""
        shapes = [self.shapes[index] for index in bucket]
        if len(bucket) == 1:
            return values.view(shapes[0])
        return values if shapes == [self.shapes[index] for index in group] else values[0].clone()  # a count of steps

    def gradients(self, flat: Sequence[Tensor]) -> dict[int, Tensor]:
        """Returns views of the flat gradients of the groups, by the index of their parameter."""
        return dict(zip(itertools.chain.from_iterable(self.groups), self._pieces(flat, self.groups), strict=True))

    def _pieces(self, flat: Sequence[Tensor], buckets: list[list[int]]) -> Iterator[Tensor]:
        for values, bucket in zip(flat, buckets, strict=True):
            shapes = [self.shapes[index] for index in bucket]
            for piece, shape in zip(torch.split(values, [shape.numel() for shape in shapes]), shapes, strict=True):
                yield piece.view(shape)


def trace_step(
    net: nn.Module,
    optimizer: Optimizer,
    make_optimizer: MakeOptimizer,
    build: BuildStep,
    batch: Batch,
    layout: Layout,
    decompositions: Mapping[Any, Callable[..., Any]] | None = None,
) -> GraphModule:
    """Records a whole step as a function of tensors.

    Args:
        net: as it is before the step, like
        optimizer: that trains it. Neither is changed.
        make_optimizer: makes another one.
        build: builds the run's own step, for the tensors that `net` has at that moment.
        batch: of the shape that the graph is for.
        layout: of what the step changes.
        decompositions: operations to be recorded as others.

    Returns:
        A function of the flat tensors of `layout`, which it changes, the learning rate, [] in float64, the step's
        number, [] in int64, x and y. It returns the loss, [], and the flat gradient of each group of `layout`.

    Raises:
        Impossible: there is none.
        Exception: whatever code raises that meets tensors without values.
    """
    from torch.fx.experimental.proxy_tensor import make_fx
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    named, parameters = named_tensors(net), list(net.parameters())

    def whole(*inputs: Tensor) -> Any:
        *flat, rate, step, x, y = inputs
        given = iter(layout.unflatten(flat))
        own = {id(weight): next(given).detach().requires_grad_(weight.requires_grad) for weight in parameters}
        own |= {id(buffer): next(given) for buffer in net.buffers()}
        take = functools.partial(_take_step, net, settings(optimizer), make_optimizer, build, layout)
        taken = {f"net.{name}": own[id(tensor)] for name, tensor in named.items()}
        return functional_call(Within(net, take), taken, (flat, rate, step, Batch(x, y)), tie_weights=False)

    scalars = [torch.zeros((), dtype=dtype, device=batch.x.device) for dtype in (torch.float64, torch.int64)]
    inputs = [*layout.flatten(mutable_state(net, optimizer)), *scalars, *batch]
    try:
        return make_fx(whole, dict(decompositions or {}), tracing_mode="fake")(*inputs)
    except GuardOnDataDependentSymNode as error:
        raise Impossible("the network or the optimizer decides by values what to do next") from error


def _take_step(
    net: nn.Module,
    constants: Mapping[str, Any],
    make_optimizer: MakeOptimizer,
    build: BuildStep,
    layout: Layout,
    flat: list[Tensor],
    rate: Tensor,
    step: Tensor,
    batch: Batch,
) -> list[Tensor]:
    """Takes the run's own step with `net` as it is for the moment, and an optimizer of the flat tensors."""
    parameters, buffers = list(net.parameters()), dict(net.named_buffers())
    weights, states, kept = list[Tensor](), list[dict[str, Tensor]](), list[dict[str, Tensor]]()
    buckets = iter(flat)
    for group, places in zip(layout.groups, layout.states, strict=True):
        weights.append(layout.for_optimizer(next(buckets), group, group).detach().requires_grad_())
        kept.append({name: next(buckets) for name in places})
        states.append({name: layout.for_optimizer(kept[-1][name], bucket, group) for name, bucket in places.items()})
    optimizer = make_optimizer(weights)
    plain = dict.fromkeys({"foreach", "fused"} & constants.keys(), False)
    optimizer.param_groups[0] |= {**constants, **plain, "lr": rate}
    optimizer.state.clear()
    optimizer.state.update(zip(weights, map(dict, states), strict=True))
    bare = functools.partial(inspect.unwrap(type(optimizer).step), optimizer)  # no marks for profilers

    def update(closure: Callable[[], Any]) -> Any:
        def joined() -> Any:
            objective = closure()
            for weight, group in zip(weights, layout.groups, strict=True):
                gradients = [parameters[index].grad for index in group]
                weight.grad = torch.cat([g.reshape(-1) for g in gradients if g is not None]).view_as(weight)
            return objective

        return bare(joined)

    with Numbers(), torch.no_grad():
        loss = build(update, torch.autograd.backward)(batch, step)
        for weight, given, values in zip(weights, states, kept, strict=True):
            _write_back(values, given, optimizer.state[weight])
        _write_back(buffers, buffers, dict(net.named_buffers()))
    return [loss, *(weight.grad.reshape(-1) for weight in weights if weight.grad is not None)]


def _write_back(kept: Mapping[str, Tensor], given: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    """Copies to where they are kept those tensors that were not updated there in place."""
    if given.keys() != after.keys():
        raise Impossible(f"what is kept from step to step is first {list(given)} and then {list(after)}")
    for name, tensor in after.items():
        if tensor is not given[name] or tensor.numel() != kept[name].numel():
            kept[name].copy_(tensor.reshape(-1) if kept[name].ndim == 1 else tensor)


class Within(nn.Module):
    """A module that calls a function while `functional_call` has given `net` other tensors."""

    def __init__(self, net: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.net, self.function = net, function

    def forward(self, *args: Any) -> Any:
        return self.function(*args)


class Numbers(TorchFunctionMode):
    """A mode in which the numbers of optimizers, counts of steps and the learning rate, stay tensors in the graph."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.item:  # a number has the digits of float64, whatever it comes from
            (tensor,) = args
            return tensor.detach().to(torch.float64 if tensor.is_floating_point() else tensor.dtype, copy=True)
        kwargs = dict(kwargs or {})
        for factor in [name for name in ("alpha", "value") if isinstance(kwargs.get(name), Tensor)]:
            args = (args[0], args[1] * kwargs.pop(factor), *args[2:])  # a + alpha · b, a + value · b / c
        return func(*args, **kwargs)


def is_known(evaluation: Evaluation) -> bool:
    """Returns whether network and loss are known to do nothing but operations on tensors."""
    layers = evaluation.net.modules()
    known = all(type(layer).__module__.startswith(KNOWN) and "forward" not in vars(layer) for layer in layers)
    is_ours = getattr(evaluation.loss.function, "__module__", None) == losses.__name__
    return known and is_ours and not torch_private.has_hooks(evaluation.net)


def named_tensors(net: nn.Module) -> dict[str, Tensor]:
    """Returns every parameter and buffer by each of its names, as `functional_call` wants it without `tie_weights`.

    Layers may share a parameter, which then has several names; of a layer that has several names itself one counts, as
    what is put there is put there once.
    """
    return {
        f"{prefix}.{name}" if prefix else name: tensor
        for prefix, layer in net.named_modules()
        for tensors in (layer.named_parameters, layer.named_buffers)
        for name, tensor in tensors(recurse=False, remove_duplicate=False)
    }


class RecordedGradient:
    """The gradient by autograd's own operations, recorded once for each number of rows; in place of autograd (`own`).

    It is for an evaluation of which `is_known` holds, on its device.
    """

    def __init__(self, evaluation: Evaluation, own: Differentiate) -> None:
        self.evaluation, self.own = evaluation, own
        self.parameters, self.buffers = list(evaluation.net.parameters()), list(evaluation.net.buffers())
        self.functions: dict[int, Function | None] = {}

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Finds every parameter's `.grad`; returns the loss, as `Differentiate` does."""
        rows = len(x)
        if rows not in self.functions:
            return self._first(x, y)
        function = self.functions[rows]
        if function is None:
            return self.own(x, y)
        with torch.no_grad():
            loss, *gradients = function(*self.parameters, *self.buffers, x, y)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        return loss

    def _first(self, x: Tensor, y: Tensor) -> Tensor:
        """Finds it by autograd; keeps the recorded function if it finds the same, to the last bit."""
        copies, rows = [buffer.clone() for buffer in self.buffers], [x.clone(), y.clone()]
        try:
            function = trace_gradient(self.evaluation, self.parameters, self.buffers, x, y)
            with torch.no_grad(), torch.random.fork_rng([x.device] if x.is_cuda else []):
                found = function(*self.parameters, *copies, *rows)
        except Exception:  # whatever code says that meets tensors without values
            self.functions[len(x)] = None
            return self.own(x, y)
        loss = self.own(x, y)
        expected = [loss, *(parameter.grad for parameter in self.parameters), *self.buffers, x, y]
        pairs = zip([*found, *copies, *rows], expected, strict=True)
        is_same = all(other is not None and torch.equal(one, other) for one, other in pairs)
        self.functions[len(x)] = function if is_same else None
        return loss


def trace_gradient(
    evaluation: Evaluation, parameters: list[nn.Parameter], buffers: list[Tensor], x: Tensor, y: Tensor
) -> Function:
    """Records the operations that find loss and gradients of rows of the shape of x and y.

    Raises:
        Exception: whatever code raises that meets tensors without values.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    named = named_tensors(evaluation.net)
    index = {id(tensor): place for place, tensor in enumerate([*parameters, *buffers])}

    def differentiate(*flat: Tensor) -> list[Tensor]:
        *tensors, x, y = flat
        own = [tensor.detach().requires_grad_() for tensor in tensors[: len(parameters)]]
        taken = [*own, *tensors[len(parameters) :]]
        given = {name: taken[index[id(tensor)]] for name, tensor in named.items()}
        out = functional_call(evaluation.net, given, x, tie_weights=False)
        loss = evaluation.loss(out, y, evaluation.task)
        return [loss.detach(), *torch.autograd.grad(loss, own)]

    graph = make_fx(differentiate, tracing_mode="fake")(*parameters, *buffers, x, y)
    shorten(graph.graph)
    graph.recompile()
    return graph.forward


def shorten(graph: Graph) -> None:
    """Removes operations that change nothing: detaching, transposing twice, another view of the same shape, times 1."""
    for node in graph.nodes:
        before = node.args[0] if node.args else None
        if not isinstance(before, Node):
            continue
        shapes = {getattr(each.meta.get("val"), "shape", None) for each in (node, before)}
        is_view = node.target in VIEWS and len(shapes) == 1 and None not in shapes
        is_times_one = node.target is aten.mul.Scalar and node.args[1] == 1 and not _is_changed(node)
        if node.target is aten.detach.default or is_view or is_times_one:
            node.replace_all_uses_with(before)
        elif node.target is aten.t.default and before.target is aten.t.default:
            node.replace_all_uses_with(before.args[0])
    graph.eliminate_dead_code()


VIEWS = (aten.view.default, aten._unsafe_view.default, aten.expand.default)


def _is_changed(node: Node) -> bool:
    """Returns whether an operation writes to what `node` gives, which must then be a copy."""
    schemas = [getattr(user.target, "_schema", None) for user in node.users]
    return any(schema is None or schema.is_mutable for schema in schemas)
