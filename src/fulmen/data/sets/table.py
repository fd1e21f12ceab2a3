"""Your own table: a CSV or Parquet file with a header and one example per row.

The file is read as soon as the sizes are needed. Rows are split first; the encoding of the columns (`encoding.py`) is
then fitted on the training rows only.

Shapes: N rows, F features, T targets.
"""

import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, get_args

import numpy as np
import yaml
from numpy.typing import NDArray

from fulmen.data.source import DataSpec, Source, Split
from fulmen.data.tables.advice import leave_out
from fulmen.data.tables.cells import OF_FEATURES, Cells, Form, Type
from fulmen.data.tables.column_checks import check_finite, check_numbers, find_leaks
from fulmen.data.tables.columns import clean, kind, roles
from fulmen.data.tables.encoding import Column, FittedSchema, encode, feature_names, fit, schema_form
from fulmen.data.tables.numbers import Number
from fulmen.data.tables.reader import check_form, frame, read, read_cells
from fulmen.data.tables.splitting import RowIndices, Sizes, groups, moments, share_or_count
from fulmen.data.tables.target import TargetOptions, TargetSpec, known_target_spec, target_spec
from fulmen.rules import Rule, check, listed, mapping, one_of

if TYPE_CHECKING:
    import pandas as pd

NAMELESS = "Unnamed: "
"""Prefix by which pandas names columns without a header; usually row numbers that pandas itself wrote."""


class Contents(NamedTuple):
    """The contents of a table: splits, fitted schema and notes."""

    splits: dict[str, Split]
    schema: FittedSchema
    indices: dict[str, RowIndices]
    """The rows of the file in each split."""
    notes: list[str]
    """Messages to the user about how the file was processed."""
    summary: list[tuple[str, ...]]


