"""A line for each column of a table: what it was taken for, and what is missing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from fulmen.data.tables.cells import Cells
from fulmen.data.tables.columns import kind
from fulmen.data.tables.encoding import Column
from fulmen.data.tables.target import TargetSpec

if TYPE_CHECKING:
    import pandas as pd

HEADER = ("column", "taken for", "missing", "remark")
TYPES = {"number": "number", "yes_no": "yes or no", "text": "text", "date": "date", "other": "other"}


def summarize(
    cells: Mapping[str, Cells],
    table: "pd.DataFrame",
    targets: Sequence[str],
    target: TargetSpec,
    features: Sequence[str],
    columns: Sequence[Column],
    remarks: Mapping[str, str],
) -> list[tuple[str, ...]]:
    """Returns the lines under their header.

    Args:
        cells: the columns of the file.
        table: the same as a table.
        targets: names of the columns to predict.
        target: what they hold.
        features: names of the columns that were to be features.
        columns: the encoding of those that are.
        remarks: on columns, beside those on their cells.
    """
    encoded = {column["name"]: column for column in columns}
    lines: list[tuple[str, ...]] = [HEADER]
    for name, column in cells.items():
        if name in targets:
            taken = "target" if target.task == "regression" else f"target, {len(target.names)} classes"
        elif name in encoded:
            values = len(encoded[name]["values"])
            taken = TYPES[encoded[name]["kind"]] + (f", {values} values" if values else "")
        else:
            why = "empty" if table[name].isna().all() else "constant"
            taken = f"left out: {why}" if name in features else f"no feature, {TYPES[kind(table[name])]}"
        missing = ", ".join(f"{count} {word!r}" if word else f"{count} empty" for word, count in column.missing.items())
        remark = "; ".join(filter(None, (column.remark, remarks.get(name))))
        lines.append((name, taken, missing, remark))
    return lines
