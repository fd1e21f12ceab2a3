"""A network's scores for the rows of a split, and their loss and metrics: after each interval, and after training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fulmen.data.tensors import Batch, Rows, chunk_rows, chunks
from fulmen.models.dry_run import evaluation_mode
from fulmen.models.precision import computing
from fulmen.tasks.further_metrics import Metric, measure
from fulmen.tasks.losses import Loss
from fulmen.tasks.metrics import Classes, StreamingMetrics
from fulmen.tasks.names import METRICS
from fulmen.tasks.outliers import Outlier
from fulmen.tasks.task import Task


@dataclass(frozen=True)
class Evaluation:
    """A network in evaluation mode, and how its output is read and measured.

    Args:
        net: the architecture with its weights, on some device.
        task: how its output is read and measured.
        loss: measured without the penalty.
        precision: Lightning's word for the precision it computes in.
        further: metrics beside the task's own.
    """

    net: nn.Module
    task: Task
    loss: Loss
    precision: str
    further: tuple[Metric, ...] = ()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names of all metrics."""
        return *METRICS[self.task.kind], *(metric.name for metric in self.further)

    def all_metrics(self, splits: Mapping[str, Rows]) -> dict[str, Any]:
        """Returns the entries of `metrics.json`: `<split>/loss`, its metrics, the confusion matrix of classes."""
        found: dict[str, Any] = {}
        for name, split in splits.items():
            seen, further = self._seen(split)
            found |= {**entries(name, seen)[0], **{f"{name}/{key}": value for key, value in further.items()}}
        return found

    def metrics(self, split: Rows) -> dict[str, float]:
        """Returns the loss and the metrics over all rows of `split`; what is undefined is absent."""
        seen, further = self._seen(split)
        return seen.results()[0] | further

    def _seen(self, split: Rows) -> tuple[StreamingMetrics, dict[str, float]]:
        """Returns what the task's own metrics and the further ones have seen of a split."""
        seen, kept = StreamingMetrics(self.task, self.loss, split.rows), list[tuple[Tensor, Tensor]]()
        for chunk in chunks(split):
            out, y = self._outcome(chunk)
            seen.add(out.unsqueeze(0), y.unsqueeze(0))
            if self.further:
                kept.append((out.cpu(), y.cpu()))
        if not kept:
            return seen, {}
        out, y = map(torch.cat, zip(*kept, strict=True))
        return seen, measure(self.further, out, y, self.task)

    def unmeasurable(self, split: Rows) -> Outlier | None:
        """Returns the first row without a finite loss; None if half of the rows have none, or each of them has one."""
        found, wrong, start = None, 0, 0
        for chunk in chunks(split):
            out, y = self._outcome(chunk)
            for row, (one, target) in enumerate(zip(torch.split(out, 1), torch.split(y, 1), strict=True), start):
                loss = self.loss(one, target, self.task).item()
                if not math.isfinite(loss):
                    what = "the loss" if one.isfinite().all() else "the network's output"
                    found = found or Outlier(row, f"{what} is not finite")
                    wrong += 1
            start += len(y)
        return found if 2 * wrong < split.rows else None

    def _outcome(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Returns raw scores and targets of one dtype."""
        out = self.scores(batch.x)
        return out, like(out, batch.y)

    @torch.inference_mode()
    def scores(self, x: Tensor) -> Tensor:
        """Returns the raw scores of all rows, [N, out_features], with the network in evaluation mode."""
        with evaluation_mode(self.net), computing(self.precision, x.device.type):
            out = torch.cat([self.net(chunk) for chunk in torch.split(x, chunk_rows(x[:1]))])
        return out.float() if out.dtype in (torch.bfloat16, torch.float16) else out


def like(out: Tensor, y: Tensor) -> Tensor:
    """Returns targets in the type of the scores; classes stay whole numbers."""
    return y.to(out.dtype) if y.is_floating_point() else y


def entries(name: str, seen: StreamingMetrics) -> list[dict[str, Any]]:
    """Returns the entries of `metrics.json` about a split, for each network that was measured."""
    found: list[dict[str, Any]] = [{f"{name}/{key}": value for key, value in each.items()} for each in seen.results()]
    if isinstance(seen.metrics, Classes):
        for each, counts in zip(found, seen.metrics.counts.tolist(), strict=True):
            each[f"{name}/confusion_matrix"] = counts
    return found
