"""A step of the optimizer on a batch: the gradient of loss and penalty, clipped, and the update.

Of a small network's step most is Python; so what autograd, an optimizer or Lightning could be asked for, but need not
be, is left out here.
"""

import functools
from collections.abc import Callable
from dataclasses import KW_ONLY, InitVar, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import LBFGS, Optimizer

from fulmen.data.tensors import Batch
from fulmen.models.dropout import dropouts
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.penalties import Penalize, Penalty
from fulmen.training import torch_private
from fulmen.training.augmentations import Augment
from fulmen.training.backprop.gradient import Gradient
from fulmen.training.graph import Backward, Differentiate, RecordedGradient, TrainStep, Update, is_known
from fulmen.training.optimizers import GD


@dataclass(eq=False)
class Step:
    """One step of the optimizer, as every step of a run takes it."""

    evaluation: Evaluation
    _: KW_ONLY
    penalty: Penalize | None
    by_hand: Gradient | None
    """Finds the gradient of both; None for autograd."""
    gradient_clip: float | None
    """Largest norm of the gradient."""
    batch_size: int
    """Rows that go through the network at once."""
    batch_rows: InitVar[int]
    """Rows in one step of the optimizer."""
    seed: InitVar[int]
    """Of dropout."""
    augment: Augment | None = None
    """Changes training rows at random, given the number of the step."""

    def __post_init__(self, batch_rows: int, seed: int) -> None:
        self.sums = self.evaluation.loss.reduction == "sum"
        self.dropouts = dropouts(self.evaluation.net, seed)
        self.parts = -(-batch_rows // self.batch_size)
        self.recorded: RecordedGradient | None = None

    def plain(self, optimizer: Optimizer) -> TrainStep:
        """Builds the step with nothing but torch.

        Torch's optimizers call a closure once, before all else, so that it can be called without them as well; all but
        L-BFGS, which asks for loss and gradient at several places. Of others nothing is known.
        """
        if isinstance(optimizer, LBFGS) or not is_known_optimizer(optimizer):
            return self.build(optimizer.step, torch.autograd.backward)
        step = torch_private.bare_step(optimizer)

        def update(gradient: Callable[[], Any]) -> None:
            gradient()
            with torch.no_grad():
                step()

        return self.build(update, torch.autograd.backward, of_sum=False)

    def build(self, update: Update, backward: Backward, *, of_sum: bool = True) -> TrainStep:
        """Builds a function that trains on one batch.

        Args:
            update: is given a closure.
            backward: finds the gradient of a loss.
            of_sum: whether penalty and loss are added up, as `update` may ask for and scaled gradients need; else the
                penalty's gradient is added by its formula, if that is known, without autograd's dozen of operations on
                all parameters, and the loss's may be a recorded one.
        """
        parameters = list(self.evaluation.net.parameters())
        formula = self.penalty if isinstance(self.penalty, Penalty) and not of_sum else None
        penalty = self.penalty if formula is None else None
        own = functools.partial(self._differentiate, backward)
        differentiate = own if of_sum or self.recorded is None else self.recorded
        gradient = self.by_hand or functools.partial(self._gradient, parameters, backward, differentiate, penalty)
        clip = self.gradient_clip

        def train_step(batch: Batch, step: int) -> Tensor:
            seen: list[Tensor] = []
            if self.augment is not None:
                batch = self.augment(batch, step)

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

        return train_step

    def record_gradient(self) -> None:
        """Calls autograd's operations without autograd from now on, where that is known to give the same."""
        if self.by_hand is None and is_known(self.evaluation):
            own = functools.partial(self._differentiate, torch.autograd.backward)
            self.recorded = RecordedGradient(self.evaluation, own)

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
        for index, (x, y) in enumerate(zip(torch.split(batch.x, size), torch.split(batch.y, size), strict=True)):
            self._number(first + index)
            part = self._loss(x, y) * (1 if self.sums else len(x) / rows)
            backward(part)
            total = total + part.detach()
        if penalty is None:
            return total, total
        added = penalty(parameters)
        backward(added)
        return total, total + added.detach()

    def _number(self, number: int) -> None:
        """Sets the number of the pass through the network, from which dropout's masks follow."""
        for layer in self.dropouts:
            layer.step.fill_(number)

    def _differentiate(self, backward: Backward, x: Tensor, y: Tensor) -> Tensor:
        loss = self._loss(x, y)
        backward(loss)
        return loss.detach()

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        return self.evaluation.loss(self.evaluation.net(x), y, self.evaluation.task)


def is_known_optimizer(optimizer: Optimizer) -> bool:
    """Returns whether an optimizer is torch's or ours, and not somebody's own."""
    return type(optimizer) is GD or f"{type(optimizer).__module__}.".startswith("torch.optim.")
