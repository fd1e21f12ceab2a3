"""What a network says of all rows of a split, and how good that is: after each interval, after training, and later."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fulmen.data.tensors import Batch, Rows, chunk_rows, chunks
from fulmen.models.dry_run import evaluation_mode
from fulmen.models.precision import computing
from fulmen.tasks.losses import Loss
from fulmen.tasks.metrics import StreamingMetrics
from fulmen.tasks.names import METRICS
from fulmen.tasks.task import Task


@dataclass(frozen=True)
class Evaluation:
    """How a network is looked at.

    Args:
        net: the architecture with its weights, on some device.
        task: how its output is read and measured.
        loss: measured without the penalty.
        precision: in which it computes.
    """

    net: nn.Module
    task: Task
    loss: Loss
    precision: str

    def all_metrics(self, splits: Mapping[str, Rows]) -> dict[str, Any]:
        """What `metrics.json` holds of each split: `<split>/loss`, its metrics, the confusion matrix of classes."""
        found: dict[str, Any] = {}
        for name, split in splits.items():
            figures, confusion = self._measure(split, METRICS[self.task.kind])
            found |= {f"{name}/{key}": value for key, value in figures.items()}
            if self.task.kind != "regression":
                found[f"{name}/confusion_matrix"] = confusion()
        return found

    def figures(self, split: Rows, metrics: Iterable[str]) -> dict[str, float]:
        """The loss and `metrics` over all rows of `split`."""
        return self._measure(split, metrics)[0]

    def _measure(self, split: Rows, metrics: Iterable[str]) -> tuple[dict[str, float], Callable[[], list[list[int]]]]:
        """Figures, and the confusion matrix if it is wanted: of one chunk at once, of more added up."""
        if split.rows <= chunk_rows(split.take(slice(0, 1)).x):
            out, y = self._outcome(split.take(slice(None)))
            figures = {"loss": self.loss(out, y, self.task).item(), **self.task.metrics(out, y, metrics)}
            return figures, lambda: self.task.confusion(out, y)
        tally = StreamingMetrics(self.task, self.loss, split.rows)
        for chunk in chunks(split):
            tally.add(*self._outcome(chunk))
        return tally.figures(metrics), tally.confusion

    def _outcome(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Raw scores and targets of one type."""
        out = self.scores(batch.x)
        return out, batch.y.to(out.dtype) if batch.y.is_floating_point() else batch.y

    @torch.inference_mode()
    def scores(self, x: Tensor) -> Tensor:
        """Raw scores of all rows, [N, out_features], with the network in evaluation mode while it lasts."""
        with evaluation_mode(self.net), computing(self.precision, x.device.type):
            out = torch.cat([self.net(chunk) for chunk in torch.split(x, chunk_rows(x[:1]))])
        return out.float() if out.dtype in (torch.bfloat16, torch.float16) else out