@dataclass(kw_only=True)
class Table(Source):
    """Rows of a CSV or Parquet file."""

    path: str | None
    """Path of the file."""
    target: str | int | float | Sequence[str | int | float] | None
    """The column to predict, or several for a regression."""
    task: TargetOptions
    """Task; `auto`: inferred from the values of the target."""
    features: Sequence[str | int | float] | None
    """Feature columns; None: all columns without another role."""
    leave_out: Sequence[str | int | float]
    """Columns excluded from the features."""
    time: str | int | float | None
    """Column to split by time: the earliest rows are train, the latest test."""
    group: str | int | float | None
    """Column to split by group: rows with equal values stay in the same split."""
    separator: str | None
    """Separator of a CSV file, or `tab`; None: as a first line such as `sep=;` says, tab for .tsv, else comma."""
    decimal: str | None
    """The decimal point of a CSV file; None: as the numbers of each column show."""
    missing: Sequence[str | int | float] | None = None
    """Words for a missing value in a CSV file, beside the usual ones where other cells are no texts; empty: none."""
    types: Mapping[str, str] | str | None = None
    """Columns that are a `number`, `text` (a category) or `yes_no` whatever their cells look like; or whose `words` or
    `characters` are counted; or that become features of a `date`. A text is read as YAML."""
    val_size: float
    """A fraction below 1, or a number of rows (with `group`: of groups); 0: no such split."""
    test_size: float
    """The same for the test split."""

    rules: ClassVar[Mapping[str, Rule]] = {"val_size": share_or_count, "test_size": share_or_count}

    def __post_init__(self) -> None:
        super().__post_init__()
        check_form(self.separator, self.decimal)
        if self.time is not None and self.group is not None:
            raise ValueError(f"data.time={self.time} and data.group={self.group} cannot be combined: set only one.")
        types: Any = self.types or {}
        with suppress(yaml.YAMLError):  # then it stays a text, which is refused
            types = yaml.safe_load(types) if isinstance(types, str) else types
        check("data.types", types, mapping)
        for name, value in types.items():
            check(f"data.types of {name}", value, one_of(*get_args(Type)))
        missing = None if self.missing is None else [clean(str(word)) for word in self.missing]
        self._form = Form(self.decimal, missing, {clean(str(name)): value for name, value in types.items()})

    @property
    def spec(self) -> DataSpec:
        return self._schema.spec

    def load(self) -> dict[str, Split]:
        """Returns the splits. Notes about the processing are printed once, to stderr."""
        self._say(self._contents.notes)
        self._contents.notes.clear()
        return self._contents.splits

    def row_name(self, split: str, row: int) -> str:
        """Returns the row's number in the file, as other messages count them; of `all`, splits follow each other."""
        indices = self._contents.indices
        if split not in indices:
            return f"row {np.concatenate(list(indices.values()))[row] + 1} of {self.path}"
        return f"row {indices[split][row] + 1} of {self.path}, which is in the {split} split"

    @property
    def summary(self) -> list[tuple[str, ...]]:
        return self._contents.summary

    @property
    def feature_groups(self) -> dict[str, list[int]]:
        found, start = dict[str, list[int]](), 0
        for column in self._schema.columns:
            end = start + (len(column["values"]) or 1)
            found[column["name"]] = list(range(start, end))
            start = end
        return found

    def state_dict(self) -> dict[str, Any]:
        return self._schema.plain()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the output of `state_dict`; new rows then need no file, and the file is encoded by this schema.

        Raises:
            ValueError: the state is not that of a table.
        """
        self._schema = FittedSchema.of(state)
        vars(self).pop("_contents", None)  # read with another schema

    def encode(self, rows: "pd.DataFrame | NDArray[Any]") -> NDArray[np.floating]:
        """Encodes new rows as features [N, F]; an array must already contain features."""
        if isinstance(rows, np.ndarray):
            if rows.dtype.kind not in "biuf":
                names = listed([column["name"] for column in self._schema.columns])
                raise ValueError(f"The rows are an array of {rows.dtype}, not numbers: give a DataFrame with {names}.")
            return super().encode(rows)
        x, notes = encode(rows, self._schema.columns)
        self._say(notes)
        return x

    @functools.cached_property
    def _schema(self) -> FittedSchema:
        return self._contents.schema

    @functools.cached_property
    def _contents(self) -> Contents:
        """Reads the file, splits its rows, and encodes them as fitted on the training rows."""
        known: FittedSchema | None = vars(self).get("_schema")  # loaded from a checkpoint
        cells, notes = self._read(known)
        named = {"time": self.time, "group": self.group}
        dividing = {key: clean(str(name)) for key, name in named.items() if name is not None}
        targets, features = roles(
            list(cells),
            str(self.path),
            target=[] if self.target in (None, "") else _names(self.target),
            features=None if self.features is None else _names(self.features),
            leave_out=_names(self.leave_out),
            others=dividing,
            types=() if known else self._form.types,
        )
        if wrong := [name for name in targets if self._form.types.get(name) in OF_FEATURES]:
            what = self._form.types[wrong[0]]
            raise ValueError(f"data.types makes {what} of data.target {wrong[0]!r}: that is for features alone.")
        table = frame(cells, [*targets, *features, *dividing.values()])
        as_texts = [name for name in [*targets, *features] if self._form.types.get(name) == "text"]
        table[as_texts] = table[as_texts].astype("category")  # dates, too
        check_finite(table[[*targets, *features]])
        there = self._with_targets(cells, table[targets], notes)
        if known:
            target = known_target_spec(table[targets].iloc[there], known.spec.task, known.spec.target_names)
        else:
            target = target_spec(table[targets].iloc[there], self.task, self._form.types, self._form.missing)
        remarks = dict[str, str]()
        if not known and self.features is None:  # else the user has chosen them
            remarks = find_leaks(table[features].iloc[there], target, at_random=not dividing)
        splits = {name: there[part] for name, part in self._divide(table.iloc[there], target).items()}
        columns = known.columns if known else self._fit(table[features], splits["train"], cells, notes)
        names = feature_names(columns)
        if not names:
            raise ValueError(f"Every column of {self.path} is constant: there is nothing to learn from.")
        spec = DataSpec((len(names),), target.out_features, target.task, names, target.names, target.label_type)
        spec = known.spec if known else spec
        x, unknown = encode(table, columns)
        y = np.zeros((len(table), *target.y.shape[1:]), target.y.dtype)  # for all rows, like x
        y[there] = target.y
        notes += target.notes
        notes += [f"{name}: {cells[name].remark}" for name in targets if cells[name].remark]
        notes += [f"{name} {remark}" for name, remark in remarks.items()]
        notes += unknown
        if target.task != "regression" and not known:  # splits by time or group may lack a class
            unseen = [name for number, name in enumerate(target.names) if number not in y[splits["train"]]]
            notes += [f"no training row has class {listed(unseen)}"] if unseen else []
        return Contents(
            {name: Split(x[part], y[part]) for name, part in splits.items()},
            FittedSchema(spec, columns),
            splits,
            notes,
            _summary(cells, table, targets, target, features, columns, remarks),
        )

    def read(
        self,
        path: str,
        *,
        separator: str | None = None,
        decimal: str | None = None,
        missing: Sequence[str] | None = None,
    ) -> "pd.DataFrame":
        """Reads new rows from a file, by the types of the training rows and the points of their numbers.

        A separator, decimal point or words for a missing value replace those of the training rows.

        Raises:
            ValueError: they cannot be read so.
        """
        columns = self._schema.columns
        form = dataclasses.replace(schema_form(self._form, columns), prefix="")
        form = form if decimal is None else dataclasses.replace(form, decimal=decimal)
        form = form if missing is None else dataclasses.replace(form, missing=missing)
        return read(path, separator=separator or self.separator, form=form, used=[column["name"] for column in columns])

    def _read(self, known: FittedSchema | None) -> tuple[dict[str, Cells], list[str]]:
        """Reads the columns that have a name, and a note if others were dropped."""
        if self.path is None:
            raise ValueError("data=table needs a file: add data.path=<your CSV or Parquet file>.")
        form = self._form
        if known:
            form = schema_form(form, known.columns)
            if known.spec.task != "regression" and known.spec.label_type == "text":  # such as 007, NA
                texts: dict[str, Type] = dict.fromkeys(_names(self.target or ()), "text")
                form = dataclasses.replace(form, types={**texts, **form.types})
        cells = read_cells(self.path, separator=self.separator, form=form)
        nameless = [name for name in cells if name.startswith(NAMELESS)]
        columns = f"{len(nameless)} column{'s' * (len(nameless) > 1)}"
        notes = [f"dropped {columns} without a name in the header"] if nameless else []
        numbers = [name for name in cells if Number.of(name)]
        if len(numbers) > len(cells) / 2 and any("." in name for name in numbers):
            taken = f"the first line is taken for names, though it holds numbers, such as {numbers[0]}"
            notes.append(f"{taken}; if it is a row, put a line of names above it")
        return {name: column for name, column in cells.items() if name not in nameless}, notes

    def _with_targets(self, cells: Mapping[str, Cells], targets: "pd.DataFrame", notes: list[str]) -> RowIndices:
        """Returns the indices of the rows without a missing target."""
        words = {word: count for name in map(str, targets) for word, count in cells[name].missing.items() if word}
        there = np.flatnonzero(targets.notna().all(axis=1))
        if not len(there):
            raise ValueError(f"No row of {self.path} has a value of data.target={listed(list(targets))}.")
        if len(there) < len(targets):
            taken = f"; {listed([f'{word!r} ({count})' for word, count in words.items()])} taken for a missing value"
            rows = f"{len(targets) - len(there)} row{'s' * (len(targets) - len(there) > 1)}"
            dropped = f"dropped {rows} without a value of {listed(list(targets))}"
            notes.append(f"{dropped}{taken}, unless data.missing=[] is given" if words else dropped)
        return there

    def _fit(
        self, table: "pd.DataFrame", train: RowIndices, cells: Mapping[str, Cells], notes: list[str]
    ) -> list[Column]:
        """Returns the encoding of the columns, fitted on the training rows."""
        for name in map(str, table):
            if kind(table[name]) == "text" and name not in self._form.types:
                check_numbers(table[name], self._form.missing, f"else correct it, or {leave_out(name)}")
        columns, said = fit(
            table.iloc[train], {name: column.written for name, column in cells.items()}, self._form.types
        )
        notes += said
        return columns

    def _divide(self, table: "pd.DataFrame", target: TargetSpec) -> dict[str, RowIndices]:
        sizes = Sizes(self.val_size, self.test_size, self.seed)
        if self.time is not None:
            return sizes.in_time(moments(table[clean(str(self.time))]))
        if self.group is not None:
            return sizes.in_groups(groups(table[clean(str(self.group))]))
        if target.task == "regression":
            return sizes.mixed(len(table))
        guessed = self.task == "auto" and bool(target.notes)
        return sizes.balanced(target.y, target.names, "take them for values with data.task=regression, " * guessed)

    @staticmethod
    def _say(notes: Sequence[str]) -> None:
        for note in notes:
            print(f"data=table: {note}", file=sys.stderr)


def _names(given: str | int | float | Sequence[str | int | float]) -> list[str]:
    """Returns names of columns; YAML reads some as numbers."""
    several = [given] if isinstance(given, (str, int, float)) else given
    return [clean(str(name)) for name in several]


def _summary(
    cells: Mapping[str, Cells],
    table: "pd.DataFrame",
    targets: Sequence[str],
    target: TargetSpec,
    features: Sequence[str],
    columns: Sequence[Column],
    remarks: Mapping[str, str],
) -> list[tuple[str, ...]]:
    """Returns a header and a line for each column: what it was taken for, what is missing, remarks."""
    encoded = {column["name"]: column for column in columns}
    lines: list[tuple[str, ...]] = [("column", "taken for", "missing", "remark")]
    for name, column in cells.items():
        if name in targets:
            taken = "target" if target.task == "regression" else f"target, {len(target.names)} classes"
        elif name in encoded:
            values = len(encoded[name]["values"])
            counted = "features" if encoded[name]["kind"] in ("words", "characters", "date") else "values"
            taken = encoded[name]["kind"] + (f", {values} {counted}" if values else "")
        else:
            why = "empty" if table[name].isna().all() else "constant"
            taken = f"left out: {why}" if name in features else f"no feature, {kind(table[name])}"
        missing = ", ".join(f"{count} {word!r}" if word else f"{count} empty" for word, count in column.missing.items())
        remark = "; ".join(filter(None, (column.remark, remarks.get(name))))
        lines.append((name, taken.replace("yes_no", "yes or no"), missing, remark))
    return lines
