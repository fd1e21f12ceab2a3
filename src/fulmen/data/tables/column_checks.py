"""Columns that should not be features, or give the target away; each error and remark says what to do instead.

Shapes: N rows.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fulmen.data.new_rows import floats, refuse
from fulmen.data.tables.advice import leave_out, typed, word
from fulmen.data.tables.columns import kind, texts, whole
from fulmen.data.tables.numbers import Number

if TYPE_CHECKING:
    import pandas as pd

    from fulmen.data.tables.target import TargetSpec

MOST = 50
"""Maximum number of different texts in a column, each of which becomes a feature."""
FEW_ROWS = 20
"""Number of rows up to which repeated texts prove nothing."""
IDENTIFIER = re.compile(r"(?i)(?:.*[\W_])?(?:id|uuid|key|nr|no|num|number|index|idx|row)|.*[a-z]I[Dd]")
"""Names of columns that tell rows apart, if no two rows have the same number there."""
SAME = 1 - 1e-6
"""The correlation from which on a column is the target on another scale, rounded as files often are."""


def check_kind(column: "pd.Series[Any]") -> None:
    """Raises ValueError for dates, and for what is neither number nor yes or no nor text."""
    holds, name = kind(column), str(column.name)
    if holds == "date":
        raise ValueError(
            f"Column {name!r} holds dates, such as {_first(column)!r}: {leave_out(name)}, to divide the rows by time "
            f"add {word('data.time', name)}, or make features of them with {typed(name, 'date')}."
        )
    if holds == "other":
        raise ValueError(
            f"Column {name!r} holds values of the type {type(column.dropna().iloc[0]).__name__}, such as "
            f"{_first(column)!r}: {leave_out(name)}, or make numbers or texts of them in the file."
        )


def check_finite(table: "pd.DataFrame") -> None:
    """Raises ValueError for a number that is infinite."""
    for name in table:
        if kind(table[name]) == "number":
            refuse(table[name], np.isinf(floats(table[name])))


def check_texts(column: "pd.Series[Any]") -> None:
    """Raises ValueError where there are too many different texts to be a feature each."""
    known, name = texts(column).dropna(), str(column.name)
    count = known.nunique()
    if count > MOST or (len(column) > FEW_ROWS and count > len(column) / 2):
        numbers = [number for number in map(Number.of, known.unique()) if number]
        way_out = f"if they are numbers, add {typed(name, 'number')}; " if len(numbers) > count / 2 else ""
        raise ValueError(
            f"Column {name!r} holds {count} different texts in {len(column)} training rows, such as "
            f"{_first(column)!r}: {way_out}if they only tell rows apart, {leave_out(name)}; if they are written "
            f"in words, add {typed(name, 'words')}; else make them fewer."
        )


def check_numbers(column: "pd.Series[Any]", missing: Sequence[str] | None, way_out: str) -> None:
    """Raises ValueError where texts are numbers but for a few, or numbers that a Parquet file holds as texts.

    `missing` are the user's words for a missing value; `way_out` ends the advice.
    """
    known, name = texts(column).dropna().drop_duplicates(), str(column.name)
    numbers = [Number.of(text) for text in known]
    count = sum(number is not None and not number.unit for number in numbers)
    if sum(number is not None and "," in number.marks for number in numbers) > len(known) / 2:
        raise ValueError(
            f"Column {name!r} holds numbers written as texts, such as {_first(column)!r}: read them as numbers with "
            f"{typed(name, 'number')}, or keep them as texts with {typed(name, 'text')}."
        )
    if len(known) / 2 < count < len(known) and count > FEW_ROWS:
        wrong = next(place for place, number in enumerate(numbers) if number is None or number.unit)
        text, row = known.iloc[wrong], int(known.index[wrong]) + 1
        raise ValueError(
            f"Column {name!r} holds numbers, but {text!r} in row {row}: if it stands for a missing value, add "
            f"{word('data.missing', [*(missing or ()), text])}; {way_out}."
        )


def _first(column: "pd.Series[Any]") -> str:
    """Returns the first value that is not missing, as text."""
    return str(column.dropna().iloc[0])


def find_leaks(features: "pd.DataFrame", target: "TargetSpec", *, at_random: bool) -> dict[str, str]:
    """Returns a remark on each suspicious column; `features` are the rows that have a target, in the file's order.

    Raises:
        ValueError: one counts the rows, these are sorted by class, and they are split at random.
    """
    if len(features) <= FEW_ROWS:
        return {}
    found = {}
    by_class = target.task != "regression" and (np.diff(target.y) != 0).sum() == len(np.unique(target.y)) - 1
    for name in map(str, features):
        if _is_target(features[name], target):
            found[name] = f"gives the target away, row by row: if it is not known beforehand, {leave_out(name)}"
        elif _counts_rows(features[name]):
            if by_class and at_random:
                raise ValueError(
                    f"Column {name!r} only counts the rows, and these are sorted by class, so that it gives the class "
                    f"away: {leave_out(name)}, or name all features in data.features."
                )
            found[name] = f"only counts the rows: {leave_out(name)}"
        elif IDENTIFIER.fullmatch(name) and features[name].is_unique and _are_whole(features[name]):
            found[name] = f"has another number in each row: if it only tells them apart, {leave_out(name)}"
    return found


def _counts_rows(column: "pd.Series[Any]") -> bool:
    """Returns whether a column holds consecutive whole numbers, each once; their order may be another."""
    if not _are_whole(column):
        return False
    values = column.to_numpy(dtype=float)
    return bool(values.max() - values.min() == len(values) - 1 and column.is_unique)


def _are_whole(column: "pd.Series[Any]") -> bool:
    return kind(column) == "number" and not column.isna().any() and whole(column)


def _is_target(column: "pd.Series[Any]", target: "TargetSpec") -> bool:
    """Returns whether a column has one value for each class, or is the values on another scale."""
    there = column.notna().to_numpy()
    column, target_y = column[there], target.y[there]
    if kind(column) == "other" or len(column) <= FEW_ROWS:
        return False
    if target.task != "regression":
        classes, first = np.unique(target_y, return_index=True)
        each = column.iloc[first]  # for each class the value of its first row
        places = np.searchsorted(classes, target_y)
        return bool(len(each) > 1 and each.is_unique and (column.to_numpy() == each.to_numpy()[places]).all())
    if kind(column) != "number" or target.y.shape[1] != 1:
        return False
    x, y = (values - values.mean() for values in (floats(column), target_y[:, 0]))
    spread = float(np.sqrt((x @ x) * (y @ y)))
    return spread > 0 and abs(float(x @ y)) >= SAME * spread
