"""scikit-learn's `make_circles`: two concentric rings of points (notebooks 003 and 004)."""

from dataclasses import dataclass

import numpy as np

from fulmen.data.sets.synthetic import SAME_POINTS, Synthetic
from fulmen.data.source import DataSpec, Split
from fulmen.rules import check, number


@dataclass(kw_only=True)
class Circles(Synthetic):
    """Two classes: 0 around the unit circle, 1 around a smaller circle."""

    factor: float
    """Radius of the smaller circle."""
    noise: float
    """Standard deviation of the noise. Not 0: all splits would contain the same points."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.factor", self.factor, number("(0, 1)"))
        check("data.noise", self.noise, number("(0, inf)"), SAME_POINTS)

    @property
    def spec(self) -> DataSpec:
        return DataSpec((2,), 1, "binary", ("x1", "x2"), ("outer", "inner"))

    def load(self) -> dict[str, Split]:
        return self.splits(self._draw)

    def _draw(self, random: np.random.RandomState, rows: int) -> Split:
        from sklearn.datasets import make_circles

        return Split(*make_circles(rows, factor=self.factor, noise=self.noise, random_state=random))
