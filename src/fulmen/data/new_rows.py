"""New rows for a model that is trained already: brought into the shape and order that it learned with.

A table with a header is matched by the names of its columns. Arrays, and the pixels of images, are taken by position.

Shapes: N rows, F features.
"""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fulmen.data.tables.columns import kind
from fulmen.rules import present

if TYPE_CHECKING:
    import pandas as pd


def features(
    rows: "pd.DataFrame | NDArray[Any]", in_shape: tuple[int, ...], names: Sequence[str]
) -> NDArray[np.floating]:
    """Rows as [N, *in_shape]: by name where there are names for the columns of a table, else by position.

    Raises:
        ValueError: a column is missing, the shape is another, or a value is no finite number.
    """
    if names and not isinstance(rows, np.ndarray):
        rows = named(rows, names)
    return by_position(array(rows), in_shape)


def named(table: "pd.DataFrame", names: Sequence[str]) -> "pd.DataFrame":
    """The columns `names`, in this order; others are left out.

    Raises:
        ValueError: one of them is not there.
    """
    missing = set(names).difference(table.columns)
    for name in (name for name in names if name in missing):
        present(name, list(table.columns), f"The rows have no column {name!r}")
    return table[list(names)]


def array(rows: "pd.DataFrame | NDArray[Any]") -> NDArray[Any]:
    """The rows as numbers, all finite, [N, ...].

    Raises:
        ValueError: a value is no finite number; of a table, its column and row are named.
    """
    if not isinstance(rows, np.ndarray):
        return np.stack([numbers(rows[name]) for name in rows], axis=1) if rows.shape[1] else np.empty(rows.shape)
    if not (np.issubdtype(rows.dtype, np.number) or rows.dtype == bool) or np.iscomplexobj(rows):
        raise ValueError(f"The array holds values of type {rows.dtype}: give an array of real numbers.")
    wrong = np.argwhere(~np.isfinite(rows))
    if len(wrong):
        place, value = wrong[0].tolist(), rows[tuple(wrong[0])]
        raise ValueError(f"The array has {value} at position {place}: every value must be a finite number.")
    return rows


def numbers(column: "pd.Series[Any]") -> NDArray[Any]:
    """A column's numbers [N], all finite; whole ones as integers.

    Raises:
        ValueError: one is missing, infinite or no number.
    """
    import pandas as pd

    if pd.api.types.is_integer_dtype(column.dtype) and column.notna().all():
        return column.to_numpy(dtype=np.int64)
    values = floats(column)
    refuse(column, ~np.isfinite(values))
    return values


def floats(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """A column's numbers [N], texts that are numbers among them; what is missing or none is not a number."""
    import pandas as pd

    if kind(column) in ("date", "other"):
        return np.full(len(column), np.nan)
    return pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def refuse(column: "pd.Series[Any]", wrong: NDArray[np.bool_]) -> None:
    """Raises ValueError about the first row of a column that is wrong, [N], if there is one."""
    import pandas as pd

    if wrong.any():
        row = int(wrong.argmax())
        found = column.iloc[row]
        said = f"holds {str(found)!r}" if isinstance(found, list | np.ndarray) or not pd.isna(found) else "is empty"
        raise ValueError(f"Column {str(column.name)!r} {said} in row {row + 1}: it must hold finite numbers.")


def by_position(values: NDArray[Any], in_shape: tuple[int, ...]) -> NDArray[np.floating]:
    """Values [N, *in_shape], [N, F] with F their product, or [N, *in_shape] without the sides of length 1.

    Raises:
        ValueError: the shape is another.
    """
    given = values.shape[1:]
    flat = given == (prod(in_shape),)
    if values.ndim == 0 or not (flat or _longer(given) == _longer(in_shape)):
        of_one = "" if len(in_shape) == 1 else f", or {prod(in_shape)} numbers"
        raise ValueError(f"The rows have the shape {given}, and must have {in_shape}{of_one}.")
    return values.reshape(len(values), *in_shape).astype(values.dtype if values.dtype == np.float32 else np.float64)


def _longer(shape: tuple[int, ...]) -> list[int]:
    """The sides of a shape that are longer than 1."""
    return [side for side in shape if side > 1]
