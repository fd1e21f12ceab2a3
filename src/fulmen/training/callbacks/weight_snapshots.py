"""Keeps the weights of a small network at some twenty steps of its training, for figures at the end.

They are in `last.ckpt`, too, so that the figures of a resumed run have no gap.
"""

from collections.abc import Mapping
from typing import Any, Final

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from fulmen.models.dry_run import parameter_count
from fulmen.training.learner import Learner

LARGEST: Final = 100_000
"""Parameters of a network whose weights are kept."""
FRAMES: Final = 20
"""Shown at most; twice as many are kept."""

State = tuple[int, Mapping[str, Tensor]]
"""A step, and the network's weights after it."""


class WeightSnapshots(Callback):
    """Weights before the first step and at the ends of intervals, every n-th of them when they are many."""

    def __init__(self) -> None:
        self.states: list[State] = []
        self.every = 1
        self.seen = 0
        self.is_too_large = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.is_too_large = parameter_count(pl_module) > LARGEST
        if trainer.global_step == 0:
            self._keep(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen += 1
        if self.seen % self.every == 0:
            self._keep(trainer, pl_module)
        if len(self.states) > 2 * FRAMES:
            self.states, self.every = self.states[::2], 2 * self.every

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._keep(trainer, pl_module)

    def chosen(self) -> list[State]:
        """Returns at most `FRAMES` snapshots, the first and the last included."""
        last, most = len(self.states) - 1, min(FRAMES, len(self.states))
        return [self.states[round(number * last / max(1, most - 1))] for number in range(most)]

    def _keep(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, Learner)
        step = trainer.global_step
        if not self.is_too_large and (not self.states or self.states[-1][0] < step):
            self.states.append((step, {name: v.detach().cpu().clone() for name, v in module.net.state_dict().items()}))

    def state_dict(self) -> dict[str, Any]:
        return {"states": self.states, "every": self.every, "seen": self.seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.states, self.every, self.seen = state_dict["states"], state_dict["every"], state_dict["seen"]
