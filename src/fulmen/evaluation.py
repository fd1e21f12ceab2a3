"""What a network says of all rows of a split, and how good that is: after each interval, after training, and later."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fulmen.data.tensors import Batch
from fulmen.losses import Loss
from fulmen.precision import computing
from fulmen.tasks import Task
from fulmen.vocabulary import METRICS

CHUNK_BYTES = 64 * 2**20
"""Features that go through the network at once."""


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

    def all_figures(self, splits: Mapping[str, Batch]) -> dict[str, Any]:
        """What `metrics.json` holds of each split: `<split>/loss`, its metrics, the confusion matrix of classes."""
        found: dict[str, Any] = {}
        for name, split in splits.items():
            out = self.scores(split.x)
            figures = self._measure(out, split.y, METRICS[self.task.kind])
            found |= {f"{name}/{key}": value for key, value in figures.items()}
            if self.task.kind != "regression":
                found[f"{name}/confusion_matrix"] = self.task.confusion(out, split.y)
        return found

    def figures(self, split: Batch, metrics: Iterable[str]) -> dict[str, float]:
        """The loss and `metrics` over all rows of `split`."""
        return self._measure(self.scores(split.x), split.y, metrics)

    def _measure(self, out: Tensor, y: Tensor, metrics: Iterable[str]) -> dict[str, float]:
        y = y.to(out.dtype) if y.is_floating_point() else y
        return {"loss": self.loss(out, y, self.task).item(), **self.task.metrics(out, y, metrics)}

    @torch.inference_mode()
    def scores(self, x: Tensor) -> Tensor:
        """Raw scores of all rows, [N, out_features], with the network in evaluation mode while it lasts."""
        was_training = self.net.training
        self.net.eval()
        try:
            with computing(self.precision, x.device.type):
                out = torch.cat([self.net(chunk) for chunk in chunks(x)])
        finally:
            self.net.train(was_training)
        return out.float() if out.dtype in (torch.bfloat16, torch.float16) else out


def chunks(x: Tensor) -> tuple[Tensor, ...]:
    """Rows [N, ...] in parts of `CHUNK_BYTES` at most."""
    return torch.split(x, max(1, CHUNK_BYTES // max(1, x[:1].nbytes)))
