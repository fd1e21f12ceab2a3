"""The columns of a table: which are features, and what type of values each holds, which decides its encoding."""

import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from fulmen.rules import alternatives, listed

if TYPE_CHECKING:
    import pandas as pd


def roles(
    there: Sequence[str],
    path: str,
    *,
    target: Sequence[str],
    features: Sequence[str] | None,
    leave_out: Sequence[str],
    others: Mapping[str, str],
    types: Iterable[str],
) -> tuple[list[str], list[str]]:
    """Returns the names of the targets and of the features among the columns `there` of the file `path`.

    The other arguments are what the keys of `data=table` name, each of which must be there; `others` has the columns
    that divide the rows, by their keys. Without `features`, they are all columns that are nothing else.

    Raises:
        ValueError: a column is not there or is to be two things, or nothing is left to be a target or a feature.
    """
    if not target:
        raise ValueError(f"data.target is not given: say which column to predict, of {listed(there)}.")
    targets = list(dict.fromkeys(target))
    taken = dict.fromkeys(targets, "target")
    named = {"target": targets, **{key: [name] for key, name in others.items()}}
    for key, names in {**named, "features": features or (), "leave_out": leave_out, "types": types}.items():
        for name in names:
            if name not in there:
                near = alternatives(name, there, "the columns are")
                raise ValueError(f"data.{key} is {name!r}, but {path} has no such column{near}.")
            if key != "types" and taken.get(name, key) != key:
                raise ValueError(f"data.{key} names {name!r}, which is data.{taken[name]} already.")
        if key in named:
            taken |= dict.fromkeys(names, key)
    chosen = [name for name in dict.fromkeys(features or there) if name not in taken and name not in leave_out]
    if not chosen:
        way_out = f"leave out fewer of {listed(there)}" if leave_out else "it needs one with a name beside data.target"
        raise ValueError(f"No column of {path} is left to be a feature: {way_out}.")
    return targets, chosen


def clean(text: str) -> str:
    """Returns a text with single blanks inside, none at its ends, and composed letters (ö is one, no o with dots)."""
    return " ".join(unicodedata.normalize("NFC", text).split()).strip("\ufeff\u200b ")


Kind = Literal["number", "yes_no", "text", "date", "other"]

INFERRED: dict[str, Kind] = {
    "string": "text",
    "empty": "text",
    "boolean": "yes_no",
    "decimal": "number",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    **dict.fromkeys(("date", "datetime", "datetime64", "time", "timedelta", "timedelta64", "period"), "date"),
}
"""Kinds, by pandas' words for what it finds in a column of objects."""

MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
DATE = (
    r"(?i)\s*(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})"
    rf"|\d{{1,2}}[- ]{MONTH}[-, ]+\d{{2,4}}|{MONTH} \d{{1,2}},? \d{{4}})(?:[T ]+\d.*)?\s*"
)
"""Texts that are dates, with or without a time: 2024-01-31, 31.1.2024, 1/31/24, 31 Jan 2024, Jan 31, 2024."""
EXACT = 2.0**53
"""From here on floating numbers are whole whatever was meant."""


def kind(column: "pd.Series[Any]") -> Kind:
    """Returns what a column holds: numbers, yes or no, one of some texts, dates, or something else."""
    import pandas as pd

    dtype, types = column.dtype, pd.api.types
    if isinstance(dtype, pd.CategoricalDtype):
        return "text"
    if types.is_bool_dtype(dtype):
        return "yes_no"
    if types.is_numeric_dtype(dtype):
        return "other" if types.is_complex_dtype(dtype) else "number"
    found = INFERRED.get(types.infer_dtype(column, skipna=True), "other")
    if found == "text" and len(known := column.dropna()):
        first = known.iloc[:1]  # of most columns the first one says that it is no date
        if all(some.astype(str).str.fullmatch(DATE).all() for some in (first, known)):
            return "date"
    return found


def texts(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Returns a column's values as texts, [N]: whole numbers without a point; missing values stay missing.

    A column of whole numbers with one missing is one of floating numbers to pandas.

    Raises:
        ValueError: a value is a list, or the like.
    """
    known = column.dropna()
    if kind(column) == "number" and whole(known) and known.dtype.kind == "f":
        known = known.astype("int64")
    strange = [value for value in known if not isinstance(value, Hashable)] if known.dtype == object else []
    if strange:
        raise ValueError(f"Column {str(column.name)!r} holds {str(strange[0])!r:.60}: it must hold texts.")
    if known.dtype.kind not in "iuf":
        known = known.map({value: clean(str(value)) for value in known.unique()})
    return known.astype(str).astype(object).reindex(column.index)


def whole(known: "pd.Series[Any]") -> bool:
    """Returns whether numbers, none of them missing, are all whole, and small enough to tell."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(known.dtype):
        return True
    values = known.to_numpy(dtype=float)
    return bool(((values % 1 == 0) & (abs(values) < EXACT)).all())
