"""The LightningModule that wraps every architecture, and trains it on packs of batches.

Lightning's hooks cost 0.3 to 0.4 ms a step, as much as a small network's step itself. So one `training_step` takes a
pack: a step of the optimizer on each of its batches, with what happens once a pack (a check that the losses are finite,
their sum) done once a pack. The mathematics is that of packs of one, to the last bit. The price is manual optimization:
clipping, accumulation and schedules are here and not in the Trainer.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.plugins.precision import DoublePrecision, HalfPrecision, Precision
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from fulmen import optimizers
from fulmen.data.module import Batch, Pack
from fulmen.losses import Loss, is_sum
from fulmen.models.dropout import dropouts
from fulmen.penalties import Penalty
from fulmen.plan import Plan
from fulmen.schedulers import MakeScheduler
from fulmen.tasks import Task

CHUNK_BYTES = 64 * 2**20
"""Features that go through the network at once when a split is evaluated."""


class Diverged(ArithmeticError):
    """The loss, or a parameter, is no longer finite."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; try a smaller optimizer.lr, or trainer.gradient_clip=1")


class Learner(LightningModule):
    """A network, what it is trained to do, and how.

    Args:
        net: the architecture.
        task: how its output is read and measured.
        loss: what is minimized, together with
        penalty: a function of the parameters, or None.
        make_optimizer: makes the optimizer from the parameters.
        make_scheduler: makes the learning rate's schedule, or None for a constant rate.
        plan: how the run is divided.
        batch_size: rows that go through the network at once; a step takes `plan.batch_rows`.
        gradient_clip: largest norm of the gradient, or None.
        metrics: names of what is measured on the validation rows after each interval.
        score: which of the figures schedules watch.
        seed: of dropout.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        task: Task,
        loss: Loss,
        penalty: Penalty | None,
        make_optimizer: optimizers.MakeOptimizer,
        make_scheduler: MakeScheduler | None,
        plan: Plan,
        batch_size: int,
        gradient_clip: float | None,
        metrics: tuple[str, ...],
        score: str,
        seed: int,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.net, self.task, self.loss, self.penalty, self.plan = net, task, loss, penalty, plan
        self.make_optimizer, self.make_scheduler = make_optimizer, make_scheduler
        self.batch_size, self.gradient_clip = batch_size, gradient_clip
        self.metrics, self.score = metrics, score
        self.sums = is_sum(loss)
        self.dropouts = dropouts(net, seed)
        self.interval_loss: Tensor | None = None
        self.interval_rows = 0

    def forward(self, x: Tensor) -> Tensor:
        """[B, *in_shape] -> [B, out_features], raw scores."""
        out: Tensor = self.net(x)
        return out

    def configure_optimizers(self) -> Any:
        """The optimizer, and its schedule where there is one."""
        optimizer = optimizers.make(self.make_optimizer, self.net)
        if self.make_scheduler is None:
            return optimizer
        return [optimizer], [self.make_scheduler(optimizer, self.plan)]

    def training_step(self, pack: Pack, _index: int) -> None:
        """One step of the optimizer on each batch of `pack`.

        Raises:
            Diverged: a loss is not finite; names the step.
        """
        first = self.trainer.global_step
        advance = self._raw_step() if self._is_plain() else self._lightning_step()
        scheduler = self._step_scheduler()
        losses, rows = [], []
        for place, batch in enumerate(pack.batches):
            losses.append(advance(batch, first + place))
            rows.append(len(batch.x))
            if scheduler is not None:
                scheduler.step()
        if self._is_plain():
            self._count_steps(len(losses))
        self._add_up(torch.stack(losses), rows, first)

    def _add_up(self, losses: Tensor, rows: list[int], first: int) -> None:
        losses = losses.to(torch.promote_types(losses.dtype, torch.float32))  # bfloat16 cannot add up
        finite = losses.isfinite()
        if not finite.all():
            step = first + int(torch.argmin(finite.int())) + 1  # the first that is not
            raise Diverged(f"the loss became {losses[~finite][0].item()} at step {step}")
        total = losses.sum() if self.sums else losses @ torch.tensor(rows, dtype=losses.dtype, device=losses.device)
        self.interval_loss = total if self.interval_loss is None else self.interval_loss + total
        self.interval_rows += sum(rows)

    def _is_plain(self) -> bool:
        """Whether a step needs nothing of Lightning: one device, and a precision that scales no gradient."""
        precision = self.trainer.precision_plugin
        plain = type(precision) in (Precision, DoublePrecision, HalfPrecision)
        return plain and isinstance(self.trainer.strategy, SingleDeviceStrategy)

    def _raw_step(self) -> Callable[[Batch, int], Tensor]:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        return self._step(optimizer.step, torch.autograd.backward)

    def _lightning_step(self) -> Callable[[Batch, int], Tensor]:
        """Through Lightning's own calls, which count steps, scale and synchronize."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        return self._step(lambda closure: optimizer.step(closure=closure), self.manual_backward)

    def _step(
        self, update: Callable[[Callable[[], Any]], Any], backward: Callable[[Tensor], Any]
    ) -> Callable[[Batch, int], Tensor]:
        """A function that trains on one batch and returns its loss, without the penalty, detached."""
        parameters = list(self.net.parameters())

        def advance(batch: Batch, step: int) -> Tensor:
            seen: list[Tensor] = []

            def closure() -> Tensor:
                for parameter in parameters:
                    parameter.grad = None
                loss, objective = self._gradient(batch, step, parameters, backward)
                seen.append(loss)
                if self.gradient_clip is not None:
                    clip_grad_norm_(parameters, self.gradient_clip)
                return objective

            update(closure)
            return seen[0]  # L-BFGS evaluates several times; the first is the loss of the weights before the step

        return advance

    def _gradient(
        self, batch: Batch, step: int, parameters: list[nn.Parameter], backward: Callable[[Tensor], Any]
    ) -> tuple[Tensor, Tensor]:
        """Adds up the gradients of loss and penalty; returns the whole batch's loss without and with it, detached."""
        size, rows = self.batch_size, len(batch.x)
        first = step * -(-self.plan.batch_rows // size)  # so that no two passes through the network share a number
        if rows <= size:
            loss = self._loss(batch.x, batch.y, first)
            objective = loss if self.penalty is None else loss + self.penalty(parameters)
            backward(objective)
            return loss.detach(), objective.detach()
        total = batch.x.new_zeros(())
        for place, (x, y) in enumerate(zip(torch.split(batch.x, size), torch.split(batch.y, size), strict=True)):
            part = self._loss(x, y, first + place) * (1 if self.sums else len(x) / rows)
            backward(part)
            total = total + part.detach()
        if self.penalty is None:
            return total, total
        penalty = self.penalty(parameters)
        backward(penalty)
        return total, total + penalty.detach()

    def _loss(self, x: Tensor, y: Tensor, step: int) -> Tensor:
        for layer in self.dropouts:
            layer.step.fill_(step)
        return self.loss(self.net(x), y, self.task)

    def _step_scheduler(self) -> LRScheduler | None:
        scheduler = self.lr_schedulers()
        if scheduler is None or isinstance(scheduler, ReduceLROnPlateau):
            return None
        assert isinstance(scheduler, LRScheduler)
        return scheduler

    def _count_steps(self, steps: int) -> None:
        """What Lightning's optimizer would have counted; `trainer.global_step` reads it."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        for counter in (progress.total, progress.current):
            counter.ready += steps
            counter.completed += steps

    def on_train_epoch_end(self) -> None:
        """Ends an interval: evaluates, records a row, lets the schedule and the end of the run follow from it."""
        step = self.trainer.global_step
        row = {"lr": self._optimizer().param_groups[0]["lr"], "train/loss": self._interval_mean()}
        validation = self._splits().get("val")
        if validation is not None:
            row |= {f"val/{name}": value for name, value in self.assess(validation, self.metrics).items()}
        self.trainer.callback_metrics.update({name: torch.tensor(value) for name, value in row.items()})
        for logger in self.loggers:
            logger.log_metrics(row, step)
        scheduler = self.lr_schedulers()
        if isinstance(scheduler, ReduceLROnPlateau) and self.score in row:
            scheduler.step(row[self.score])
        self.trainer.should_stop = self.trainer.should_stop or step >= self.plan.total_steps

    def _interval_mean(self) -> float:
        """The mean training loss of the interval (of `sse`: the sum over a pass), before each step's update."""
        assert self.interval_loss is not None
        passes = self.interval_rows / self.plan.rows
        mean = (self.interval_loss / (passes if self.sums else self.interval_rows)).item()
        self.interval_loss, self.interval_rows = None, 0
        return mean

    def _optimizer(self) -> Optimizer:
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, Optimizer)
        return optimizer

    def _splits(self) -> dict[str, Batch]:
        splits: dict[str, Batch] = self.trainer.datamodule.splits  # type: ignore[attr-defined]
        return splits

    def assess(self, split: Batch, metrics: tuple[str, ...]) -> dict[str, float]:
        """The loss, without the penalty, and `metrics` over all rows of `split`."""
        out = self.scores(split.x)
        y = split.y.to(out.dtype) if split.y.is_floating_point() else split.y
        return {"loss": self.loss(out, y, self.task).item(), **self.task.metrics(out, y, metrics)}

    def confusion(self, split: Batch) -> list[list[int]]:
        """Rows of `split` counted by true class and predicted class."""
        return self.task.confusion(self.scores(split.x), split.y)

    @torch.inference_mode()
    def scores(self, x: Tensor) -> Tensor:
        """Raw scores of all rows, [N, out_features], with the network in evaluation mode while it lasts."""
        was_training = self.training
        self.eval()
        with self.trainer.precision_plugin.forward_context():
            out = torch.cat([self.net(chunk) for chunk in self._chunks(x)])
        self.train(was_training)
        return out.float() if out.dtype in (torch.bfloat16, torch.float16) else out

    @staticmethod
    def _chunks(x: Tensor) -> Iterator[Tensor]:
        return iter(torch.split(x, max(1, CHUNK_BYTES // max(1, x[:1].nbytes))))
