"""Rows as tensors, in the shape and type that a task wants: all of a split in memory, or as they are asked for.

Shapes: N rows of a split, B of a batch.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from fulmen.data.chunks import read, slices
from fulmen.data.scaling import Scaling
from fulmen.data.source import Split, TaskKind

CHUNK_BYTES, CHUNK_ROWS = 64 * 2**20, 2**14
"""A chunk has so many at most: so much is moved, or goes through a network, at once. More rows leave caches behind."""


class Rows(Protocol):
    """The rows of a split, in memory (`Batch`) or not (`Streamed`)."""

    @property
    def rows(self) -> int:
        """How many."""

    def take(self, rows: "Tensor | slice") -> "Batch":
        """Some of them, by their numbers [B]."""

    def to(self, device: torch.device | str) -> "Rows":
        """The same, given on another device."""


class Batch(NamedTuple):
    """Rows of features [B, *in_shape] and their targets (shapes in `tasks.py`)."""

    x: Tensor
    y: Tensor

    @property
    def rows(self) -> int:
        """B."""
        return len(self.x)

    def take(self, rows: Tensor | slice) -> "Batch":
        """Some of the rows."""
        if isinstance(rows, slice):
            return Batch(self.x[rows], self.y[rows])
        rows = rows.to(self.x.device)
        return Batch(self.x.index_select(0, rows), self.y.index_select(0, rows))

    def to(self, device: torch.device | str) -> "Batch":
        """The same rows on another device."""
        return Batch(self.x.to(device), self.y.to(device))


@dataclass(frozen=True)
class Streamed:
    """Rows that stay where the source has them, in files, and are scaled and made tensors when they are asked for."""

    split: Split
    scaling: Scaling
    task: TaskKind
    dtype: torch.dtype
    device: torch.device | str = "cpu"

    @property
    def rows(self) -> int:
        """N."""
        return len(self.split.x)

    def take(self, rows: Tensor | slice) -> Batch:
        """Some of the rows."""
        where = rows if isinstance(rows, slice) else rows.cpu().numpy()
        part = Split(*(read(values, where) for values in self.split))
        return tensors(self.scaling(part), self.task, self.dtype).to(self.device)

    def to(self, device: torch.device | str) -> "Streamed":
        """The same rows, which go to another device when they are asked for."""
        return replace(self, device=device)


def held(rows: Streamed) -> Batch:
    """The rows in memory, filled part by part: at no time is anything else there that is nearly as large."""
    if isinstance(rows.split.x, np.memmap) or rows.scaling != Scaling():
        first = rows.take(slice(0, 1))
        whole = Batch(*(values.new_empty(rows.rows, *values.shape[1:]) for values in first))
        for part in slices(rows.rows, prod(rows.split.x.shape[1:])):
            for values, new in zip(whole, rows.take(part), strict=True):
                values[part] = new
        return whole
    return tensors(rows.split, rows.task, rows.dtype)  # nothing but their type changes, if that


def tensors(split: Split, task: TaskKind, dtype: torch.dtype) -> Batch:
    """A split as tensors; targets get the shape and type that the task wants (see `tasks.py`)."""
    x, y = torch.from_numpy(np.ascontiguousarray(split.x)).to(dtype), torch.from_numpy(split.y)
    match task:
        case "regression":
            return Batch(x, y.to(dtype))
        case "binary":
            return Batch(x, y.to(dtype).unsqueeze(1))
        case "multiclass":
            return Batch(x, y.long())


def chunk_rows(row: Tensor) -> int:
    """How many rows make a chunk, by the features of one [1, *in_shape]."""
    return min(CHUNK_ROWS, max(1, CHUNK_BYTES // max(1, row.nbytes)))


def chunks(rows: Rows) -> Iterator[Batch]:
    """All rows, in their order."""
    length = chunk_rows(rows.take(slice(0, 1)).x)
    return (rows.take(slice(start, start + length)) for start in range(0, rows.rows, length))


def fingerprint(rows: Rows) -> str:
    """Eight hexadecimal digits by which a run knows its training rows: the CRC-32 of their bytes, on the CPU."""
    total = 0
    for chunk in chunks(rows):
        for values in chunk:
            total = zlib.crc32(values.flatten().contiguous().view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
