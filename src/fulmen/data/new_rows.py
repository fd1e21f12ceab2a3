"""New rows for a trained model, converted to the shape and column order of the training data.

Shapes: N rows.
"""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fulmen.data.tables.columns import clean, kind
from fulmen.rules import alternatives

if TYPE_CHECKING:
    import pandas as pd


def named(table: "pd.DataFrame", names: Sequence[str]) -> "pd.DataFrame":
    """Selects the columns `names`, in this order; those of the table are read as a file's are, without blanks around.

    Raises:
        ValueError: a column is missing, or two have its name.
    """
    table = table.set_axis([clean(str(name)) for name in table.columns], axis=1)
    if missing := [name for name in names if name not in table.columns]:
        near = alternatives(missing[0], table.columns, "the columns are")
        raise ValueError(f"The rows have no column {missing[0]!r}{near}.")
    if table[list(names)].shape[1] > len(names):
        twice = next(name for name in names if table[name].ndim > 1)
        raise ValueError(f"The rows have two columns with the name {twice!r}: rename or drop one of them.")
    return table[list(names)]


def array(rows: "pd.DataFrame | NDArray[Any]") -> NDArray[Any]:
    """Returns the rows as finite numbers, [N, ...].

    Raises:
        ValueError: a value is not a finite number; for a table the message names its column and row.
    """
    if not isinstance(rows, np.ndarray):
        return np.stack([_numbers(rows[name]) for name in rows], axis=1) if rows.shape[1] else np.empty(rows.shape)
    if not (np.issubdtype(rows.dtype, np.number) or rows.dtype == bool) or np.iscomplexobj(rows):
        raise ValueError(f"The array holds values of type {rows.dtype}: give an array of real numbers.")
    wrong = np.argwhere(~np.isfinite(rows))
    if len(wrong):
        index, value = wrong[0].tolist(), rows[tuple(wrong[0])]
        raise ValueError(f"The array has {value} at index {index}: every value must be a finite number.")
    return rows


def _numbers(column: "pd.Series[Any]") -> NDArray[Any]:
    """Returns a column as finite numbers [N]; integers stay integers."""
    import pandas as pd

    if pd.api.types.is_integer_dtype(column.dtype) and column.notna().all():
        return column.to_numpy(dtype=np.int64)
    values = floats(column)
    refuse(column, ~np.isfinite(values))
    return values


def floats(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """Returns a column as floats [N], parsing numeric strings; NaN where a value is missing or not a number."""
    import pandas as pd

    if kind(column) in ("date", "other"):
        return np.full(len(column), np.nan)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def refuse(column: "pd.Series[Any]", wrong: NDArray[np.bool_]) -> None:
    """Raises ValueError for the first row marked in `wrong`, [N], if any."""
    import pandas as pd

    if wrong.any():
        row = int(wrong.argmax())
        found = column.iloc[row]
        said = f"holds {str(found)!r}" if isinstance(found, list | np.ndarray) or not pd.isna(found) else "is empty"
        raise ValueError(f"Column {str(column.name)!r} {said} in row {row + 1}: it must hold finite numbers.")


def by_position(values: NDArray[Any], in_shape: tuple[int, ...]) -> NDArray[np.floating]:
    """Reshapes values to [N, *in_shape] from that shape, from flat rows, or from rows without dimensions of size 1.

    Raises:
        ValueError: the shape fits none of these.
    """
    given = values.shape[1:]
    long, wanted = ([side for side in shape if side > 1] for shape in (given, in_shape))
    if values.ndim == 0 or (given != (prod(in_shape),) and long != wanted):
        flattened = "" if len(in_shape) == 1 else f", or {prod(in_shape)} numbers"
        raise ValueError(f"The rows have the shape {given}, and must have {in_shape}{flattened}.")
    return values.reshape(len(values), *in_shape).astype(values.dtype if values.dtype == np.float32 else np.float64)


def pixels(rows: "pd.DataFrame | NDArray[Any]", in_shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Returns images as values from 0 to 1, [N, *in_shape]; integers are grey values from 0 to 255.

    Raises:
        ValueError: the shape is wrong, or a value is out of range.
    """
    values = array(rows)
    whole = np.issubdtype(values.dtype, np.integer)
    images, most = by_position(values, in_shape), 255 if whole else 1
    if images.size and not 0 <= images.min() <= images.max() <= most:
        raise ValueError(
            f"The images have values from {images.min():g} to {images.max():g}: "
            "give grey values as integers from 0 to 255 or as floats from 0 to 1."
        )
    return images.astype(np.float32) / np.float32(most)
