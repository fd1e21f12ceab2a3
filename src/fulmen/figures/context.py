"""A finished run as figures need it: the trained network on the CPU, the rows in their original units, the record.

Shapes: N rows, T targets, K classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fulmen.data.source import DataSpec
from fulmen.data.tensors import Batch, Rows, chunk_rows
from fulmen.tasks.predictor import Predictor, final
from fulmen.training.callbacks.weight_snapshots import WeightSnapshots

if TYPE_CHECKING:
    from fulmen.training.callbacks.layer_statistics import LayerStatistics

MAX_POINTS = 1000
"""Points of a split shown at most. A larger split is cut into this many parts, and one row is drawn from each."""

Values = NDArray[np.floating]


@dataclass(frozen=True)
class RunContext:
    """A finished run, or a frame of its animation.

    Args:
        predictor: the network, on the CPU.
        splits: rows as the network receives them, on any device.
        metrics: the content of `metrics.json`.
        history: rows of `history.csv`: step and metrics.
        snapshots: weights during training, if they were kept.
        statistics: statistics of layers during training, if they were measured.
        feature_groups: the features of each column, by its name.
    """

    predictor: Predictor
    splits: Mapping[str, Rows]
    metrics: Mapping[str, Any]
    history: Sequence[tuple[int, Mapping[str, float]]]
    snapshots: WeightSnapshots | None = None
    statistics: "LayerStatistics | None" = None
    feature_groups: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def spec(self) -> DataSpec:
        return self.predictor.spec

    @property
    def net(self) -> nn.Module:
        return self.predictor.evaluation.net

    @property
    def classifies(self) -> bool:
        return self.spec.task != "regression"

    @property
    def has_grey_images(self) -> bool:
        """True if the rows are images with one channel."""
        return len(self.spec.in_shape) == 3 and self.spec.in_shape[0] == 1

    @property
    def held_out(self) -> str:
        """The split that says most about new data: test, else validation, else train."""
        return next(name for name in ("test", "val", "train") if name in self.splits)

    def points(self, split: str) -> tuple[Values, NDArray[Any]]:
        """Returns features and targets of at most `MAX_POINTS` rows, in the form of `features` and `targets`."""
        rows = self.splits[split]
        if rows.rows <= MAX_POINTS:
            batch = rows.take(slice(None))
        else:
            drawn = torch.rand(MAX_POINTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            ends = torch.arange(MAX_POINTS + 1) * rows.rows // MAX_POINTS
            batch = rows.take(ends[:-1] + (drawn * ends.diff()).long())
        return self.features(batch.x), self.targets(batch.y)

    def sample(self, split: str, most: int) -> Iterator[Batch]:
        """Yields at most `most` rows of a split, evenly spaced, in chunks."""
        rows = self.splits[split]
        indices = torch.linspace(0, rows.rows - 1, min(most, rows.rows), dtype=torch.float64).long()
        return map(rows.take, torch.split(indices, chunk_rows(rows.take(slice(0, 1)).x)))

    def shown(self, split: str) -> str:
        """Returns `, 1,000 of 5,000` if only some of the rows are shown, else nothing."""
        rows = self.splits[split].rows
        return f", {MAX_POINTS:,} of {rows:,}" if rows > MAX_POINTS else ""

    def features(self, x: Tensor) -> Values:
        """Returns the features before scaling, [N, *in_shape]."""
        values, scaling = x.cpu().double().numpy(), self.predictor.scaling.x
        return values if scaling is None else scaling.inverse(values)

    def targets(self, y: Tensor) -> NDArray[Any]:
        """Returns values in their original units, [N, T], or class indices, [N]."""
        if self.classifies:
            return y.cpu().long().flatten().numpy()
        return self.predictor.evaluation.task.values(y.cpu().double()).numpy()

    def probabilities(self, x: Tensor) -> Values:
        """Returns the predicted class probabilities, [N, K]."""
        scores = self.predictor.evaluation.scores(x.cpu())
        return final(scores, self.predictor.evaluation.task).double().numpy()


def around(values: Values, count: int) -> Values:
    """Returns `count` evenly spaced points from slightly below the smallest value to slightly above the largest."""
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, count)
