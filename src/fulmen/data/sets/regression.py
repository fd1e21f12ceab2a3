"""scikit-learn's `make_regression`: targets linear in the features, plus noise (notebooks 003 and 004)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split
from fulmen.rules import check, number


@dataclass(kw_only=True)
class Regression(Synthetic):
    """y = x w + noise N(0, 1), features from N(0, 1); all splits share w, which is drawn after train's features."""

    width: ClassVar[int]
    """Number of features."""

    noise: float
    """Standard deviation of the noise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.noise", self.noise, number("[0, inf)"))

    @property
    def spec(self) -> DataSpec:
        return DataSpec((self.width,), 1, "regression", tuple(f"x{i + 1}" for i in range(self.width)), ("y",))

    def load(self) -> dict[str, Split]:
        from sklearn.datasets import make_regression

        rows, features = self.train_size, self.width
        x, y, w = make_regression(rows, features, noise=self.noise, coef=True, random_state=self.seed)
        w = w.reshape(features, 1)  # [F, 1]; a scalar if there is one feature

        def draw(random: np.random.RandomState, rows: int) -> Split:
            x = random.standard_normal((rows, features))
            return Split(x, x @ w + self.noise * random.standard_normal((rows, 1)))

        return self.splits(draw, Split(x, y[:, None]))


class Regression1d(Regression):
    """One feature."""

    width = 1


class Regression3d(Regression):
    """Three features."""

    width = 3
