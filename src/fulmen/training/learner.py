"""The LightningModule that wraps every architecture, and trains it on packs of batches.

Lightning's hooks cost 0.3 to 0.4 ms a step, as much as a small network's step itself. So one `training_step` takes a
pack: a step of the optimizer on each of its batches, with what happens once a pack (a check that the losses are finite,
their sum) done once a pack. The mathematics is that of packs of one, to the last bit. The price is manual optimization:
clipping, accumulation and schedules are here and not in the Trainer.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.precision import DoublePrecision, HalfPrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from fulmen.errors import Diverged
from fulmen.tasks.evaluation import Evaluation
from fulmen.training import graph, loggers, optimizers, parameters, schedulers
from fulmen.training.compile import Compiled
from fulmen.training.packs import Pack
from fulmen.training.plan import Plan
from fulmen.training.recipe import Recipe
from fulmen.training.running_loss import RunningLoss, finite
from fulmen.training.step import Step


class Learner(LightningModule):
    """A network, what it is trained to do, and how.

    Args:
        evaluation: the network, how its output is read and measured, and the loss that is minimized.
        step: how the optimizer takes a step.
        recipe: makes the optimizer, and the learning rate's schedule.
        plan: how the run is divided.
        score: which of the metrics schedules watch.
        metadata: plain values that a checkpoint keeps beside the weights: what one needs to use them.
        compiling: whether to compile the step.
    """

    def __init__(
        self,
        evaluation: Evaluation,
        *,
        step: Step,
        recipe: Recipe,
        plan: Plan,
        score: str,
        metadata: Mapping[str, Any],
        compiling: bool = False,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.evaluation, self.net = evaluation, evaluation.net
        self.step, self.recipe, self.plan, self.score, self.metadata = step, recipe, plan, score, metadata
        self.interval = RunningLoss()
        self.restored: dict[str, Any] | None = None
        self.compiling = compiling
        self.compiled: Compiled | None = None

    def forward(self, x: Tensor) -> Tensor:
        """[B, *in_shape] -> [B, out_features], raw scores."""
        out: Tensor = self.net(x)
        return out

    def configure_optimizers(self) -> Any:
        """Returns the optimizer, and its schedule if there is one."""
        groups = parameters.groups(dict(self.net.named_parameters()), self.recipe.learning_rates)
        optimizer, scheduler = optimizers.make(self.recipe.optimizer, groups), self.recipe.scheduler
        return optimizer if scheduler is None else ([optimizer], [schedulers.make(scheduler, optimizer, self.plan)])

    def training_step(self, pack: Pack, _index: int) -> None:
        """Takes one step of the optimizer on each batch of `pack`.

        Raises:
            Diverged: a loss is not finite, or a gradient, where that is looked for; names the step.
        """
        first, is_plain = self.trainer.global_step, self._is_plain()
        if is_plain:
            own = self.step.plain(self._optimizer())
        else:  # through Lightning's own calls, which count steps, scale and synchronize
            optimizer = self.optimizers()
            assert isinstance(optimizer, LightningOptimizer)
            own = self.step.build(lambda closure: optimizer.step(closure=closure), self.manual_backward)
        scheduler, compiled = self.lr_schedulers(), self.compiled
        if isinstance(scheduler, ReduceLROnPlateau):  # which steps at an interval's end
            scheduler = None
        assert isinstance(scheduler, LRScheduler | None)
        losses: list[Tensor] = []
        done = 0
        try:
            while done < len(pack.sizes):
                if compiled is not None and not compiled.given_up and first + done > 0:
                    losses.append(compiled.train(own, pack, done, first + done, scheduler))
                    done += len(losses[-1])
                    continue
                losses.append(own(pack.batches[done], first + done))
                done += 1
                if scheduler is not None:
                    scheduler.step()
        except RuntimeError as error:  # of torch's anomaly detection, with `trainer.debug`
            if (found := re.search(r"Function '(\w+)' returned nan values", str(error))) is None:
                raise
            raise Diverged(f"the gradient of {found[1]} became nan at step {first + done + 1}") from error
        if is_plain:  # counts steps as Lightning's optimizer would have; `trainer.global_step` reads the count
            progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
            for counter in (progress.total, progress.current):
                counter.ready += done
                counter.completed += done
        self.interval.add(finite(torch.hstack(losses), first), pack.sizes)

    def _is_plain(self) -> bool:
        """Returns whether a step needs nothing of Lightning: one device, and a precision that scales no gradient."""
        precision = self.trainer.precision_plugin
        plain = type(precision) in (Precision, DoublePrecision, HalfPrecision)
        return plain and isinstance(self.trainer.strategy, SingleDeviceStrategy)

    def on_train_epoch_end(self) -> None:
        """Ends an interval: evaluates, records a row, takes a step of `plateau`, and stops at the last step.

        Raises:
            ValueError: a validation row, and not the training, makes the loss or the score infinite.
        """
        step = self.trainer.global_step
        loss = self.interval.end(self.plan.rows if self.step.sums else None)
        row = {"lr": self._optimizer().param_groups[0]["lr"], "train/loss": loss}
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        validation = data.splits.get("val")
        if validation is not None:
            row |= {f"val/{name}": value for name, value in self.evaluation.metrics(validation).items()}
        # a metric that is undefined this time must not keep its last value: checkpoints, patience and pruning read it
        metrics = self.evaluation.metric_names if validation is not None else ()
        watched = {f"val/{name}": math.nan for name in metrics} | row
        missing = [name for name in ("val/loss", self.score) if not math.isfinite(watched.get(name, 0.0))]
        if missing and (found := data.outlier("val", self.evaluation)) is not None:
            raise ValueError(f"{missing[0]} is not finite after step {step}, because {found}")
        self.trainer.callback_metrics.update({name: torch.tensor(value) for name, value in watched.items()})
        loggers.log(self.trainer.loggers, row, step)
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau):
            scheduler.step(watched[self.score])
        self.trainer.should_stop = self.trainer.should_stop or step >= self.plan.total_steps

    def log(self, name: str, value: Any, *_: Any, **_options: Any) -> None:
        """Sends what a callback has measured to the loggers, and to `trainer.callback_metrics`.

        Lightning would send it with the number of the pack instead of the step, and an interval's mean of it nowhere.

        Raises:
            ValueError: it is no single number.
        """
        try:
            number = float(value.compute() if hasattr(value, "compute") else value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"log({name!r}, ...) takes one number, and not {value!r:.60}") from error
        self.trainer.callback_metrics[name] = torch.tensor(number)
        loggers.log(self.trainer.loggers, {name: number}, self.trainer.global_step)

    def _optimizer(self) -> Optimizer:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what a run needs to resume exactly, and what a lone checkpoint needs to be used."""
        checkpoint["metadata"] = self.metadata
        checkpoint["interval"] = self.interval.plain()
        checkpoint["random"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Lets schedules and early stopping take this run's length and patience, which may be larger than before."""
        self.restored = checkpoint
        is_changed = checkpoint["metadata"]["config"].get("callbacks") != self.metadata["config"].get("callbacks")
        for stopping in self.trainer.early_stopping_callbacks:
            state = checkpoint["callbacks"].get(stopping.state_key)
            if state is not None and is_changed:
                state["patience"] = stopping.patience  # Lightning would take that of the checkpoint
                if state["wait_count"] < stopping.patience:
                    state["stopped_epoch"] = 0
        for schedule in checkpoint["lr_schedulers"]:
            for name in schedulers.OF_LENGTH:
                schedule.pop(name, None)

    def on_train_start(self) -> None:
        """Restores what the Trainer does not, after it; drawing the network's first weights has used random numbers."""
        if self.restored is not None:
            self.interval.restore(self.restored["interval"], self.device)
            torch.set_rng_state(self.restored["random"])
            self.restored = None
        if self.compiling:
            self.compiled = Compiled(self.step, self._optimizer(), self.recipe.optimizer, self.plan)
        steps = self.plan.total_steps - self.trainer.global_step
        if steps >= graph.LONG and self._is_plain() and not self.compiling and not torch.is_anomaly_enabled():
            self.step.record_gradient()
        stopped = any(callback.stopped_epoch for callback in self.trainer.early_stopping_callbacks)
        self.trainer.should_stop = stopped or self.trainer.global_step >= self.plan.total_steps
