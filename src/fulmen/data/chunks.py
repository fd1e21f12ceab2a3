"""Arrays read part by part: such as are mapped from files and larger than memory, and others without a copy of all.

Shapes: N rows.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = 2**20
"""In a part, at most (and at least a row)."""


def read(values: NDArray[Any], rows: slice | NDArray[np.int64]) -> NDArray[Any]:
    """Some rows of values [N, ...], in memory of their own.

    Neighbours (a slice) are read through a mapping that ends with it: what is read once in a pass does not stay in the
    process's memory. Rows at places all over come soon again near by, so there the mapping that stands is used.
    """
    found = np.array(_mapped_anew(values)[rows] if isinstance(rows, slice) else np.asarray(values)[rows])
    return found.astype(found.dtype.newbyteorder("="), copy=False)  # torch has no other


def parts(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Consecutive rows of values [N, ...], `NUMBERS` numbers at a time."""
    for rows in slices(len(values), prod(values.shape[1:])):
        yield read(values, rows)


def slices(rows: int, row_numbers: int) -> Iterator[slice]:
    """The parts of so many rows."""
    length = max(1, NUMBERS // max(1, row_numbers))
    return (slice(start, min(start + length, rows)) for start in range(0, rows, length))


def _mapped_anew(values: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(values, np.memmap) or values.filename is None:
        return values
    order = "C" if values.flags.c_contiguous else "F"
    return np.memmap(values.filename, values.dtype, "r", values.offset, values.shape, order)  # type: ignore[call-overload, no-any-return]
