"""Your own NumPy arrays: `<split>_x.npy` and `<split>_y.npy` in a folder, of any size.

The files are memory-mapped. One pass over the targets determines the task, and one over everything checks the values.

Shapes: N rows, F features, T targets.
"""

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fulmen.data.chunks import parts
from fulmen.data.sets import npy_files
from fulmen.data.source import DataSpec, Source, Split, TaskKind
from fulmen.data.tables.target import CLASSES, TargetOptions

MOST = 10_000
"""Maximum number of classes; with larger integers, the user must choose `data.task=regression`."""


@dataclass(kw_only=True)
class Arrays(Source):
    """Rows of `.npy` files."""

    path: str | None
    """Path of the folder."""
    task: TargetOptions
    """Task; `auto`: classification if the targets are integers, or few different whole numbers; else regression."""
    in_memory: Literal["auto", True, False]
    """Load all rows into memory; `auto`: if they take less than half of it."""

    @property
    def streams(self) -> bool:
        if self.in_memory == "auto":
            arrays = [values for split in self._files.values() for values in split]
            needed = sum(values.size * max(4, values.itemsize) for values in arrays)  # at least 4 bytes a number
            return 2 * needed > npy_files.memory()
        return not self.in_memory

    def load(self) -> dict[str, Split]:
        """Returns the memory-mapped splits.

        Raises:
            ValueError: an array does not match the training rows, or a value is not finite or not a class.
        """
        splits = {name: self._checked(name, split) for name, split in self._files.items()}
        are_numbers = "train" in splits and splits["train"].y.dtype.kind == "f"
        if self.task == "auto" and are_numbers and self.spec.task != "regression":
            taken = f"the {len(self.spec.target_names)} whole numbers of train_y.npy are taken for classes"
            print(f"data=arrays: {taken}; for values add data.task=regression", file=sys.stderr)
        if self.streams and self.batch_size == "full":
            raise ValueError(
                "data.batch_size=full needs all rows in memory, but these are read from their files: "
                "set a number of rows, or data.in_memory=true."
            )
        return splits

    def state_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self.spec)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the output of `state_dict`; the training rows are then not needed."""
        self.spec = DataSpec.of(state)
        vars(self).pop("_files", None)

    @cached_property
    def _files(self) -> dict[str, Split]:
        if self.path is None:
            raise ValueError("data=arrays needs a folder: add data.path=<one with train_x.npy and train_y.npy>.")
        return npy_files.opened(self.path, needed=() if "spec" in vars(self) else ("train",))

    @cached_property
    def spec(self) -> DataSpec:
        """The spec, determined from the training rows."""
        x, y = self._files["train"]
        features = tuple(f"x{index + 1}" for index in range(x.shape[1])) if x.ndim == 2 else ()
        if self.task == "regression" or (self.task == "auto" and not _are_classes(y)):
            count = _values(y, "train").shape[1]
            names = tuple(f"y{index + 1}" for index in range(count)) if count > 1 else ("y",)
            return DataSpec(x.shape[1:], count, "regression", features, names)
        count = self._classes(y)
        task: TaskKind = "binary" if count == 2 and self.task != "multiclass" else "multiclass"
        return DataSpec(x.shape[1:], 1 if task == "binary" else count, task, features, tuple(map(str, range(count))))

    def _classes(self, y: NDArray[Any]) -> int:
        """Counts the classes of the training rows."""
        found: NDArray[np.int64] = sum(  # type: ignore[assignment]
            np.bincount(part, minlength=MOST) for part in map(_class_indices, parts(_flat(y, "train")))
        )
        count = int(np.flatnonzero(found)[-1]) + 1
        if not found[:count].all():
            raise ValueError(
                f"train_y.npy has classes up to {count - 1} but no row of class {int(found.argmin())}: number them "
                "from 0 without gaps, or, for regression, add data.task=regression."
            )
        if count == 1:
            raise ValueError("train_y.npy has class 0 in every row: there is nothing to learn.")
        if self.task == "binary" and count != 2:
            raise ValueError(f"data.task is binary, and train_y.npy has {count} classes: there must be 2.")
        return count

    def _checked(self, name: str, split: Split) -> Split:
        """Checks a split, and reshapes its targets for the task."""
        spec = self.spec
        if split.x.shape[1:] != spec.in_shape:
            raise ValueError(
                f"{name}_x.npy has rows of shape {split.x.shape[1:]}, but train_x.npy of shape {spec.in_shape}."
            )
        npy_files.check_finite(split.x, f"{name}_x.npy")
        if spec.task != "regression":
            y = _flat(split.y, name)
            for part in map(_class_indices, parts(y)):
                if part.max() >= len(spec.target_names):
                    raise ValueError(
                        f"{name}_y.npy has class {part.max()}, but the largest class in train_y.npy is "
                        f"{len(spec.target_names) - 1}."
                    )
            return Split(split.x, y)
        y = _values(split.y, name)
        if y.shape[1] != spec.out_features:
            raise ValueError(f"{name}_y.npy has {y.shape[1]} targets, but train_y.npy has {spec.out_features}.")
        npy_files.check_finite(y, f"{name}_y.npy")
        return Split(split.x, y)


def _are_classes(y: NDArray[Any]) -> bool:
    """Returns whether targets are integers, or floats [N] or [N, 1] that a table would take for classes, too.

    Where most rows have a number of their own, these are values.
    """
    if y.dtype.kind != "f":
        return True
    if y.shape not in ((len(y),), (len(y), 1)):
        return False
    found: NDArray[Any] = y[:0].ravel()
    for part in parts(y):
        found = np.union1d(found, part)
        if len(found) > CLASSES or not (np.isfinite(part).all() and (part == np.floor(part)).all()):
            return False
    return len(found) <= len(y) / 2


def _values(y: NDArray[Any], split: str) -> NDArray[Any]:
    """Reshapes [N] or [N, T] to [N, T]."""
    if y.ndim > 2:
        raise ValueError(
            f"{split}_y.npy has shape {y.shape}: regression targets must have shape [rows] or [rows, targets]."
        )
    return y.reshape(len(y), -1)


def _flat(y: NDArray[Any], split: str) -> NDArray[Any]:
    """Reshapes [N] or [N, 1] to [N]."""
    if y.shape not in ((len(y),), (len(y), 1)):
        raise ValueError(
            f"{split}_y.npy has shape {y.shape}: class labels must have shape [rows], one integer per row; "
            "for regression, add data.task=regression."
        )
    return y.reshape(len(y))


def _class_indices(part: NDArray[Any]) -> NDArray[np.int64]:
    """Converts targets [N] to class indices."""
    wrong = part[~((part >= 0) & (part < MOST) & (part % 1 == 0))]
    if len(wrong):
        raise ValueError(
            f"The targets contain {wrong[0]}, but class labels must be integers from 0 to {MOST - 1}: "
            "renumber the classes, or, for regression, add data.task=regression."
        )
    return part.astype(np.int64)
