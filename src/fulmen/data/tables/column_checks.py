"""Checks for columns that should not be features; each error says what to do instead."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fulmen.data.new_rows import floats, refuse
from fulmen.data.tables.advice import leave_out, typed, word
from fulmen.data.tables.columns import kind, texts
from fulmen.data.tables.numbers import Number

if TYPE_CHECKING:
    import pandas as pd

MOST = 50
"""Maximum number of different texts in a column, each of which becomes a feature."""
FEW_ROWS = 20
"""Number of rows up to which repeated texts prove nothing."""


def check_kind(column: "pd.Series[Any]") -> None:
    """Raises ValueError for dates, and for what is neither number nor yes or no nor text."""
    match kind(column):
        case "date":
            raise ValueError(
                f"Column {_name(column)} holds dates, such as {_first(column)!r}: {leave_out(str(column.name))}, "
                f"to divide the rows by time add {word('data.time', str(column.name))}, or make numbers of them in the "
                "file."
            )
        case "other":
            raise ValueError(
                f"Column {_name(column)} holds values of the type {type(_first(column, as_text=False)).__name__}, "
                f"such as {_first(column)!r}: {leave_out(str(column.name))}, or make numbers or texts of them in the "
                "file."
            )


def check_finite(table: "pd.DataFrame") -> None:
    """Raises ValueError for a number that is infinite."""
    for name in table:
        if kind(table[name]) == "number":
            refuse(table[name], np.isinf(floats(table[name])))


def check_texts(column: "pd.Series[Any]") -> None:
    """Raises ValueError where there are too many different texts to be a feature each."""
    known = texts(column).dropna()
    count = known.nunique()
    if count > MOST or (len(column) > FEW_ROWS and count > len(column) / 2):
        numbers = [number for number in map(Number.of, known.unique()) if number]
        way_out = f"if they are numbers, add {typed(str(column.name), 'number')}; " if len(numbers) > count / 2 else ""
        raise ValueError(
            f"Column {_name(column)} holds {count} different texts in {len(column)} training rows, such as "
            f"{_first(column)!r}: {way_out}if they only tell rows apart, {leave_out(str(column.name))}; else make them "
            "fewer."
        )


def check_numbers(column: "pd.Series[Any]", missing: Sequence[str] | None, way_out: str) -> None:
    """Raises ValueError where texts are numbers but for a few, or numbers that a Parquet file holds as texts.

    Args:
        column: texts.
        missing: the words that the user says are missing values.
        way_out: what else can be done.
    """
    known = texts(column).dropna().drop_duplicates()
    numbers = [Number.of(text) for text in known]
    count = sum(number is not None and not number.unit for number in numbers)
    if sum(number is not None and "," in number.marks for number in numbers) > len(known) / 2:
        name = str(column.name)
        raise ValueError(
            f"Column {name!r} holds numbers written as texts, such as {_first(column)!r}: read them as numbers with "
            f"{typed(name, 'number')}, or keep them as texts with {typed(name, 'text')}."
        )
    if len(known) / 2 < count < len(known) and count > FEW_ROWS:
        wrong = next(place for place, number in enumerate(numbers) if number is None or number.unit)
        text, row = known.iloc[wrong], int(known.index[wrong]) + 1
        raise ValueError(
            f"Column {_name(column)} holds numbers, but {text!r} in row {row}: if it stands for a missing value, add "
            f"{word('data.missing', [*(missing or ()), text])}; {way_out}."
        )


def _name(column: "pd.Series[Any]") -> str:
    return repr(str(column.name))


def _first(column: "pd.Series[Any]", *, as_text: bool = True) -> Any:
    """Returns the first value that is not missing."""
    value = column.dropna().iloc[0]
    return str(value) if as_text else value
