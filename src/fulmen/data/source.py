"""The interface of a data set: a spec that is cheap to compute, and arrays that are loaded when a run needs them.

A source uses NumPy and its own library, never torch: its sizes and task are read before torch is imported.
To add a data set, subclass `Source` in a new file in `sets/` and add a YAML file in `conf/data/` (CONTRIBUTING.md).

Shapes: N rows, C channels, H height, W width, F features, T targets, K classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from fulmen.data import new_rows
from fulmen.rules import Rule, check

if TYPE_CHECKING:
    import pandas as pd

TaskKind = Literal["regression", "binary", "multiclass"]
LabelType = Literal["number", "text", "yes_no"]

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DataSpec:
    """Sizes, names and task of a data set: all that a model must know, before anything is loaded or downloaded."""

    in_shape: tuple[int, ...]
    """Shape of one row: (F,) for a table, (C, H, W) for images."""
    out_features: int
    """Model outputs per row: T for regression, 1 for two classes, the number of classes otherwise."""
    task: TaskKind
    feature_names: tuple[str, ...]
    """F names; empty for images."""
    target_names: tuple[str, ...]
    """T target names for regression; the class names otherwise."""
    label_type: LabelType = "number"
    """What the rows hold for a class, which predictions hold as well; `number`: texts unless all names are numbers."""

    @property
    def labels(self) -> NDArray[Any]:
        """The classes as the rows hold them, [K]: whole or floating numbers, texts, or False and True."""
        names = self.target_names
        if self.label_type == "yes_no":
            return np.array([name == "True" for name in names])
        for make in (int, float) if self.label_type == "number" else ():
            with suppress(ValueError):
                values = [make(name) for name in names]
                if [*map(str, values)] == [*names]:  # not 007, which is a text
                    return np.array(values)
        return np.array(names)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "DataSpec":
        """Restores a spec from its fields, as read from a checkpoint.

        Raises:
            ValueError: a field is missing, or is not what it must be.
        """
        try:
            in_shape, features, targets = (tuple(plain[name]) for name in ("in_shape", "feature_names", "target_names"))
            label_type = plain.get("label_type", "number")
            spec = cls(in_shape, plain["out_features"], plain["task"], features, targets, label_type)
            if "label_type" not in plain and spec.labels.dtype.kind == "U" and {*targets} != {"False", "True"}:
                spec = replace(spec, label_type="text")  # which an earlier version told by the names
            right = (
                all(type(size) is int and size > 0 for size in (*in_shape, spec.out_features))
                and spec.task in get_args(TaskKind)
                and label_type in get_args(LabelType)
                and all(isinstance(name, str) for name in (*features, *targets))
                and len(targets) == (2 if spec.task == "binary" else spec.out_features)
            )
        except (KeyError, TypeError):
            right = False
        if not right:
            raise ValueError(f"these are not the sizes, task and names of a data set: {plain!s:.200}")
        return spec


class Split(NamedTuple):
    """The rows of one split."""

    x: NDArray[Any]
    """[N, *in_shape], floats; a memory-mapped file may also hold integers."""
    y: NDArray[Any]
    """[N, T] floats for regression; [N] class indices otherwise."""


@dataclass(kw_only=True)
class Source(ABC):
    """A data set. The fields are the keys of its YAML file; subclasses add their own, and rules for them.

    `__post_init__` raises `ValueError` for an invalid field.
    """

    batch_size: int | Literal["full"] = 32
    """Rows per optimizer step."""
    epochs: int = 100
    """Recommended passes over the data: the default of `trainer.max_epochs`."""
    scale: Literal["none", "features", "both", "channels"] = "none"
    """Standardized on train: nothing, each feature, features and targets, or each channel of an image."""
    seed: int = 0
    """Seed of the data, independent of the `seed` of the run."""

    rules: ClassVar[Mapping[str, Rule]] = {}
    """What values of the fields must be, where their types do not say it all."""

    def __post_init__(self) -> None:
        for name, rule in self.rules.items():
            check(f"data.{name}", getattr(self, name), rule)

    @property
    @abstractmethod
    def spec(self) -> DataSpec:
        """Sizes, names and task; cheap."""

    @abstractmethod
    def load(self) -> dict[str, Split]:
        """Loads the splits `train`, `val` and `test`; all but `train` are optional. Deterministic."""

    @property
    def streams(self) -> bool:
        """True if rows stay in memory-mapped files and are read when needed."""
        return False

    def row_name(self, split: str, row: int) -> str:
        """Returns the name of a row in messages; `row` counts from 0."""
        return f"row {row + 1} of the {split} split"

    @property
    def augmentations(self) -> Sequence[Any]:
        """Random changes of training rows: names (`training/augmentations.py`), or torch modules."""
        return ()

    @property
    def summary(self) -> list[tuple[str, ...]]:
        """A table of text about the columns that were read, its header first; empty if there is nothing to say."""
        return []

    @property
    def feature_groups(self) -> dict[str, list[int]]:
        """The features that come from each column, by its name; empty for images."""
        return {name: [index] for index, name in enumerate(self.spec.feature_names)}

    def state_dict(self) -> dict[str, Any]:
        """Returns what the source learned from the training rows, as plain values, for a checkpoint."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 - most sources learn nothing
        """Restores the output of `state_dict`, so that new rows can be encoded without the training rows."""

    def encode(self, rows: "pd.DataFrame | NDArray[Any]") -> NDArray[np.floating]:
        """Encodes new rows, as read from a file, as features [N, *in_shape], before scaling.

        The columns of a table with a header are matched by name if the features have names, those of an array [N, ...]
        by position.

        Raises:
            ValueError: the shape is wrong, a column is missing, or a value is not a finite number.
        """
        names = self.spec.feature_names
        if names and not isinstance(rows, np.ndarray):
            rows = new_rows.named(rows, names)
        return new_rows.by_position(new_rows.array(rows), self.spec.in_shape)


def fresh(seed: int, split: str) -> np.random.RandomState:
    """Returns a generator for the rows of a split that a lesson does not draw itself, independent for each split."""
    return np.random.RandomState([seed, SPLITS.index(split)])
