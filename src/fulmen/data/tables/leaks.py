"""Columns that give the answer away, or only tell rows apart, as far as the table alone shows it.

Shapes: N rows.
"""

import re
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fulmen.data.new_rows import floats
from fulmen.data.tables.advice import leave_out
from fulmen.data.tables.column_checks import FEW_ROWS
from fulmen.data.tables.columns import kind, whole
from fulmen.data.tables.target import TargetSpec

if TYPE_CHECKING:
    import pandas as pd

IDENTIFIER = re.compile(r"(?i)(?:.*[\W_])?(?:id|uuid|key|nr|no|num|number|index|idx|row)|.*[a-z]I[Dd]")
"""Names of columns that tell rows apart, if no two rows have the same number there."""
EXACT = 1 - 1e-6
"""The correlation from which on a column is the target on another scale, rounded as files often are."""


def find_leaks(features: "pd.DataFrame", target: TargetSpec) -> dict[str, str]:
    """Finds what is suspicious about columns.

    Args:
        features: the rows that have a target, in the order of the file.
        target: their targets, [N, ...].

    Returns:
        A remark on each such column.
    """
    if len(features) <= FEW_ROWS:
        return {}
    found = {}
    for name in map(str, features):
        if _is_target(features[name], target):
            found[name] = f"gives the target away, row by row: if it is not known beforehand, {leave_out(name)}"
        elif counts_rows(features[name]):
            found[name] = f"only counts the rows: {leave_out(name)}"
        elif IDENTIFIER.fullmatch(name) and features[name].is_unique and _are_whole(features[name]):
            found[name] = f"has another number in each row: if it only tells them apart, {leave_out(name)}"
    return found


def counts_rows(column: "pd.Series[Any]") -> bool:
    """Returns whether a column holds consecutive whole numbers, each once; their order may be another."""
    if not _are_whole(column):
        return False
    values = column.to_numpy(dtype=float)
    return bool(values.max() - values.min() == len(values) - 1 and column.is_unique)


def is_sorted(y: NDArray[Any]) -> bool:
    """Returns whether the rows of each class, [N], stand together."""
    return bool((np.diff(y) != 0).sum() == len(np.unique(y)) - 1)


def _are_whole(column: "pd.Series[Any]") -> bool:
    return kind(column) == "number" and not column.isna().any() and whole(column)


def _is_target(column: "pd.Series[Any]", target: TargetSpec) -> bool:
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
    return spread > 0 and abs(float(x @ y)) >= EXACT * spread
