"""Noise with as many features as one likes, to see how cost grows."""

from dataclasses import dataclass

from numpy.random import RandomState

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split


@dataclass(kw_only=True)
class Noise(Synthetic):
    """Features and one target from N(0, 1)."""

    features: int

    @property
    def spec(self) -> DataSpec:
        return DataSpec((self.features,), 1, "regression", tuple(f"x{i}" for i in range(self.features)), ("y",))

    def draw(self, random: RandomState, rows: int) -> Split:
        """Features [N, F] and targets [N, 1] of one split."""
        return Split(random.standard_normal((rows, self.features)), random.standard_normal((rows, 1)))
