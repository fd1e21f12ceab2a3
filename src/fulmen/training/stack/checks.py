"""Whether networks can train as one: checked before anything is written, with a sentence where they cannot.

A stack runs the Python code of one network, once, on tensors that stand for many. So it must not depend on what a copy
is, nor on values, nor keep count of anything.

Shapes: C copies, B rows of a batch.
"""

import copy
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fulmen.data.tensors import Batch
from fulmen.errors import Impossible, first_line
from fulmen.models.dry_run import evaluation_mode
from fulmen.models.precision import computing
from fulmen.training.graph import named_tensors

if TYPE_CHECKING:
    from fulmen.training.stack.networks import Stack

MODULE = vars(nn.Module()).keys()
"""Attributes of a module that torch keeps."""


def check_alike(nets: Sequence[nn.Module]) -> None:
    """Checks that networks differ in nothing but tensors of their state: a stack runs the code of one of them.

    Raises:
        Impossible: they differ in something else.
    """
    kinds, own = [*map(type, nets[0].modules())], attributes(nets[0])
    for net in nets[1:]:
        if [*map(type, net.modules())] != kinds:
            raise Impossible("the networks have different layers")
        others = attributes(net)
        # tensors aside: of those the recording of a step says more
        differ = (name for name in [*own, *others] if own.get(name) != others.get(name))
        if (name := next((name for name in differ if "tensor(" not in str(own.get(name))), None)) is not None:
            raise Impossible(f"the networks differ in {name}, which is neither a parameter nor a buffer")


def attributes(net: nn.Module) -> dict[str, str]:
    """Returns what the layers of a network keep beside tensors of its state, as texts by name."""
    return {
        f"{name}.{key}" if name else key: re.sub(" at 0x[0-9a-f]+", "", repr(value))
        for name, layer in net.named_modules()
        for key, value in vars(layer).items()
        if key not in MODULE
    }


def check(stack: "Stack", batch: Batch) -> None:
    """Compares what the first and the last copy find with what each finds by itself.

    That is loss and gradient in training, and scores in evaluation. Weights without a gradient are noted.

    Args:
        stack: before its first step.
        batch: the rows of a step, [C, B, ...], or [B, ...] where all copies have the same.

    Raises:
        Impossible: they differ, so that the network does something that a stack cannot.
    """
    with torch.no_grad():
        losses, gradient, *_ = stack.recorded(batch)(*stack.inputs(), torch.tensor(1, device=stack.device), *batch)
    with stacking():
        scores = stack.scores(batch.x, stack.weights, stack.buffers)
    tolerance = 1e-3 if batch.x.dtype == torch.float32 else 1e-10
    for place in {0, stack.copies - 1}:
        rows = Batch(*(values[place] for values in batch)) if stack.has_own_rows(batch.x) else batch
        found = torch.cat([losses[place].view(1), gradient[place], scores[place].flatten()])
        wanted = _alone(stack, place, rows)
        if wanted.isfinite().all() and not (found - wanted).norm() <= tolerance * wanted.norm() + 1e-12:
            raise Impossible("the network computes something else when it is stacked")


def _alone(stack: "Stack", place: int, batch: Batch) -> Tensor:
    """Returns loss, gradient and scores of a copy in step 1, without vmap, one after the other, [...]."""
    net = copy.deepcopy(stack.unused).to(stack.device)
    stack.fill(net, place, stack.weights[place], {name: values[place] for name, values in stack.buffers.items()})
    with torch.no_grad(), evaluation_mode(net), computing(stack.evaluation.precision, stack.device.type):
        scores = net(batch.x)
    own, task, size = named_tensors(net), stack.evaluation.task, stack.batch_size
    parts = zip(torch.split(batch.x, size), torch.split(batch.y, size), strict=True)
    loss = batch.x.new_zeros(())
    with torch.enable_grad(), computing(stack.evaluation.precision, stack.device.type):
        for index, (x, y) in enumerate(parts):
            for name in stack.counters:
                own[name].fill_(stack.parts + index)
            share = 1 if stack.sums or len(batch.x) <= size else len(x) / len(batch.x)
            loss = loss + share * stack.evaluation.loss(net(x), y, task)
        trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
        objective = loss if stack.penalty is None else loss + stack.penalty(trained)
        found = torch.autograd.grad(objective, trained, allow_unused=True)
    if any(gradient is None for gradient in found):
        stack.leave_out([gradient is not None for gradient in found])
    gradients = [torch.zeros_like(p) if g is None else g for p, g in zip(trained, found, strict=True)]
    return torch.cat([loss.detach().view(1), *(each.reshape(-1) for each in gradients), scores.flatten()])


@contextmanager
def stacking() -> Iterator[None]:
    """Turns whatever code says that meets many networks at once into a sentence.

    Raises:
        Impossible: says why the network or the loss cannot be stacked.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "There is a performance drop")  # a loop over the copies
            yield
    except Exception as error:
        raise Impossible(_why(error)) from error


def _why(error: Exception) -> str:
    """Returns why a network cannot be stacked, given what torch says of it."""
    said = str(error)
    if "random" in said and "randomness" in said:
        return "the network draws random numbers; fulmen.models.dropout.Dropout can be stacked"
    if "data-dependent" in said or ".item()" in said or "DataDependent" in type(error).__name__:
        return "the network or the loss decides by values what to do next"
    if "allow_non_fake_inputs" in said:
        return "the network uses a tensor that is neither its parameter nor its buffer"
    if found := re.search("batching rule (?:not implemented )?for ([a-z_:]+)", said, re.IGNORECASE):
        return f"torch cannot stack {found[1]}"
    return first_line(error)
