"""Targets linear in the features, plus noise (notebook 001)."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split

WEIGHTS_5D = np.array([1, 0.5, 0.1, 0, 0])


@dataclass(kw_only=True)
class Linear(Synthetic):
    """Linear data whose train and validation rows are one draw, shuffled and cut, as in the notebook."""

    def load(self) -> dict[str, Split]:
        random = np.random.RandomState(self.seed)
        x, y = self.draw(random, self.train_size + self.val_size)
        train, val = np.split(random.permutation(len(x)), [self.train_size])
        splits = self.splits(self.draw, Split(x[train], y[train]))
        return splits | {"val": Split(x[val], y[val])} if self.val_size else splits

    @abstractmethod
    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        """Draws all features first, then all noise."""


class Linear1d(Linear):
    """y = 1 + 2 x1 + 0.1 N(0, 1), x1 uniform in [0, 1)."""

    @property
    def spec(self) -> DataSpec:
        return DataSpec((1,), 1, "regression", ("x1",), ("y",))

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        x = random.rand(rows, 1)
        return Split(x, 1 + 2 * x + 0.1 * random.randn(rows, 1))


class Linear5d(Linear):
    """y = 1 + x1 + 0.5 x2 + 0.1 x3 + N(0, 1), features from N(0, 1)."""

    @property
    def spec(self) -> DataSpec:
        return DataSpec((5,), 1, "regression", ("x1", "x2", "x3", "x4", "x5"), ("y",))

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        x = random.randn(rows, 5)
        return Split(x, (x @ WEIGHTS_5D + 1 + random.randn(rows))[:, None])
