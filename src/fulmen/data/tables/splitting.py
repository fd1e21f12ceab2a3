"""The split of a table into train, val and test: at random with equal shares of each class, by time, or by group.

Shapes: N rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fulmen.data.new_rows import floats
from fulmen.data.tables.columns import kind
from fulmen.rules import number, whole

if TYPE_CHECKING:
    import pandas as pd


def moments(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """Converts a column of numbers, dates, or texts such as 2024-01-31 to numbers [N] that order the rows.

    Raises:
        ValueError: a value is missing or none of these.
    """
    import pandas as pd

    if kind(column) not in ("date", "text"):
        values = floats(column)
    else:
        dates = pd.to_datetime(column, format="ISO8601", errors="coerce", utc=True)
        values = np.where(dates.isna(), np.nan, dates.astype("int64"))
    wrong = np.flatnonzero(np.isnan(values))
    if len(wrong):
        found = column.iloc[wrong[0]]
        said = "is empty" if pd.isna(found) else f"holds {str(found)!r}"
        raise ValueError(
            f"data.time {str(column.name)!r} {said} in row {column.index[wrong[0]] + 1}: "
            "every row needs a number there, or a date written as 2024-01-31 or 2024-01-31 13:45."
        )
    return values


def groups(column: "pd.Series[Any]") -> NDArray[np.int64]:
    """Returns the index of each row's group, [N].

    Raises:
        ValueError: a value is missing.
    """
    import pandas as pd

    numbers, _ = pd.factorize(column)
    if (numbers == -1).any():
        row = column.index[(numbers == -1).argmax()] + 1
        raise ValueError(f"data.group {str(column.name)!r} is empty in row {row}.")
    return numbers.astype(np.int64)


RowIndices = NDArray[np.int64]
Choose = Callable[[RowIndices, int], tuple[RowIndices, RowIndices]]
"""A function that divides rows into those that stay and a part of a given size."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of val and test: a fraction below 1, or a number of rows; 0: no such split."""

    val: float
    test: float
    seed: int

    def mixed(self, count: int) -> dict[str, RowIndices]:
        """Splits N rows at random."""
        from sklearn.model_selection import train_test_split

        def choose(rows: RowIndices, size: int) -> tuple[RowIndices, RowIndices]:
            stays, part = train_test_split(rows, test_size=size, random_state=self.seed)
            return stays, part

        return self._divide(np.arange(count), choose, count, "rows")

    def balanced(self, y: NDArray[np.int64], names: Sequence[str], way_out: str = "") -> dict[str, RowIndices]:
        """Splits rows with classes `y` [N], with the same share of each class in every split.

        `way_out` begins the advice if there are too few rows for that.

        Raises:
            ValueError: a class has too few rows, or a split too few for all classes.
        """
        from sklearn.model_selection import train_test_split

        def choose(rows: RowIndices, size: int) -> tuple[RowIndices, RowIndices]:
            if min(size, len(rows) - size) < len(names):
                raise ValueError(
                    f"A split has {min(size, len(rows) - size)} rows, too few for {len(names)} classes: {way_out}"
                    "change data.val_size and data.test_size."
                )
            _check_rarest(y[rows], names, 2, way_out)
            stays, part = train_test_split(rows, test_size=size, stratify=y[rows], random_state=self.seed)
            return stays, part

        if self.val or self.test:
            _check_rarest(y, names, 1 + (self.val > 0) + (self.test > 0), way_out)
        return self._divide(np.arange(len(y)), choose, len(y), "rows")

    def in_time(self, moments: NDArray[Any]) -> dict[str, RowIndices]:
        """Splits rows at `moments` [N]: the earliest are train, the latest test."""
        order = np.argsort(moments, kind="stable")
        return self._divide(order, lambda rows, size: (rows[:-size], rows[-size:]), len(order), "rows")

    def in_groups(self, groups: NDArray[np.int64]) -> dict[str, RowIndices]:
        """Splits rows of `groups` [N], which stay together; fractions and numbers count groups.

        Raises:
            ValueError: there are fewer groups than splits.
        """
        from sklearn.model_selection import GroupShuffleSplit

        def choose(rows: RowIndices, size: int) -> tuple[RowIndices, RowIndices]:
            splitter = GroupShuffleSplit(1, test_size=size, random_state=self.seed)
            stays, part = next(splitter.split(rows, groups=groups[rows]))
            return rows[stays], rows[part]

        return self._divide(np.arange(len(groups)), choose, len(np.unique(groups)), "groups")

    def _divide(self, rows: RowIndices, choose: Choose, count: int, what: str) -> dict[str, RowIndices]:
        """Takes test from all rows, then validation from the rest."""
        test, val = (max(1, round(size * count)) if 0 < size < 1 else int(size) for size in (self.test, self.val))
        if test + val >= count:
            raise ValueError(
                f"There are {count} {what}, of which data.val_size={self.val} takes {val} and "
                f"data.test_size={self.test} takes {test}: none is left for training; take smaller sizes."
            )
        found = {}
        for name, size in (("test", test), ("val", val)):
            if size:
                rows, found[name] = choose(rows, size)
        return {"train": rows} | {name: found[name] for name in ("val", "test") if name in found}


def share_or_count(value: Any) -> str | None:
    """Applies the rule of a split's size."""
    fits = number("[0, 1)")(value) is None or whole(1)(value) is None
    return None if fits else "a share below 1, or a whole number of rows"


def _check_rarest(y: NDArray[np.int64], names: Sequence[str], least: int, way_out: str) -> None:
    counts = np.bincount(y, minlength=len(names))
    if counts.min() < least:
        rarest = names[int(counts.argmin())]
        raise ValueError(
            f"Class {rarest!r} has {counts.min()} rows to divide, and each split needs some of every class: "
            f"{way_out}leave these rows out of the file, put classes together, or take smaller data.val_size and "
            "data.test_size."
        )
