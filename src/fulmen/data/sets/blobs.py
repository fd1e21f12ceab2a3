"""scikit-learn's `make_blobs`: Gaussian clusters (four classes: notebooks 003 and 004; two classes: notebook 002).

All splits share the centres. Notebook 002 draws its test points around other centres, so its test loss rises.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fulmen.data.sets.synthetic import SAME_POINTS, Synthetic
from fulmen.data.source import DataSpec, Split
from fulmen.rules import check, number


@dataclass(kw_only=True)
class Blobs(Synthetic):
    """Four Gaussian clusters, one class each."""

    centers: ClassVar = 4
    center_box: ClassVar = (-1.2, 1.2)
    """Range of the uniform distribution of each coordinate of the centres."""

    std: float
    """Standard deviation of each cluster. Not 0: all splits would contain the same points."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check("data.std", self.std, number("(0, inf)"), SAME_POINTS)

    @property
    def spec(self) -> DataSpec:
        return DataSpec((2,), 4, "multiclass", ("x1", "x2"), ("blob 0", "blob 1", "blob 2", "blob 3"))

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
    """The first of three clusters against the rest."""

    centers = 3
    center_box = (-10.0, 10.0)

    @property
    def spec(self) -> DataSpec:
        return DataSpec((2,), 1, "binary", ("x1", "x2"), ("blob 0", "rest"))

    def load(self) -> dict[str, Split]:
        return {name: Split(x, (y != 0).astype(y.dtype)) for name, (x, y) in super().load().items()}
