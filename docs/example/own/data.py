"""A data set: a `Source`, here one that draws its rows; it knows its sizes and its task before any row is there."""

from dataclasses import dataclass

import numpy as np

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split


@dataclass(kw_only=True)
class Parabola(Synthetic):
    """y = x² + noise, x uniform in [-1, 1)."""

    spec = DataSpec((1,), 1, "regression", ("x",), ("y",))

    noise: float

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        """Returns features [N, 1] and targets [N, 1] of one split."""
        x = random.uniform(-1, 1, (rows, 1))
        return Split(x, x**2 + self.noise * random.standard_normal(x.shape))
