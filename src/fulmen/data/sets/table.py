"""A table of the user's own: a CSV or Parquet file with a header, one row an example.

The file is read when the sizes are asked for, because they are in it. Which rows train is decided first, and what
must be learned to make numbers of the columns (`encoding.py`) is learned from those alone.

Shapes: N rows, F features, T targets.
"""

import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fulmen.data.source import DataSpec, Source, Split
from fulmen.data.tables.column_checks import check_finite
from fulmen.data.tables.columns import roles
from fulmen.data.tables.encoding import Column, FittedSchema, encode, feature_names, fit
from fulmen.data.tables.reader import check_form, read
from fulmen.data.tables.splitting import RowIndices, Sizes, check_sizes, groups, moments
from fulmen.data.tables.target import TargetOptions, TargetSpec, known_target_spec, target_spec
from fulmen.rules import listed

if TYPE_CHECKING:
    import pandas as pd

NAMELESS = "Unnamed: "
"""How pandas calls columns without a name in the header; most often they hold row numbers that it wrote itself."""


class Contents(NamedTuple):
    """What a table's file gave."""

    splits: dict[str, Split]
    known: FittedSchema
    notes: list[str]
    """Sentences for the user about what was done with it."""


@dataclass(kw_only=True)
class Table(Source):
    """Rows of a file."""

    path: str | None
    """Of a CSV or Parquet file."""
    target: str | Sequence[str] | None
    """The column to predict, or several of values."""
    task: TargetOptions
    """What to predict; `auto`: as the target's values say."""
    features: Sequence[str] | None
    """Those that are features; none: all that are nothing else."""
    leave_out: Sequence[str]
    """Columns that are no features."""
    time: str | None
    """A column that orders the rows: the earliest train, the latest test."""
    group: str | None
    """A column whose equal values keep rows together in one split."""
    separator: str | None
    """Between the columns of a CSV file, or `tab`; none: a tab in .tsv, else a comma."""
    decimal: str
    """The decimal point of a CSV file."""
    val_size: float
    """A share below 1, or a number of rows (with `group`, of groups); 0: none."""
    test_size: float
    """Likewise."""

    def __post_init__(self) -> None:
        check_sizes(val_size=self.val_size, test_size=self.test_size)
        check_form(self.separator, self.decimal)
        if self.time is not None and self.group is not None:
            raise ValueError(f"data.time={self.time} and data.group={self.group} are two ways to divide: give one.")

    @property
    def spec(self) -> DataSpec:
        return self._known.spec

    def load(self) -> dict[str, Split]:
        """The splits. What was done with the table is said, once, on stderr."""
        self._say(self._contents.notes)
        self._contents.notes.clear()
        return self._contents.splits

    def learned(self) -> dict[str, Any]:
        return self._known.plain()

    def recall(self, learned: Mapping[str, Any]) -> None:
        """Takes back what `learned` gave; new rows then need no file, and those of the file are read by it.

        Raises:
            ValueError: it is not of a table.
        """
        self._known = FittedSchema.read(learned)
        vars(self).pop("_contents", None)  # if the file was read before, it was read otherwise

    def encode(self, rows: "pd.DataFrame | NDArray[Any]") -> NDArray[np.floating]:
        """New rows of a table as features [N, F]; an array must hold features already."""
        if isinstance(rows, np.ndarray):
            return super().encode(rows)
        x, notes = encode(rows, self._known.columns)
        self._say(notes)
        return x

    @functools.cached_property
    def _known(self) -> FittedSchema:
        return self._contents.known

    @functools.cached_property
    def _contents(self) -> Contents:
        """Reads the file, divides its rows, and makes numbers of them as the training rows say."""
        table, notes = self._read()
        dividing = {"time": self.time, "group": self.group}
        targets, features = roles(
            list(table.columns),
            str(self.path),
            target=self.target,
            features=self.features,
            leave_out=self.leave_out,
            dividing=dividing,
        )
        check_finite(table[[*targets, *features]])
        there = self._with_targets(table[targets], notes)
        goal = self._aim(table[targets].iloc[there])
        splits = {name: there[part] for name, part in self._divide(table.iloc[there], goal).items()}
        columns = self._columns(table[features].iloc[splits["train"]], notes)
        x, unknown = encode(table, columns)
        y = np.zeros((len(table), *goal.y.shape[1:]), goal.y.dtype)  # of all rows, as x
        y[there] = goal.y
        return Contents(
            {name: Split(x[part], y[part]) for name, part in splits.items()},
            FittedSchema(self._spec(goal, columns), columns),
            [*notes, *goal.notes, *unknown, *self._unseen(goal, y[splits["train"]])],
        )

    def _read(self) -> tuple["pd.DataFrame", list[str]]:
        """The file's columns that have a name, and a sentence if there are others."""
        if self.path is None:
            raise ValueError("data=table needs a file: add data.path=<your CSV or Parquet file>.")
        table = read(self.path, separator=self.separator, decimal=self.decimal)
        nameless = [name for name in map(str, table) if name.startswith(NAMELESS)]
        notes = [f"left out, without a name in the header: {len(nameless)} of the columns"] if nameless else []
        return table.drop(columns=nameless), notes

    def _with_targets(self, targets: "pd.DataFrame", notes: list[str]) -> RowIndices:
        """The rows that have every target."""
        there = np.flatnonzero(targets.notna().all(axis=1))
        if not len(there):
            raise ValueError(f"No row of {self.path} has a value of data.target={listed(list(targets))}.")
        if len(there) < len(targets):
            notes.append(f"left out, {len(targets) - len(there)} rows without a value of {listed(list(targets))}")
        return there

    def _aim(self, targets: "pd.DataFrame") -> TargetSpec:
        """What is predicted: as was recalled, or as the targets say."""
        if self._is_recalled():
            return known_target_spec(targets, self._known.spec.task, self._known.spec.target_names)
        return target_spec(targets, self.task)

    def _columns(self, train: "pd.DataFrame", notes: list[str]) -> list[Column]:
        """How columns become features: as was recalled, or as the training rows say."""
        if self._is_recalled():
            return self._known.columns
        columns, said = fit(train)
        notes += said
        return columns

    def _divide(self, table: "pd.DataFrame", goal: TargetSpec) -> dict[str, RowIndices]:
        """Which rows are in each split."""
        sizes = Sizes(self.val_size, self.test_size, self.seed)
        if self.time is not None:
            return sizes.in_time(moments(table[self.time]))
        if self.group is not None:
            return sizes.in_groups(groups(table[self.group]))
        return sizes.mixed(len(table)) if goal.task == "regression" else sizes.balanced(goal.y, goal.names)

    def _spec(self, goal: TargetSpec, columns: list[Column]) -> DataSpec:
        """Raises ValueError where no feature is left."""
        names = feature_names(columns)
        if not names:
            raise ValueError(f"No column of {self.path} differs from row to row: there is nothing to learn from.")
        return DataSpec((len(names),), goal.out_features, goal.task, names, goal.names)

    def _is_recalled(self) -> bool:
        """Whether what is known came from a checkpoint, and not from the file."""
        return "_known" in vars(self)

    def _unseen(self, goal: TargetSpec, train: NDArray[Any]) -> list[str]:
        """Classes that no training row has, as may be when rows are divided by time or by groups."""
        if goal.task == "regression" or self._is_recalled():
            return []
        missing = [name for number, name in enumerate(goal.names) if number not in train]
        return [f"no training row has the class {listed(missing)}"] if missing else []

    @staticmethod
    def _say(notes: Sequence[str]) -> None:
        for note in notes:
            print(f"data=table: {note}", file=sys.stderr)
