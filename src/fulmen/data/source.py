"""What a data set is: a description that is known at once, and arrays that are loaded when a run needs them.

A source knows NumPy and its own library, never torch: the command asks it for its sizes and its task before torch is
imported. To add one, subclass `Source` in a file of its own and write one YAML file in `conf/data/` (CONTRIBUTING.md).

Shapes: N rows, C channels, H height, W width, F features, T targets.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulmen.data import new_rows

if TYPE_CHECKING:
    import pandas as pd

TaskKind = Literal["regression", "binary", "multiclass"]


SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DataSpec:
    """Where data meets model: what a model must know of the data, said before anything is loaded or downloaded."""

    in_shape: tuple[int, ...]
    """Shape of one row: (F,) for a table, (C, H, W) for images."""
    out_features: int
    """Numbers that a model returns for a row: T for regression, 1 for two classes, one for each of more classes."""
    task: TaskKind
    feature_names: tuple[str, ...]
    """F names, or none for images."""
    target_names: tuple[str, ...]
    """T names of values for regression; the names of the classes otherwise."""


class Split(NamedTuple):
    """The rows of one split."""

    x: NDArray[Any]
    """[N, *in_shape], floating; mapped from a file it may also hold whole numbers."""
    y: NDArray[Any]
    """[N, T] floating for regression; [N] whole class numbers from 0 otherwise."""


@dataclass(kw_only=True)
class Source(ABC):
    """A data set. The fields are the keys of its YAML file; subclasses add their own.

    A field with a wrong value raises `ValueError` in a sentence, from `__post_init__`.
    """

    batch_size: int | Literal["full"] = 32
    """Rows in a step of the optimizer."""
    epochs: int = 100
    """Passes over the data that train it well; `trainer.max_epochs` unless that is given."""
    scale: Literal["none", "features", "both", "channels"] = "none"
    """What gets mean 0 and deviation 1, fitted on train: each feature; features and targets; an image's channels."""
    seed: int = 0
    """Seed of the draw, apart from the run's `seed`."""

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """Sizes, names and task; cheap."""

    @abstractmethod
    def load(self) -> dict[str, Split]:
        """Splits by name, of `train`, `val` and `test`; all but `train` may be absent. The same at every call."""

    @property
    def streams(self) -> bool:
        """Whether the rows are to stay where `load` leaves them, in mapped files, and be read when they are needed."""
        return False

    def learned(self) -> dict[str, Any]:
        """What the training rows taught the source, for a checkpoint: texts, numbers, yes or no, None, lists, dicts."""
        return {}

    def recall(self, learned: Mapping[str, Any]) -> None:  # noqa: B027 - most sources learn nothing
        """Takes back what `learned` gave, so that new rows can be encoded without the training rows."""

    def encode(self, rows: "pd.DataFrame | NDArray[Any]") -> NDArray[np.floating]:
        """New rows, as a file holds them, as features.

        Args:
            rows: [N, ...], an array or a table with a header.

        Returns:
            [N, *in_shape], before any scaling.

        Raises:
            ValueError: the rows do not have the shape or the columns, or a value is no finite number.
        """
        return new_rows.features(rows, self.spec.in_shape, self.spec.feature_names)


def fresh(seed: int, split: str) -> np.random.RandomState:
    """A generator for draws that a lesson does not make itself (its validation and test rows), apart for each split."""
    return np.random.RandomState([seed, SPLITS.index(split)])
