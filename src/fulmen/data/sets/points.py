"""Points in the plane, in classes: scikit-learn's circles, moons and blobs (notebooks 002 to 004), and two spirals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fulmen.data.sets.synthetic import Synthetic
from fulmen.data.source import DataSpec, Split
from fulmen.rules import Rule, number

TURNS = 1.5
"""Turns of a spiral."""


def above_0(value: Any) -> str | None:
    """Applies the rule of noise that may not be 0, where scikit-learn draws nothing else at random."""
    wanted = number("(0, inf)")(value)
    return None if wanted is None else f"{wanted}; with 0, all splits would contain the same points"


@dataclass(kw_only=True)
class Circles(Synthetic):
    """Two classes: 0 around the unit circle, 1 around a smaller circle."""

    spec = DataSpec((2,), 1, "binary", ("x1", "x2"), ("outer", "inner"))

    factor: float
    """Radius of the smaller circle."""
    noise: float
    """Standard deviation of the noise, above 0."""

    rules: ClassVar[Mapping[str, Rule]] = {**Synthetic.rules, "factor": number("(0, 1)"), "noise": above_0}

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        from sklearn.datasets import make_circles

        return Split(*make_circles(rows, factor=self.factor, noise=self.noise, random_state=random))


@dataclass(kw_only=True)
class Moons(Synthetic):
    """Two interleaving half circles: class 0 opens downwards, class 1 upwards."""

    spec = DataSpec((2,), 1, "binary", ("x1", "x2"), ("upper", "lower"))

    noise: float
    """Standard deviation of the noise, above 0."""

    rules: ClassVar[Mapping[str, Rule]] = {**Synthetic.rules, "noise": above_0}

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        from sklearn.datasets import make_moons

        return Split(*make_moons(rows, noise=self.noise, random_state=random))


@dataclass(kw_only=True)
class Spirals(Synthetic):
    """Two spirals from near the origin to the unit circle; each is the other rotated by half a turn.

    After the two-spirals problem (Lang and Witbrock, 1988), hard for a small network. The original has fixed points;
    here they are drawn at random, to have fresh ones for validation and test.
    """

    spec = DataSpec((2,), 1, "binary", ("x1", "x2"), ("first", "second"))

    noise: float
    """Standard deviation of the noise; neighbouring spirals are 1/3 apart."""

    rules: ClassVar[Mapping[str, Rule]] = {**Synthetic.rules, "noise": number("[0, inf)")}

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        y = np.arange(rows) % 2
        radius = np.sqrt(random.uniform(0.01, 1, rows))  # sqrt: uniform density along the spiral
        angle = 2 * np.pi * TURNS * radius + np.pi * y
        x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # [N, 2]
        return Split(x + self.noise * random.standard_normal((rows, 2)), y)


@dataclass(kw_only=True)
class Blobs(Synthetic):
    """Four Gaussian clusters, one class each, whose centres all splits share."""

    spec = DataSpec((2,), 4, "multiclass", ("x1", "x2"), ("blob 0", "blob 1", "blob 2", "blob 3"))

    centers: ClassVar = 4
    center_box: ClassVar = (-1.2, 1.2)
    """Range of the uniform distribution of each coordinate of the centres."""

    std: float
    """Standard deviation of each cluster, above 0."""

    rules: ClassVar[Mapping[str, Rule]] = {**Synthetic.rules, "std": above_0}

    def load(self) -> dict[str, Split]:
        from sklearn.datasets import make_blobs

        x, y, centers = make_blobs(
            self.train_size,
            centers=self.centers,
            cluster_std=self.std,
            center_box=self.center_box,
            random_state=self.seed,
            return_centers=True,
        )

        def draw(random: np.random.RandomState, rows: int) -> Split:
            return Split(*make_blobs(rows, centers=centers, cluster_std=self.std, random_state=random))

        return self.splits(draw, Split(x, y))


class BlobsBinary(Blobs):
    """The first of three clusters against the rest.

    Notebook 002 draws its test points around other centres, so its test loss rises.
    """

    spec = DataSpec((2,), 1, "binary", ("x1", "x2"), ("blob 0", "rest"))

    centers = 3
    center_box = (-10.0, 10.0)

    def load(self) -> dict[str, Split]:
        return {name: Split(x, (y != 0).astype(y.dtype)) for name, (x, y) in super().load().items()}
