"""How a network is trained."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fulmen.tasks.losses import Loss
from fulmen.tasks.penalties import Penalize, Penalty
from fulmen.training.backprop.gradient import MakeGradient
from fulmen.training.optimizers import MakeOptimizer
from fulmen.training.schedulers import MakeScheduler


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A loss, a penalty, and how they are minimized."""

    loss: Loss
    penalty: Penalize | None
    optimizer: MakeOptimizer
    """Called with the parameters, makes the optimizer."""
    scheduler: MakeScheduler | None
    """Called with the optimizer and the plan, makes the schedule of the learning rate; None for a constant rate."""
    backprop: MakeGradient | None
    """Makes the gradient by hand; None for autograd."""
    gradient_clip: float | None
    """The largest norm of a gradient."""
    accumulate: int
    """Batches in one step of the optimizer."""
    seed: int
    """Seed of the initial weights, the order of batches and dropout."""

    freeze: tuple[str, ...] = ()
    """Patterns of parameters that stay as they are."""
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    """Patterns of parameters, each with a rate instead of the optimizer's own."""

    @property
    def decay(self) -> float:
        """d, where the gradient of what draws a parameter p to zero is d · p."""
        weight = self.penalty.l2 if isinstance(self.penalty, Penalty) else 0.0
        return 2 * float(weight) + float(settings(self.optimizer).get("weight_decay", 0.0))


def kind(part: Any) -> Any:
    """Returns the class or function behind a part."""
    return part.func if isinstance(part, functools.partial) else part


def settings(part: Any) -> dict[str, Any]:
    """Returns the keys that a part was made with."""
    return part.keywords if isinstance(part, functools.partial) else {}
