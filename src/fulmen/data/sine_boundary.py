"""Points in a square, of the class 1 where they lie on or above a sine wave (notebook 000)."""

from dataclasses import dataclass

import numpy as np

from fulmen.data.source import Joint, Source, Split, fresh

EDGE = 1 - 1e-5
"""Half the side of the square that points are drawn from, before they are rounded to two decimals."""


@dataclass(kw_only=True)
class SineBoundary(Source):
    """Class 1 where x2 >= -1/4 + 3/4 sin(pi x1)."""

    train_size: int
    val_size: int
    test_size: int

    @property
    def joint(self) -> Joint:
        return Joint((2,), 1, "binary", ("x1", "x2"), ("below", "above"))

    def load(self) -> dict[str, Split]:
        return {
            "train": _draw(np.random.RandomState(self.seed), self.train_size),
            "val": _draw(fresh(self.seed, "val"), self.val_size),
            "test": _draw(fresh(self.seed, "test"), self.test_size),
        }


def _draw(random: np.random.RandomState, rows: int) -> Split:
    """All first features are drawn, then all second ones: the notebook's order, so its very numbers."""
    x = random.uniform(-EDGE, EDGE, (2, rows)).round(2).T
    return Split(x, (x[:, 1] >= -1 / 4 + 3 / 4 * np.sin(np.pi * x[:, 0])).astype(np.int64))
