"""Pure noise: nothing to learn, only shapes to try a model with (notebook 002)."""

import numpy as np

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split

FEATURES, TARGETS = 48, 10


class Gaussian(Synthetic):
    """48 features and 10 targets from N(0, 1), independent of each other."""

    @property
    def spec(self) -> DataSpec:
        features, targets = (tuple(f"{a}{i + 1}" for i in range(n)) for a, n in (("x", FEATURES), ("y", TARGETS)))
        return DataSpec((FEATURES,), TARGETS, "regression", features, targets)

    def load(self) -> dict[str, Split]:
        return self.splits(_draw)


def _draw(random: np.random.RandomState, rows: int) -> Split:
    return Split(random.standard_normal((rows, FEATURES)), random.standard_normal((rows, TARGETS)))
