"""Arrays of the user's own, in NumPy's files: `<split>_x.npy` and `<split>_y.npy` in a folder, however large.

The files are mapped, not read: a pass over the targets says what is learned, one over everything that it can be used.

Shapes: N rows, F features, T targets.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fulmen.data.chunks import parts
from fulmen.data.sets import npy_files
from fulmen.data.source import DataSpec, Source, Split, TaskKind
from fulmen.data.tables.target import TargetOptions

MOST = 10_000
"""Classes; whole numbers beyond are taken for values that the user must call so."""


@dataclass(kw_only=True)
class Arrays(Source):
    """Rows of files."""

    path: str | None
    """Of the folder."""
    task: TargetOptions
    """What to predict; `auto`: classes where targets are whole numbers, values otherwise."""
    in_memory: Literal["auto", True, False]
    """Whether all rows are brought into memory; `auto`: if they take less than half of the machine's."""

    @property
    def spec(self) -> DataSpec:
        return self._spec

    @property
    def streams(self) -> bool:
        if self.in_memory == "auto":
            return 2 * sum(map(npy_files.held_bytes, self._files.values())) > npy_files.memory()
        return not self.in_memory

    def load(self) -> dict[str, Split]:
        """The splits, mapped.

        Raises:
            ValueError: an array is not like those of the training rows, or holds what is no finite number or no class.
        """
        splits = {name: self._checked(name, split) for name, split in self._files.items()}
        if self.streams and self.batch_size == "full":
            raise ValueError(
                "data.batch_size=full takes all rows at once, and these are to stay in their files: "
                "give a number of rows, or data.in_memory=true."
            )
        return splits

    def learned(self) -> dict[str, Any]:
        return dataclasses.asdict(self._spec)

    def recall(self, learned: Mapping[str, Any]) -> None:
        """Takes back what `learned` gave: the training rows need not be there then."""
        self._spec = DataSpec(**learned)
        vars(self).pop("_files", None)

    @cached_property
    def _files(self) -> dict[str, Split]:
        if self.path is None:
            raise ValueError("data=arrays needs a folder: add data.path=<one with train_x.npy and train_y.npy>.")
        return npy_files.opened(self.path, needed=() if "_spec" in vars(self) else ("train",))

    @cached_property
    def _spec(self) -> DataSpec:
        """As the training rows say."""
        x, y = self._files["train"]
        features = tuple(f"x{place + 1}" for place in range(x.shape[1])) if x.ndim == 2 else ()
        if self.task == "regression" or (self.task == "auto" and y.dtype.kind == "f"):
            count = _values(y, "train").shape[1]
            names = tuple(f"y{place + 1}" for place in range(count)) if count > 1 else ("y",)
            return DataSpec(x.shape[1:], count, "regression", features, names)
        count = self._classes(y)
        task: TaskKind = "binary" if count == 2 and self.task != "multiclass" else "multiclass"
        return DataSpec(x.shape[1:], 1 if task == "binary" else count, task, features, tuple(map(str, range(count))))

    def _classes(self, y: NDArray[Any]) -> int:
        """How many classes the training rows have.

        Raises:
            ValueError: some number has no rows, there are not two classes or more, or there are more than two and
                `data.task` is binary.
        """
        found: NDArray[np.int64] = sum(  # type: ignore[assignment]
            np.bincount(part, minlength=MOST) for part in map(_numbers_of_classes, parts(_flat(y, "train")))
        )
        count = int(np.flatnonzero(found)[-1]) + 1
        if not found[:count].all():
            raise ValueError(
                f"train_y.npy has classes up to {count - 1} and no row of class {int(found.argmin())}: number them "
                "from 0 without gaps, or, if these are values, add data.task=regression."
            )
        if count == 1:
            raise ValueError("train_y.npy has class 0 in every row: there is nothing to learn.")
        if self.task == "binary" and count != 2:
            raise ValueError(f"data.task is binary, and train_y.npy has {count} classes: it must have 2.")
        return count

    def _checked(self, name: str, split: Split) -> Split:
        """A split whose targets have the task's shape."""
        spec = self._spec
        if split.x.shape[1:] != spec.in_shape:
            raise ValueError(
                f"{name}_x.npy has rows of the shape {split.x.shape[1:]}, and train_x.npy of {spec.in_shape}."
            )
        npy_files.check_finite(split.x, f"{name}_x.npy")
        if spec.task != "regression":
            y = _flat(split.y, name)
            for part in map(_numbers_of_classes, parts(y)):
                if part.max() >= len(spec.target_names):
                    raise ValueError(
                        f"{name}_y.npy has class {part.max()}, and those of train_y.npy end with "
                        f"{len(spec.target_names) - 1}."
                    )
            return Split(split.x, y)
        y = _values(split.y, name)
        if y.shape[1] != spec.out_features:
            raise ValueError(f"{name}_y.npy has {y.shape[1]} targets, and train_y.npy {spec.out_features}.")
        npy_files.check_finite(y, f"{name}_y.npy")
        return Split(split.x, y)


def _values(y: NDArray[Any], split: str) -> NDArray[Any]:
    """[N] or [N, T] as [N, T]."""
    if y.ndim > 2:
        raise ValueError(f"{split}_y.npy has the shape {y.shape}: values to predict must be [rows] or [rows, targets].")
    return y.reshape(len(y), -1)


def _flat(y: NDArray[Any], split: str) -> NDArray[Any]:
    """[N] or [N, 1] as [N]."""
    if y.shape not in ((len(y),), (len(y), 1)):
        raise ValueError(
            f"{split}_y.npy has the shape {y.shape}: classes are one number for each row, [rows]; "
            "if these are values, add data.task=regression."
        )
    return y.reshape(len(y))


def _numbers_of_classes(part: NDArray[Any]) -> NDArray[np.int64]:
    """Some targets [N] as whole numbers."""
    wrong = part[~((part >= 0) & (part < MOST) & (part % 1 == 0))]
    if len(wrong):
        raise ValueError(
            f"The targets hold {wrong[0]}, and classes are whole numbers from 0 to {MOST - 1} at most: "
            "number them so, or, if these are values, add data.task=regression."
        )
    return part.astype(np.int64)
