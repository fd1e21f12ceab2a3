"""Ends a run early whose score is far behind what earlier runs had when they were as far: its time is better spent.

Who decides is not known here. It is asked with the share of the run that is done instead of the step, because runs
with other batch sizes have other steps.
"""

import math
from collections.abc import Callable

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from fulmen.errors import Pruned

Pruner = Callable[[int, float], bool]
"""Given how many percent of a run are done and its score then, says whether it is to end."""

BEHIND = "{} was {:.4g} after {} of {} steps, behind earlier runs"


class Pruning(Checkpoint):
    """Asks at every interval's end but the last.

    It is a `Checkpoint` because Lightning calls those last at an interval's end, when the module knows the score.

    Args:
        pruner: decides.
        score: the metric that it is told.
        total_steps: of the whole run.
    """

    def __init__(self, pruner: Pruner, score: str, total_steps: int) -> None:
        self.pruner, self.score, self.total_steps = pruner, score, total_steps

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raises Pruned if the pruner decides so."""
        step, score = trainer.global_step, float(trainer.callback_metrics.get(self.score, math.nan))
        if step >= self.total_steps or not math.isfinite(score):
            return
        if self.pruner(round(100 * step / self.total_steps), score):
            raise Pruned(BEHIND.format(self.score, score, step, self.total_steps))
