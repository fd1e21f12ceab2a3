"""Rows as tensors, in the shape and dtype of the task: a whole split in memory, or loaded on demand.

Shapes: N rows of a split, B of a batch.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fulmen.data.chunks import read, slices
from fulmen.data.scaling import Scaling
from fulmen.data.source import Split, TaskKind

CHUNK_BYTES, CHUNK_ROWS = 64 * 2**20, 2**14
"""Maximum size of a chunk, which is moved or evaluated at once. Larger ones no longer fit into CPU caches."""


class Batch(NamedTuple):
    """Rows of features [B, *in_shape] and their targets (shapes in `tasks/task.py`), in memory."""

    x: Tensor
    y: Tensor

    @property
    def rows(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor | slice) -> "Batch":
        """Returns some rows, by index [B] or as a slice."""
        if isinstance(rows, slice):
            return Batch(self.x[rows], self.y[rows])
        rows = rows.to(self.x.device)
        return Batch(self.x.index_select(0, rows), self.y.index_select(0, rows))

    def to(self, device: torch.device | str) -> "Batch":
        return Batch(self.x.to(device), self.y.to(device))


@dataclass(frozen=True)
class Streamed:
    """Rows that stay in the source's files, and are scaled and converted to tensors on demand."""

    split: Split
    scaling: Scaling
    task: TaskKind
    dtype: torch.dtype
    device: torch.device | str = "cpu"

    @property
    def rows(self) -> int:
        return len(self.split.x)

    def take(self, rows: Tensor | slice) -> Batch:
        where = rows if isinstance(rows, slice) else rows.cpu().numpy()
        part = Split(*(read(values, where) for values in self.split))
        return tensors(self.scaling(part), self.task, self.dtype).to(self.device)

    def to(self, device: torch.device | str) -> "Streamed":
        return replace(self, device=device)


Rows = Batch | Streamed
"""The rows of a split, in memory or loaded on demand."""


def held(rows: Streamed) -> Batch:
    """Loads all rows into memory, chunk by chunk, so that nothing else of that size is ever allocated."""
    if isinstance(rows.split.x, np.memmap) or rows.scaling != Scaling():
        first = rows.take(slice(0, 1))
        whole = Batch(*(values.new_empty(rows.rows, *values.shape[1:]) for values in first))
        for part in slices(rows.rows, prod(rows.split.x.shape[1:])):
            for values, new in zip(whole, rows.take(part), strict=True):
                values[part] = new
        return whole
    return tensors(rows.split, rows.task, rows.dtype)  # at most the dtype changes


def tensors(split: Split, task: TaskKind, dtype: torch.dtype) -> Batch:
    """Converts a split to tensors; targets get the shape and dtype of the task (see `tasks/task.py`)."""
    x, y = torch.from_numpy(np.ascontiguousarray(split.x)).to(dtype), torch.from_numpy(split.y)
    match task:
        case "regression":
            return Batch(x, y.to(dtype))
        case "binary":
            return Batch(x, y.to(dtype).unsqueeze(1))
        case "multiclass":
            return Batch(x, y.long())


def chunk_rows(row: Tensor) -> int:
    """Returns the number of rows in a chunk, given the features of one row [1, *in_shape]."""
    return min(CHUNK_ROWS, max(1, CHUNK_BYTES // max(1, row.nbytes)))


def chunks(rows: Rows) -> Iterator[Batch]:
    """Yields all rows in order, in chunks."""
    length = chunk_rows(rows.take(slice(0, 1)).x)
    return (rows.take(slice(start, start + length)) for start in range(0, rows.rows, length))


def fingerprint(rows: Rows) -> str:
    """Returns the CRC-32 of the bytes of all rows, 8 hex digits, by which a run recognizes its training data."""
    total = 0
    for chunk in chunks(rows):
        for values in chunk:
            total = zlib.crc32(values.flatten().contiguous().view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
