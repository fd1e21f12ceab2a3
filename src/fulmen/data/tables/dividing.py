"""Columns that divide the rows of a table: moments, by which they are put in order, and groups.

The index of a column is the number of each row in the file, from 0.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fulmen.data.rows import floats
from fulmen.data.tables.kinds import kind

if TYPE_CHECKING:
    import pandas as pd


def moments(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """A column of numbers, dates, or texts that are dates as 2024-01-31, as numbers [N] that order the rows.

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
    """A number for the group of each row, [N].

    Raises:
        ValueError: a value is missing.
    """
    import pandas as pd

    numbers, _ = pd.factorize(column)
    if (numbers == -1).any():
        row = column.index[(numbers == -1).argmax()] + 1
        raise ValueError(f"data.group {str(column.name)!r} is empty in row {row}.")
    return numbers.astype(np.int64)
