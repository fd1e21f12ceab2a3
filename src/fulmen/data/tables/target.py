"""The target of a table: values or classes, inferred from the target's column unless the user says.

Shapes: N rows, T targets.
"""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from fulmen.data.new_rows import floats
from fulmen.data.source import LabelType, TaskKind
from fulmen.data.tables.advice import typed
from fulmen.data.tables.column_checks import FEW_ROWS, check_numbers
from fulmen.data.tables.columns import kind, whole
from fulmen.rules import listed

if TYPE_CHECKING:
    import pandas as pd

CLASSES = 20
"""Different whole numbers up to which they are taken for classes."""

TargetOptions = Literal["auto", "regression", "binary", "multiclass"]


@dataclass(frozen=True)
class TargetSpec:
    """The targets of the rows that have them, and their task."""

    task: TaskKind
    y: NDArray[Any]
    """[N, T] floating for regression; [N] whole class numbers from 0 otherwise."""
    names: tuple[str, ...]
    """T names of values for regression; the names of the classes otherwise."""
    label_type: LabelType = "number"
    notes: tuple[str, ...] = ()

    @property
    def out_features(self) -> int:
        """Number of model outputs per row."""
        return 1 if self.task == "binary" else len(self.names)


def target_spec(
    targets: "pd.DataFrame", wanted: TargetOptions, types: Collection[str] = (), missing: Sequence[str] | None = None
) -> TargetSpec:
    """Returns the targets of a table to be learned, from its columns [N, T], with nothing missing or infinite.

    `types` are the columns whose types the user gives, `missing` the user's words for a missing value.

    Raises:
        ValueError: the values do not fit the task, or there is nothing to tell apart.
    """
    for name in targets:
        _check(targets[name], missing, is_typed=name in types)
    if targets.shape[1] > 1 or wanted == "regression":
        return _values(targets, wanted)
    return _one(targets.iloc[:, 0], wanted)


def known_target_spec(targets: "pd.DataFrame", task: TaskKind, names: tuple[str, ...]) -> TargetSpec:
    """Returns the targets [N, T] of a table for a task that was learned, and the names of its targets or classes.

    Nothing may be missing or infinite; new rows need not hold all of the classes.

    Raises:
        ValueError: a class was not learned, a value is no number, or there are more or fewer targets.
    """
    if task == "regression":
        if targets.shape[1] != len(names):
            raise ValueError(f"{len(names)} targets were learned ({listed(names)}), and {targets.shape[1]} are given.")
        return TargetSpec(task, _values(targets, "regression").y, names)
    found, y = _classes(targets.iloc[:, 0])
    for name in found:
        if name not in names:
            raise ValueError(f"The class {name!r} was not learned; those were {listed(names)}.")
    return TargetSpec(task, np.array([names.index(name) for name in found])[y], names)


def _check(column: "pd.Series[Any]", missing: Sequence[str] | None, *, is_typed: bool) -> None:
    import pandas as pd

    holds, name, first = kind(column), str(column.name), str(column.iloc[0])
    if holds in ("date", "other"):
        way_out = "make numbers or texts of them in the file"
        if pd.api.types.infer_dtype(column) == "string":
            way_out = f"make numbers of them in the file, or keep them as classes with {typed(name, 'text')}"
        raise ValueError(
            f"data.target {name!r} holds values such as {first!r}, which are neither numbers nor classes: {way_out}."
        )
    if holds == "text" and not is_typed:
        check_numbers(column, missing, f"else correct it, or keep all as classes with {typed(name, 'text')}")
    if column.nunique() == 1:
        raise ValueError(f"data.target {name!r} is {first!r} in every row: there is nothing to learn.")


def _values(targets: "pd.DataFrame", wanted: TargetOptions) -> TargetSpec:
    if wanted not in ("auto", "regression"):
        raise ValueError(f"data.task is {wanted}, which has one target, and data.target names {listed(list(targets))}.")
    for name in targets:
        if kind(targets[name]) == "text":
            way_out = "name one target" if targets.shape[1] > 1 else "take data.task=auto"
            raise ValueError(
                f"data.target {str(name)!r} holds texts, such as {str(targets[name].iloc[0])!r}, and the values of "
                f"{'several targets' if targets.shape[1] > 1 else 'data.task=regression'} must be numbers: {way_out}."
            )
    y = np.stack([floats(targets[name]) for name in targets], axis=1)  # [N, T]
    return TargetSpec("regression", y, tuple(map(str, targets)))


def _one(column: "pd.Series[Any]", wanted: TargetOptions) -> TargetSpec:
    """Returns the spec of a single target, which may be classes."""
    name, numbers, count = str(column.name), kind(column) == "number", column.nunique()
    if wanted == "auto" and numbers and (count > CLASSES or not whole(column)):
        spec = _values(column.to_frame(), wanted)
        taken = f"the {count} different whole numbers of {name} are taken for values"
        note = f"{taken}; for classes add data.task=multiclass"
        return dataclasses.replace(spec, notes=(note,)) if whole(column) else spec
    if wanted == "binary" and count != 2:
        raise ValueError(f"data.task is binary, and data.target {name!r} has {count} different values: it must have 2.")
    if len(column) > FEW_ROWS and count > len(column) / 2:
        way_out = "take data.task=regression" if numbers else "name another target"
        raise ValueError(
            f"data.target {name!r} has {count} different values in {len(column)} rows, too many for classes: {way_out}."
        )
    names, y = _classes(column)
    task: TaskKind = "multiclass" if count > 2 or wanted == "multiclass" else "binary"
    taken = f"the {count} whole numbers of {name} are taken for classes; for values add data.task=regression"
    holds = kind(column)
    label_type: LabelType = holds if holds in ("text", "yes_no") else "number"
    return TargetSpec(task, y, names, label_type, (taken,) if numbers and wanted == "auto" else ())


def _classes(column: "pd.Series[Any]") -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Returns the names of the classes in the order of their values, and each row's index [N] in that order."""
    if kind(column) != "number":
        values = column.to_numpy(dtype=object)
    elif column.dtype.kind in "iu":
        values = column.to_numpy()  # as they are: large ones would be rounded
    else:
        values = floats(column).astype(np.int64) if whole(column) else floats(column)
    labels, y = np.unique(values, return_inverse=True)
    return tuple(map(str, labels)), y.astype(np.int64)
