"""Arrays read in chunks, so that memory-mapped files may be larger than memory and no array is copied whole.

Shapes: N rows.
"""

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

NUMBERS = 2**20
"""Numbers in a chunk at most; a chunk has at least one row."""


def read(values: NDArray[Any], rows: slice | NDArray[np.int64]) -> NDArray[Any]:
    """Copies some rows of values [N, ...] into memory.

    A slice is read through a temporary mapping, so that pages read once per pass do not stay in the memory of the
    process. Scattered rows use the existing mapping, because nearby rows will be needed again soon.
    """
    if isinstance(rows, slice) and isinstance(values, np.memmap) and values.filename is not None:
        order = "C" if values.flags.c_contiguous else "F"
        values = np.memmap(values.filename, values.dtype, "r", values.offset, values.shape, order)  # type: ignore[call-overload]
    found = np.array(np.asarray(values)[rows])
    return found.astype(found.dtype.newbyteorder("="), copy=False)  # torch supports native byte order only


def parts(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yields consecutive rows of values [N, ...], about `NUMBERS` numbers at a time."""
    for rows in slices(len(values), prod(values.shape[1:])):
        yield read(values, rows)


def slices(rows: int, row_numbers: int) -> Iterator[slice]:
    """Divides `rows` rows of `row_numbers` numbers each into chunks."""
    length = max(1, NUMBERS // max(1, row_numbers))
    return (slice(start, min(start + length, rows)) for start in range(0, rows, length))
