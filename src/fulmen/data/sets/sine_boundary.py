"""Points in a square, of class 1 if they lie on or above a sine wave (notebook 000)."""

import numpy as np

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split

EDGE = 1 - 1e-5
"""Half the side of the square, before points are rounded to two decimals."""


class SineBoundary(Synthetic):
    """Class 1 where x2 >= -1/4 + 3/4 sin(pi x1)."""

    spec = DataSpec((2,), 1, "binary", ("x1", "x2"), ("below", "above"))

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        """Draws all x1 first, then all x2: the order of the notebook, hence the same numbers."""
        x = random.uniform(-EDGE, EDGE, (2, rows)).round(2).T
        return Split(x, (x[:, 1] >= -1 / 4 + 3 / 4 * np.sin(np.pi * x[:, 0])).astype(np.int64))
