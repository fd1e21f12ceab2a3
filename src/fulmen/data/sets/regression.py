"""Targets drawn at random: linear in the features (notebooks 001, 003 and 004), a curve, and pure noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split
from fulmen.rules import Rule, number

WEIGHTS_5D = np.array([1, 0.5, 0.1, 0, 0])


class Linear(Synthetic):
    """Linear data whose train and validation rows are one draw, shuffled and cut, as in notebook 001.

    All features are drawn first, then all noise.
    """

    def load(self) -> dict[str, Split]:
        random = np.random.RandomState(self.seed)
        x, y = self.draw(random, self.train_size + self.val_size)
        train, val = np.split(random.permutation(len(x)), [self.train_size])
        splits = self.splits(self.draw, Split(x[train], y[train]))
        return splits | {"val": Split(x[val], y[val])} if self.val_size else splits


class Linear1d(Linear):
    """y = 1 + 2 x1 + 0.1 N(0, 1), x1 uniform in [0, 1)."""

    spec = DataSpec((1,), 1, "regression", ("x1",), ("y",))

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        x = random.rand(rows, 1)
        return Split(x, 1 + 2 * x + 0.1 * random.randn(rows, 1))


class Linear5d(Linear):
    """y = 1 + x1 + 0.5 x2 + 0.1 x3 + N(0, 1), features from N(0, 1)."""

    spec = DataSpec((5,), 1, "regression", ("x1", "x2", "x3", "x4", "x5"), ("y",))

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        x = random.randn(rows, 5)
        return Split(x, (x @ WEIGHTS_5D + 1 + random.randn(rows))[:, None])


@dataclass(kw_only=True)
class Regression(Synthetic):
    """scikit-learn's `make_regression`: y = x w + noise N(0, 1), features from N(0, 1).

    All splits share w, which is drawn after train's features.
    """

    noise: float
    """Standard deviation of the noise."""

    rules: ClassVar[Mapping[str, Rule]] = {**Synthetic.rules, "noise": number("[0, inf)")}

    def load(self) -> dict[str, Split]:
        from sklearn.datasets import make_regression

        rows, (features,) = self.train_size, self.spec.in_shape
        x, y, w = make_regression(rows, features, noise=self.noise, coef=True, random_state=self.seed)
        w = w.reshape(features, 1)  # [F, 1]; a scalar if there is one feature

        def draw(random: np.random.RandomState, rows: int) -> Split:
            x = random.standard_normal((rows, features))
            return Split(x, x @ w + self.noise * random.standard_normal((rows, 1)))

        return self.splits(draw, Split(x, y[:, None]))


class Regression1d(Regression):
    """One feature."""

    spec = DataSpec((1,), 1, "regression", ("x1",), ("y",))


class Regression3d(Regression):
    """Three features."""

    spec = DataSpec((3,), 1, "regression", ("x1", "x2", "x3"), ("y",))


class Wiggle(Synthetic):
    """The curve y = x² + 15 sin³ x without noise, x from N(0, 1) in ascending order (notebooks 003 and 004)."""

    spec = DataSpec((1,), 1, "regression", ("x",), ("y",))

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        x = np.sort(random.randn(rows))[:, None]
        return Split(x, x**2 + 15 * np.sin(x) ** 3)


class Gaussian(Synthetic):
    """48 features and 10 targets from N(0, 1), independent of each other: nothing to learn (notebook 002)."""

    spec = DataSpec(
        (48,), 10, "regression", tuple(f"x{i + 1}" for i in range(48)), tuple(f"y{i + 1}" for i in range(10))
    )

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        return Split(random.standard_normal((rows, 48)), random.standard_normal((rows, 10)))
