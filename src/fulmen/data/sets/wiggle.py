"""A nonlinear curve: y = x² + 15 sin³ x, without noise (notebooks 003 and 004)."""

import numpy as np

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split


class Wiggle(Synthetic):
    """A curve at points x from N(0, 1), in ascending order."""

    @property
    def spec(self) -> DataSpec:
        return DataSpec((1,), 1, "regression", ("x",), ("y",))

    def load(self) -> dict[str, Split]:
        return self.splits(_draw)


def _draw(random: np.random.RandomState, rows: int) -> Split:
    x = np.sort(random.randn(rows))[:, None]
    return Split(x, x**2 + 15 * np.sin(x) ** 3)
