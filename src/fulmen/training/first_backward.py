"""The report of `trainer.debug` before training: how autograd finds the first gradient.

Each operation of the forward pass leaves a `grad_fn`, which knows its derivative and those of the operations before it.
The loss is the end of this chain; a backward pass walks it, and where it meets a parameter, leaves `.grad` there.
"""

import copy

import torch
from rich.console import Console
from rich.tree import Tree
from torch import Tensor, nn

from fulmen.data.tensors import Batch
from fulmen.models.precision import computing
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.penalties import Penalize


def print_first_backward(evaluation: Evaluation, penalty: Penalize | None, batch: Batch, *, by_hand: bool) -> None:
    """Prints the chain behind the loss of `batch`, and a parameter's gradient before and after the backward pass.

    Works on a copy of the network and gives back the random numbers it draws: the run is the same without it.
    """
    console = Console()
    if by_hand:
        console.print(
            "back-propagation by hand: formulas find the gradient, so the loss has no grad_fn", highlight=False
        )
        return
    net = copy.deepcopy(evaluation.net)
    with torch.random.fork_rng(devices=[]), computing(evaluation.precision, "cpu"):
        loss = evaluation.loss(net(batch.x), batch.y, evaluation.task)
        objective = loss if penalty is None else loss + penalty(net.parameters())
    name, parameter = next(iter(net.named_parameters()))
    console.print(chain(objective, net))
    console.print(f"{name}.grad before the first backward pass: {parameter.grad}", highlight=False, soft_wrap=True)
    torch.autograd.backward(objective)
    shape = list(parameter.shape)
    console.print(f"{name}.grad after it, {shape}:\n{parameter.grad}", highlight=False, soft_wrap=True, markup=False)


def chain(loss: Tensor, net: nn.Module) -> Tree:
    """Returns every `grad_fn` from the loss to the parameters, each below the one that passes its gradient on to it."""
    names = {parameter: name for name, parameter in net.named_parameters()}
    tree, seen = Tree(f"[bold]grad_fn of the first loss, {loss.item():.4g}"), set[object]()
    waiting = [(tree, loss.grad_fn)]
    while waiting:
        above, node = waiting.pop()
        if node is None:
            continue
        parameter = names.get(getattr(node, "variable", None))  # type: ignore[arg-type]
        branch = above.add(node.name() + (f": [cyan]{parameter}" if parameter else ""), highlight=False)
        if node not in seen:  # what is used twice is followed once
            waiting += [(branch, before) for before, _ in reversed(node.next_functions)]
        seen.add(node)
    return tree
