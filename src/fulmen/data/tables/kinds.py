"""What a column of a table holds, which decides how a network gets to see it."""

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import pandas as pd

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

DATE = (
    r"(?i)\s*(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})"
    r"|\d{1,2}[- ](?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[-, ]+\d{2,4})(?:[T ]+\d.*)?\s*"
)
"""Texts that are dates, with or without a time: 2024-01-31, 31.1.2024, 1/31/24, 31 Jan 2024."""
EXACT = 2.0**53
"""From here on floating numbers are whole whatever was meant."""


def kind(column: "pd.Series[Any]") -> Kind:
    """What a column holds: numbers, yes or no, one of some texts, moments, or something else."""
    import pandas as pd

    dtype, types = column.dtype, pd.api.types
    if isinstance(dtype, pd.CategoricalDtype):
        return "text"
    if types.is_bool_dtype(dtype):
        return "yes_no"
    if types.is_numeric_dtype(dtype):
        return "other" if types.is_complex_dtype(dtype) else "number"
    found = INFERRED.get(types.infer_dtype(column, skipna=True), "other")
    return "date" if found == "text" and _dates(column) else found


def _dates(column: "pd.Series[Any]") -> bool:
    """Whether all texts of a column are dates."""
    known = column.dropna()
    first = known.iloc[:1].astype(str)  # of most columns the first one says that it is no date
    return bool(len(known) and first.str.fullmatch(DATE).all() and known.astype(str).str.fullmatch(DATE).all())


def texts(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column's values as texts, [N]: whole numbers without a point; what is missing stays so.

    A column of whole numbers with one missing is one of floating numbers to pandas.
    """
    known = column.dropna()
    if kind(column) == "number" and whole(known) and known.dtype.kind == "f":
        known = known.astype("int64")
    return known.astype(str).astype(object).reindex(column.index)


def whole(known: "pd.Series[Any]") -> bool:
    """Whether numbers, none of them missing, are all whole, and not too large for that to be known."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(known.dtype):
        return True
    values = known.to_numpy(dtype=float)
    return bool(((values % 1 == 0) & (abs(values) < EXACT)).all())
