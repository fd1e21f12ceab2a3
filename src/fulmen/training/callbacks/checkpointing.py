"""`last.ckpt` and `best.ckpt`: really the last and the best, written by the clock and at the end.

On several devices `last.ckpt` is written at every interval's end instead: saving takes all of their processes together,
and their clocks and signals differ.

It is a `Checkpoint` because Lightning calls those after the module's own end of an interval, when the metrics are known
and the interval's sums are reset: what is saved then is whole.
"""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from fulmen.errors import Diverged
from fulmen.runs.checkpoints import keep_previous, save
from fulmen.runs.folder import BEST, LAST, PREVIOUS
from fulmen.runs.signals import Stop
from fulmen.training import loggers
from fulmen.training.plan import Plan

SECONDS = 1.0
"""Between two savings at least,"""
SHARE = 0.05
"""and of a run's time at most, so that large networks are saved less often."""


class Checkpointer(Checkpoint):
    """Checkpoints in `folder`, with the best weights kept in memory between them; ends the run if a signal asks for it.

    Args:
        folder: where the two files go.
        score: the metric by which weights are best.
        mode: whether it is to be minimized or maximized.
        stop: the signal that may have come.
        best: the content of `best.ckpt`, if the run is resumed.
    """

    def __init__(
        self, folder: Path, *, score: str, mode: Literal["min", "max"], stop: Stop, best: dict[str, Any] | None
    ) -> None:
        self.folder, self.score, self.mode, self.stop, self.best = folder, score, mode, stop, best
        self.last = folder / LAST
        self.best_is_written = True
        self.due = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.folder.mkdir(exist_ok=True)
        if trainer.global_step == 0:
            self._save(trainer)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            return  # the interval's end comes next, with its row of the history
        if trainer.world_size == 1 and self._is_time():
            self._save(trainer)
        self.stop.raise_if_noted()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._keep_best(trainer, pl_module)
        if trainer.world_size > 1 or self._is_time():
            self._save(trainer)
        self.stop.raise_if_noted()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)
        if trainer.is_global_zero:
            (self.folder / PREVIOUS).unlink(missing_ok=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._write_best(trainer)

    def _is_time(self) -> bool:
        return self.stop.noted is not None or time.monotonic() >= self.due

    def _keep_best(self, trainer: Trainer, module: LightningModule) -> None:
        score = float(trainer.callback_metrics.get(self.score, math.nan))
        better = self.best is None or (score < self.best["score"] if self.mode == "min" else score > self.best["score"])
        if better and math.isfinite(score):
            weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
            self.best = {
                "state_dict": weights,
                "score": score,
                "global_step": trainer.global_step,
                "metadata": module.metadata,
            }
            self.best_is_written = False

    def _save(self, trainer: Trainer) -> None:
        began = time.monotonic()
        check_finite(trainer)
        # in this order a run that is killed in between resumes from the older `last.ckpt` and finds the same best again
        self._write_best(trainer)
        loggers.flush(trainer.loggers)
        if trainer.is_global_zero:
            keep_previous(self.folder)
        trainer.save_checkpoint(self.last)
        took = time.monotonic() - began
        self.due = began + max(SECONDS, took / SHARE)

    def _write_best(self, trainer: Trainer) -> None:
        if self.best is not None and not self.best_is_written and trainer.is_global_zero:
            save(self.best, self.folder / BEST)
            self.best_is_written = True

    def weights(self, which: Literal["best", "last"]) -> dict[str, Tensor] | None:
        """Returns the best weights; None if there is no score to choose them by, or the last are asked for."""
        return self.best["state_dict"] if which == "best" and self.best is not None else None


def check_finite(trainer: Trainer) -> None:
    """Keeps a checkpoint of finite weights from being replaced by one that is of no use.

    Raises:
        Diverged: a parameter is infinite or not a number, though the loss before the last step was finite.
    """
    for name, parameter in trainer.lightning_module.named_parameters():
        if not torch.isfinite(parameter).all():
            raise Diverged(f"{name.removeprefix('net.')} is no longer finite at step {trainer.global_step}")


def resumable(
    trainer: Trainer, plan: Plan, step: int, state: Mapping[str, Any], stopping: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns a checkpoint as the Trainer of a single run would have written it at the end of an interval.

    Args:
        trainer: that has trained nothing.
        plan: how the run was divided.
        step: steps that were taken.
        state: the entries that are not the Trainer's own: weights, optimizer, schedule, metadata.
        stopping: the fields of early stopping, if the Trainer has it.
    """
    intervals = math.ceil(step / plan.steps_per_interval)
    loop = trainer.fit_loop
    steps = loop.epoch_loop.manual_optimization.optim_step_progress
    for count in (steps.total, steps.current):
        count.ready = count.completed = step
    for counts in (loop.epoch_progress.total, loop.epoch_progress.current):
        vars(counts).update(dict.fromkeys(("ready", "started", "processed", "completed"), intervals))
    callbacks = {}
    for callback in trainer.early_stopping_callbacks:
        vars(callback).update(stopping)
        callbacks[callback.state_key] = callback.state_dict()
    return {
        "epoch": intervals,
        "global_step": step,
        "pytorch-lightning_version": lightning.__version__,
        "loops": {"fit_loop": loop.state_dict()},
        "callbacks": callbacks,
        **state,
    }
