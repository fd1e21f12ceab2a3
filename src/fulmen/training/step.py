"""A step of the optimizer on a batch: the gradient of loss and penalty, clipped, and the update.

Of a small network's step most is Python; so what autograd, an optimizer or Lightning could be asked for, but need not
be, is left out here.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import LBFGS, Optimizer
from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

from fulmen.data.tensors import Batch
from fulmen.models.dropout import dropouts
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.penalties import Penalize, Penalty
from fulmen.training.backprop.gradient import Gradient
from fulmen.training.optimizers import GD
from fulmen.training.replayed import Differentiate, Replayed, is_known

Advance = Callable[[Batch, Any], Tensor]
"""Trains on the batch of step so-and-so; returns its loss without the penalty, [], detached."""
Update = Callable[[Callable[[], Any]], Any]
"""Changes the parameters, given what finds their gradient."""
Backward = Callable[[Tensor], Any]
"""Adds the gradient of a number to every parameter's `.grad`."""


class Stepping:
    """What the steps of a run have in common.

    Args:
        evaluation: the network, how its output is read, and the loss.
        penalty: a function of the parameters, or None.
        by_hand: finds the gradient of both; None for autograd.
        gradient_clip: largest norm of the gradient, or None.
        batch_size: rows that go through the network at once.
        batch_rows: rows in one step of the optimizer.
        seed: of dropout.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        *,
        penalty: Penalize | None,
        by_hand: Gradient | None,
        gradient_clip: float | None,
        batch_size: int,
        batch_rows: int,
        seed: int,
    ) -> None:
        self.evaluation, self.penalty, self.by_hand = evaluation, penalty, by_hand
        self.gradient_clip, self.batch_size = gradient_clip, batch_size
        self.sums = evaluation.loss.reduction == "sum"
        self.dropouts = dropouts(evaluation.net, seed)
        self.parts = -(-batch_rows // batch_size)
        self.replayed: Replayed | None = None

    def plain(self, optimizer: Optimizer) -> Advance:
        """With nothing but torch.

        Torch's optimizers call a closure once, before all else, so that it can be called without them as well; all but
        L-BFGS, which asks for loss and gradient at several places. Of others nothing is known.
        """
        known = type(optimizer) is GD or f"{type(optimizer).__module__}.".startswith("torch.optim.")
        if isinstance(optimizer, LBFGS) or not known:
            return self.make(optimizer.step, torch.autograd.backward)
        step = _bare(optimizer)

        def update(gradient: Callable[[], Any]) -> None:
            gradient()
            with torch.no_grad():
                step()

        return self.make(update, torch.autograd.backward, of_sum=False)

    def make(self, update: Update, backward: Backward, *, of_sum: bool = True) -> Advance:
        """A function that trains on one batch.

        Args:
            update: is given a closure.
            backward: finds the gradient of a loss.
            of_sum: whether penalty and loss are added up, as `update` may ask for and scaled gradients need; else the
                penalty's gradient is added by its formula, if that is known, without autograd's dozen of operations on
                all parameters, and the loss's is replayed.
        """
        parameters = list(self.evaluation.net.parameters())
        formula = self.penalty if isinstance(self.penalty, Penalty) and not of_sum else None
        penalty = self.penalty if formula is None else None
        own = functools.partial(self._differentiate, backward)
        differentiate = own if of_sum or self.replayed is None else self.replayed
        gradient = self.by_hand or functools.partial(self._gradient, parameters, backward, differentiate, penalty)
        clip = self.gradient_clip

        def advance(batch: Batch, step: int) -> Tensor:
            seen: list[Tensor] = []

            def closure() -> Tensor:
                for parameter in parameters:
                    parameter.grad = None
                loss, objective = gradient(batch, step)
                seen.append(loss)
                if formula is not None and self.by_hand is None:
                    formula.add_gradient(parameters)
                if clip is not None:
                    clip_grad_norm_(parameters, clip)
                return objective

            update(closure)
            return seen[0]  # L-BFGS evaluates several times; the first is the loss of the weights before the step

        return advance

    def replay(self) -> None:
        """Finds gradients without autograd from now on, where that is known to give the same."""
        if self.by_hand is None and is_known(self.evaluation):
            self.replayed = Replayed(self.evaluation, functools.partial(self._differentiate, torch.autograd.backward))

    def _gradient(
        self,
        parameters: list[nn.Parameter],
        backward: Backward,
        differentiate: Differentiate,
        penalty: Penalize | None,
        batch: Batch,
        step: int,
    ) -> tuple[Tensor, Tensor]:
        """Adds up the gradients of loss and penalty; returns the whole batch's loss without and with it, detached."""
        size, rows = self.batch_size, len(batch.x)
        first = step * self.parts  # so that no two passes through the network share a number
        if rows <= size:
            self._number(first)
            if penalty is None:
                loss = differentiate(*batch)
                return loss, loss
            loss = self._loss(*batch)
            objective = loss + penalty(parameters)
            backward(objective)
            return loss.detach(), objective.detach()
        total = batch.x.new_zeros(())
        for place, (x, y) in enumerate(zip(torch.split(batch.x, size), torch.split(batch.y, size), strict=True)):
            self._number(first + place)
            part = self._loss(x, y) * (1 if self.sums else len(x) / rows)
            backward(part)
            total = total + part.detach()
        if penalty is None:
            return total, total
        added = penalty(parameters)
        backward(added)
        return total, total + added.detach()

    def _number(self, place: int) -> None:
        """Which pass through the network it is: dropout's masks follow from that."""
        for layer in self.dropouts:
            layer.step.fill_(place)

    def _differentiate(self, backward: Backward, x: Tensor, y: Tensor) -> Tensor:
        loss = self._loss(x, y)
        backward(loss)
        return loss.detach()

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        return self.evaluation.loss(self.evaluation.net(x), y, self.evaluation.task)


def _bare(optimizer: Optimizer) -> Callable[[], Any]:
    """The optimizer's step without its marks for profilers, a tenth of a small one; hooks and schedules want all."""
    own, everyones = vars(optimizer), (_global_optimizer_pre_hooks, _global_optimizer_post_hooks)
    if "step" in own or any(everyones) or any(own[name] for name in own if name.startswith("_optimizer_step_")):
        return optimizer.step
    return functools.partial(inspect.unwrap(type(optimizer).step), optimizer)
