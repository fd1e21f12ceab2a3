"""Checks for columns that should not be features; each error says what to do instead."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fulmen.data.new_rows import floats, refuse
from fulmen.data.tables.columns import kind, texts

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
                f"Column {_name(column)} holds dates, such as {_first(column)!r}: {leave_out(column)}, "
                f"to divide the rows by time add {word('time', str(column.name))}, or make numbers of them in the file."
            )
        case "other":
            raise ValueError(
                f"Column {_name(column)} holds values of the type {type(_first(column, as_text=False)).__name__}, "
                f"such as {_first(column)!r}: {leave_out(column)}, or make numbers or texts of them in the file."
            )


def check_finite(table: "pd.DataFrame") -> None:
    """Raises ValueError for a number that is infinite."""
    for name in table:
        if kind(table[name]) == "number":
            refuse(table[name], np.isinf(floats(table[name])))


def check_texts(column: "pd.Series[Any]") -> None:
    """Raises ValueError where texts are numbers written otherwise, or too many to be features each."""
    check_numbers(column)
    known = texts(column).dropna()
    count = known.nunique()
    if count > MOST or (len(column) > FEW_ROWS and count > len(column) / 2):
        raise ValueError(
            f"Column {_name(column)} holds {count} different texts in {len(column)} training rows, such as "
            f"{_first(column)!r}: if they only tell rows apart, {leave_out(column)}; else make them fewer."
        )


def check_numbers(column: "pd.Series[Any]") -> None:
    """Raises ValueError where texts are numbers with a decimal comma, or numbers but for a few."""
    known = texts(column).dropna().drop_duplicates()
    comma = known.str.fullmatch(r"\s*[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+\s*")
    if comma.mean() > 0.5:
        example = known[comma].iloc[0]
        raise ValueError(
            f"Column {_name(column)} holds numbers with a decimal comma, such as {example!r}: "
            f"add {word('decimal', ',')}, or write them with a point."
        )
    number = np.isfinite(floats(known))
    if 0.5 < number.mean() < 1 and number.sum() > FEW_ROWS:
        text, row = known[~number].iloc[0], int(known[~number].index[0]) + 1
        raise ValueError(
            f"Column {_name(column)} holds numbers, but {text!r} in row {row}: "
            f"leave such cells empty in the file, or {leave_out(column)}."
        )


def leave_out(column: "pd.Series[Any]") -> str:
    """Returns the advice to leave a column out."""
    return f"leave it out with {word('leave_out', str(column.name), many=True)}"


def word(key: str, value: str, *, many: bool = False) -> str:
    """Returns `key=value` of this data set as typed in a shell, in quotes where needed."""
    plain = value.replace("_", "").isalnum() and value.isascii()
    quoted = value if plain else "'" + value.replace("'", "\\'") + "'"
    whole = f"data.{key}=[{quoted}]" if many else f"data.{key}={quoted}"
    return whole if plain and not many else f'"{whole}"'


def _name(column: "pd.Series[Any]") -> str:
    return repr(str(column.name))


def _first(column: "pd.Series[Any]", *, as_text: bool = True) -> Any:
    """Returns the first value that is not missing."""
    value = column.dropna().iloc[0]
    return str(value) if as_text else value
