"""What figures are drawn of: a trained network on the CPU, its rows in their own units, its record.

Shapes: N rows, T targets, K classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fulmen.data.source import DataSpec
from fulmen.data.tensors import Rows
from fulmen.tasks.predictor import Predictor, final

MOST = 1000
"""Rows of a split that a figure shows as points; of more, one drawn from each of so many parts."""

Values = NDArray[np.floating]


@dataclass(frozen=True)
class RunContext:
    """A run at its end, or a frame of it.

    Args:
        predictor: the network, on the CPU.
        splits: rows as the network was given them, on whatever device.
        metrics: the content of `metrics.json`.
        history: rows of `history.csv`: the step and the figures.
    """

    predictor: Predictor
    splits: Mapping[str, Rows]
    metrics: Mapping[str, Any]
    history: Sequence[tuple[int, Mapping[str, float]]]

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
        """Whether its rows are images of one channel."""
        return len(self.spec.in_shape) == 3 and self.spec.in_shape[0] == 1

    @property
    def held_out(self) -> str:
        """The split that says most about new rows."""
        return next(name for name in ("test", "val", "train") if name in self.splits)

    def points(self, split: str) -> tuple[Values, NDArray[Any]]:
        """At most `MOST` rows: features and targets, as `features` and `targets` give them."""
        rows = self.splits[split]
        if rows.rows <= MOST:
            batch = rows.take(slice(None))
        else:
            drawn = torch.rand(MOST, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
            ends = torch.arange(MOST + 1) * rows.rows // MOST
            batch = rows.take(ends[:-1] + (drawn * ends.diff()).long())
        return self.features(batch.x), self.targets(batch.y)

    def shown(self, split: str) -> str:
        """How many of a split's rows are among its points, where not all are: `, 1,000 of 5,000`."""
        rows = self.splits[split].rows
        return f", {MOST:,} of {rows:,}" if rows > MOST else ""

    def features(self, x: Tensor) -> Values:
        """Features as they were before any scaling, [N, *in_shape]."""
        values, scaling = x.cpu().double().numpy(), self.predictor.scaling.x
        return values if scaling is None else scaling.inverse(values)

    def targets(self, y: Tensor) -> NDArray[Any]:
        """Values in their own units, [N, T], or class numbers, [N]."""
        if self.classifies:
            return y.cpu().long().flatten().numpy()
        return self.predictor.evaluation.task.values(y.cpu().double()).numpy()

    def probabilities(self, x: Tensor) -> Values:
        """What the network says of rows of classes, [N, K]."""
        scores = self.predictor.evaluation.scores(x.cpu())
        return final(scores, self.predictor.evaluation.task).double().numpy()


def around(values: Values, count: int) -> Values:
    """`count` places in equal steps from a little below the least to a little above the largest."""
    low, high = float(values.min()), float(values.max())
    margin = 0.05 * (high - low) or 1.0
    return np.linspace(low - margin, high + margin, count)
