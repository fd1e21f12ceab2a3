"""Learning rates of many copies, step by step: torch's own schedulers on an optimizer that has nothing to optimize."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from fulmen.training import schedulers
from fulmen.training.plan import Plan
from fulmen.training.recipe import Recipe

CYCLED = ("betas", "momentum")
"""Settings of an optimizer that a schedule may change beside the rate."""


class Rates:
    """The learning rate of each copy.

    An optimizer with a group of parameters for each rate serves all copies, since schedules look at groups one by one.
    `plateau` goes by a copy's score, so that each copy has a schedule of its own. The rates are tensors of the type and
    on the device of `like`.
    """

    def __init__(self, recipes: Sequence[Recipe], plan: Plan, like: Tensor) -> None:
        self.like, make = like, recipes[0].scheduler
        rates = [float(recipe.optimizer([_nothing()]).defaults["lr"]) for recipe in recipes]
        distinct = list(dict.fromkeys(rates))
        index = [distinct.index(rate) for rate in rates]
        self.optimizer = recipes[0].optimizer([{"params": [_nothing()], "lr": rate} for rate in distinct])
        self.scheduler: LRScheduler | None = None
        self.plateaus: list[ReduceLROnPlateau] = []
        if make is not None:
            found = schedulers.make(make, self.optimizer, plan)
            self.optimizer.step()  # schedulers warn if they come before it
            if isinstance(found, ReduceLROnPlateau):
                index = list(range(len(rates)))
                for recipe, rate in zip(recipes, rates, strict=True):
                    each = schedulers.make(make, recipe.optimizer([{"params": [_nothing()], "lr": rate}]), plan)
                    assert isinstance(each, ReduceLROnPlateau)
                    self.plateaus.append(each)
            else:
                self.scheduler = found
        self.index = torch.tensor(index, device=like.device)
        """The group of parameters of each copy, [C]."""
        self.now = self._read()

    def _groups(self) -> list[dict[str, Any]]:
        return [each.optimizer.param_groups[0] for each in self.plateaus] or self.optimizer.param_groups

    def group(self, copy: int) -> dict[str, Any]:
        """Returns the settings of a copy's group of parameters, with those that its schedule keeps there."""
        group = self._groups()[int(self.index[copy])]
        return {name: value for name, value in group.items() if name != "params"}

    def _read(self) -> Tensor:
        """Returns the rates as they are now, [C, 1]."""
        rates = [float(group["lr"]) for group in self._groups()]
        return self.like.new_tensor(rates)[self.index].unsqueeze(1)

    def column(self) -> list[float]:
        """Returns the rate of each copy as a number, [C]."""
        rates = [float(group["lr"]) for group in self._groups()]
        return [rates[index] for index in self.index.tolist()]

    @property
    def cycled(self) -> dict[str, Any]:
        """Settings that the schedule may have changed."""
        group = self.optimizer.param_groups[0]
        return {name: group[name] for name in CYCLED if name in group} if self.scheduler is not None else {}

    def step(self) -> None:
        """Moves the schedule on by one step of the optimizer, if it has steps."""
        if self.scheduler is not None:
            self.scheduler.step()
            self.now = self._read()

    def end_interval(self, scores: Sequence[float]) -> None:
        """Moves on by one interval, at whose end the copies have these scores, [C]."""
        if self.plateaus:
            for scheduler, score in zip(self.plateaus, scores, strict=True):
                scheduler.step(score)
            self.now = self._read()

    def of_copy(self, copy: int) -> dict[str, Any] | None:
        """Returns the state of the schedule as the copy's own scheduler would have it; None for a constant rate."""
        if self.plateaus:
            return self.plateaus[copy].state_dict()
        if self.scheduler is None:
            return None
        groups, index = len(self.optimizer.param_groups), int(self.index[copy])
        return {
            name: [value[index]] if isinstance(value, list) and len(value) == groups else value
            for name, value in self.scheduler.state_dict().items()
        }

    def state_dict(self) -> dict[str, Any]:
        """Returns what a stack that is resumed needs."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "plateaus": [[each.state_dict(), each.optimizer.state_dict()] for each in self.plateaus],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            kept = {name: value for name, value in state["scheduler"].items() if name not in schedulers.OF_LENGTH}
            self.scheduler.load_state_dict(kept)
        for each, (own, of_optimizer) in zip(self.plateaus, state["plateaus"], strict=True):
            each.load_state_dict(own)
            each.optimizer.load_state_dict(of_optimizer)
        self.now = self._read()


def _nothing() -> Tensor:
    return torch.zeros(1, requires_grad=True)
