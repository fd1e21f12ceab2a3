"""The encoding of a table's columns as numbers, fitted on the training rows alone.

Numbers stay as they are, yes and no become 1 and 0, and a text becomes a feature for each value that training rows
have: 1 where it is the row's, else 0. If the user says so, texts become counts of words or of groups of letters
(`grams.py`), and dates several numbers (`dates.py`). What is missing becomes the training rows' median, their most
frequent value, or no words.
What was learned is a list of plain dicts, so that a checkpoint can hold it and no code need be trusted to read it.

Shapes: N rows, F features.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from fulmen.data.new_rows import floats, named, refuse
from fulmen.data.source import DataSpec
from fulmen.data.tables import dates
from fulmen.data.tables.cells import OF_FEATURES, Form, Type
from fulmen.data.tables.column_checks import check_kind, check_texts
from fulmen.data.tables.columns import kind, texts
from fulmen.data.tables.grams import count, vocabulary
from fulmen.rules import listed

if TYPE_CHECKING:
    import pandas as pd


class Column(TypedDict):
    """The encoding of one column."""

    name: str
    kind: Type
    missing: float | str
    """The value that replaces a missing one."""
    values: list[str]
    """A feature each: the categories of a text column in the training rows, sorted; words or groups of letters; what is
    known of a date."""
    written: str
    """The points and signs of its numbers (`Cells.written`), or the order of day and month in its dates."""


def fit(train: "pd.DataFrame", written: Mapping[str, str], types: Mapping[str, Type]) -> tuple[list[Column], list[str]]:
    """Fits the encoding of each column to the training rows, and notes what was left out or filled.

    Args:
        train: the columns.
        written: the points and signs of columns of numbers, by name (`Cells.written`).
        types: of columns, as the user gives them.

    Raises:
        ValueError: a column cannot be a feature.
    """
    names = list(map(str, train))
    empty = [name for name in names if train[name].isna().all()]
    for name in names:
        if name not in empty and types.get(name) not in OF_FEATURES:
            check_kind(train[name])
    constant = [name for name in names if name not in empty and train[name].nunique() == 1]
    used = [name for name in names if name not in empty and name not in constant]
    columns = [_fit(train[name], written.get(name, ""), types.get(name)) for name in used]
    in_words = [column["name"] for column in columns if column["kind"] in ("words", "characters")]  # may be empty
    filled = [f"{name} ({count})" for name in used if name not in in_words and (count := train[name].isna().sum())]
    notes: dict[str, list[str]] = {
        "left out, for training rows have no value there": empty,
        "left out, for training rows have a single value there": constant,
        "training rows without a value get the median or the most frequent value": filled,
    }
    return columns, [f"{said}: {listed(names)}" for said, names in notes.items() if names]


def _fit(column: "pd.Series[Any]", written: str, wanted: Type | None) -> Column:
    """Fits the encoding of one column, which has at least two values."""
    name, holds = str(column.name), kind(column)
    if wanted == "words" or wanted == "characters":
        groups = vocabulary(texts(column).fillna(""), wanted)
        return Column(name=name, kind=wanted, missing="", values=groups, written="")
    if wanted == "date":
        moments = dates.days(column.dropna(), order := dates.order(column))
        return Column(
            name=name, kind="date", missing=float(np.median(moments)), values=dates.parts(moments), written=order
        )
    if holds == "text":
        check_texts(column)
        known = texts(column).dropna()
        values = sorted(map(str, known.unique()))
        return Column(name=name, kind="text", missing=str(known.mode().iloc[0]), values=values, written="")
    numbers = floats(column)
    numbers = numbers[~np.isnan(numbers)]
    if holds == "yes_no":
        return Column(name=name, kind="yes_no", missing=float(numbers.mean() > 0.5), values=[], written="")
    return Column(name=name, kind="number", missing=float(np.median(numbers)), values=[], written=written)


def feature_names(columns: list[Column]) -> tuple[str, ...]:
    """Returns F names; those of a text column are `column=value`."""
    names = ([f"{column['name']}={value}" for value in column["values"]] or [column["name"]] for column in columns)
    return tuple(name for some in names for name in some)


def encode(table: "pd.DataFrame", columns: list[Column]) -> tuple[NDArray[np.float64], list[str]]:
    """Encodes rows as features [N, F], and notes texts that no training row has, which are none of the values: all 0.

    Raises:
        ValueError: a column is missing, or a number is infinite or none.
    """
    import pandas as pd

    table = named(table, [column["name"] for column in columns]).reset_index(drop=True)
    blocks, notes = [np.empty((len(table), 0))], []
    for column in columns:
        cells = table[column["name"]]
        if column["kind"] == "date":
            moments = dates.days(cells, column["written"])
            blocks.append(dates.features(np.where(np.isnan(moments), column["missing"], moments), column["values"]))
            continue
        if column["kind"] == "words" or column["kind"] == "characters":
            counts = count(texts(cells).fillna(""), column["kind"], column["values"])
            blocks.append(counts)
            if nothing := int((~counts.any(axis=1)).sum()):
                said = f"{nothing} row{'s' * (nothing > 1)} with none of the {column['kind']} that training rows have"
                notes.append(f"column {column['name']!r} has {said}")
            continue
        if column["kind"] != "text":
            numbers, missing = floats(cells), cells.isna().to_numpy()
            refuse(cells, ~missing & ~np.isfinite(numbers))
            blocks.append(np.where(missing, column["missing"], numbers)[:, None].astype(np.float64))
            continue
        values = texts(cells).fillna(column["missing"])
        values = values.where(values.isin(column["values"]), values.str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True))
        codes = pd.Index(column["values"], dtype=object).get_indexer(pd.Index(values))  # [N], -1: none of them
        blocks.append((codes[:, None] == np.arange(len(column["values"]))).astype(np.float64))
        if unknown := Counter(values[codes == -1]):
            said = listed([f"{value!r} ({count})" for value, count in unknown.most_common()])
            notes.append(f"column {column['name']!r} has values that no training row has, read as none: {said}")
    return np.concatenate(blocks, axis=1), notes


def schema_form(form: Form, columns: Sequence[Column]) -> Form:
    """Returns how rows are read whose columns are known: as the training rows were."""
    types: dict[str, Type] = {column["name"]: column["kind"] for column in columns}
    written = {column["name"]: column["written"] for column in columns if column["kind"] == "number"}
    return dataclasses.replace(form, types={**form.types, **types}, written=written)


class FittedSchema(NamedTuple):
    """The spec of a table, and the encoding of its columns."""

    spec: DataSpec
    columns: list[Column]

    def plain(self) -> dict[str, Any]:
        """Returns plain values, for a checkpoint."""
        return {"spec": dataclasses.asdict(self.spec), "columns": [dict(column) for column in self.columns]}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> "FittedSchema":
        """Restores the output of `plain`.

        Raises:
            ValueError: it is no output of `plain`.
        """
        try:
            spec, columns = DataSpec.of(plain["spec"]), list[Column](plain["columns"])
            if not all(map(_is_column, columns)) or feature_names(columns) != spec.feature_names:
                raise ValueError("its columns are not those of its features")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"the schema of the table is damaged: {error}; train again") from error
        return cls(spec, columns)


def _is_column(column: Column) -> bool:
    values, missing = column["values"], column["missing"]
    if not (isinstance(column["name"], str) and isinstance(values, list) and isinstance(column["written"], str)):
        return False
    if column["kind"] == "date":
        known = set(dates.parts(np.array([0.5])))
        return (
            bool(values) and set(values) <= known and isinstance(missing, float) and column["written"] in dates.ORDERS
        )
    if column["kind"] in ("text", "words", "characters"):
        are_texts = all(isinstance(value, str) for value in [*values, missing])
        return are_texts and len(values) == len(set(values)) > 0
    return column["kind"] in ("number", "yes_no") and not values and isinstance(missing, float)
