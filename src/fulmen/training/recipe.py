"""How a network is trained, in the terms of another library: settings that were given to the parts, read back."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fulmen.tasks.losses import Loss
from fulmen.tasks.penalties import Penalize, Penalty


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained, as far as its counterpart is to be trained in the same way."""

    loss: Loss
    penalty: Penalize | None
    optimizer: Callable[..., Any]
    scheduler: Callable[..., Any] | None
    gradient_clip: float | None
    rows: int
    """To train on."""
    batch_rows: int
    """In one step of the optimizer."""
    epochs: int
    seed: int

    @property
    def decay(self) -> float:
        """d, where the gradient of what draws a parameter p to zero is d · p."""
        weight = self.penalty.l2 if isinstance(self.penalty, Penalty) else 0.0
        return 2 * float(weight) + float(settings(self.optimizer).get("weight_decay", 0.0))


def kind(part: Any) -> Any:
    """The class or function behind a part."""
    return part.func if isinstance(part, functools.partial) else part


def settings(part: Any) -> dict[str, Any]:
    """The keys that a part was made with."""
    return part.keywords if isinstance(part, functools.partial) else {}
