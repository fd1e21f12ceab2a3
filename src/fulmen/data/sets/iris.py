"""Fisher's iris data from scikit-learn: four lengths in centimetres of 50 flowers of each of three species."""

import numpy as np

from fulmen.data.source import DataSpec, Source, Split

SEPAL = ("sepal length (cm)", "sepal width (cm)")
PETAL = ("petal length (cm)", "petal width (cm)")


class IrisPetals(Source):
    """Petals predicted from sepals, versicolor and virginica only; half train, half validation (notebook 001)."""

    spec = DataSpec((2,), 2, "regression", SEPAL, PETAL)

    def load(self) -> dict[str, Split]:
        from sklearn.datasets import load_iris
        from sklearn.model_selection import train_test_split

        flowers, species = load_iris(return_X_y=True)
        rows = np.flatnonzero(species != 0)  # 0: setosa
        train, val = train_test_split(rows, train_size=0.5, stratify=species[rows], random_state=self.seed)
        return {name: Split(flowers[rows, :2], flowers[rows, 2:]) for name, rows in (("train", train), ("val", val))}


class IrisSpecies(Source):
    """Species predicted from all four lengths; each has 30 flowers in train, 10 in validation, 10 in test."""

    spec = DataSpec((4,), 3, "multiclass", SEPAL + PETAL, ("setosa", "versicolor", "virginica"))

    def load(self) -> dict[str, Split]:
        from sklearn.datasets import load_iris
        from sklearn.model_selection import train_test_split

        x, y = load_iris(return_X_y=True)
        train, rest = train_test_split(np.arange(len(y)), train_size=0.6, stratify=y, random_state=self.seed)
        val, test = train_test_split(rest, train_size=0.5, stratify=y[rest], random_state=self.seed)
        return {name: Split(x[rows], y[rows]) for name, rows in (("train", train), ("val", val), ("test", test))}
