"""Two interleaved spirals, after the two-spirals problem (Lang and Witbrock, 1988): hard for a small network.

The original has fixed points; here they are drawn at random, to have fresh ones for validation and test.
"""

from dataclasses import dataclass

import numpy as np

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split
from fulmen.rules import check, number

TURNS = 1.5


@dataclass(kw_only=True)
class Spirals(Synthetic):
    """Two spirals from near the origin to the unit circle; each is the other rotated by half a turn."""

    noise: float
    """Standard deviation of the noise; neighbouring spirals are 1/3 apart."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.noise", self.noise, number("[0, inf)"))

    @property
    def spec(self) -> DataSpec:
        return DataSpec((2,), 1, "binary", ("x1", "x2"), ("first", "second"))

    def load(self) -> dict[str, Split]:
        return self.splits(self._draw)

    def _draw(self, random: np.random.RandomState, rows: int) -> Split:
        y = np.arange(rows) % 2
        radius = np.sqrt(random.uniform(0.01, 1, rows))  # sqrt: uniform density along the spiral
        angle = 2 * np.pi * TURNS * radius + np.pi * y
        x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # [N, 2]
        return Split(x + self.noise * random.standard_normal((rows, 2)), y)
