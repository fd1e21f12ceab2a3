"""scikit-learn's `make_moons`: two interleaving half circles."""

from dataclasses import dataclass

import numpy as np

from fulmen.data.sets.synthetic import SAME_POINTS, Synthetic
from fulmen.data.source import DataSpec, Split
from fulmen.rules import check, number


@dataclass(kw_only=True)
class Moons(Synthetic):
    """Two half circles: class 0 opens downwards, class 1 upwards."""

    noise: float
    """Standard deviation of the noise. Not 0: all splits would contain the same points."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.noise", self.noise, number("(0, inf)"), SAME_POINTS)

    @property
    def spec(self) -> DataSpec:
        return DataSpec((2,), 1, "binary", ("x1", "x2"), ("upper", "lower"))

    def load(self) -> dict[str, Split]:
        return self.splits(self._draw)

    def _draw(self, random: np.random.RandomState, rows: int) -> Split:
        from sklearn.datasets import make_moons

        return Split(*make_moons(rows, noise=self.noise, random_state=random))
