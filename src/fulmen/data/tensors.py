"""Rows as tensors, in the shape and type that a task wants."""

import zlib
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fulmen.data.source import Split
from fulmen.vocabulary import Task


class Batch(NamedTuple):
    """Rows of features [B, *in_shape] and their targets (shapes in `tasks.py`)."""

    x: Tensor
    y: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """The same rows on another device."""
        return Batch(self.x.to(device), self.y.to(device))


def tensors(split: Split, task: Task, dtype: torch.dtype) -> Batch:
    """A split as tensors; targets get the shape and type that the task wants (see `tasks.py`)."""
    x, y = torch.from_numpy(np.ascontiguousarray(split.x)).to(dtype), torch.from_numpy(split.y)
    match task:
        case "regression":
            return Batch(x, y.to(dtype))
        case "binary":
            return Batch(x, y.to(dtype).unsqueeze(1))
        case "multiclass":
            return Batch(x, y.long())


def fingerprint(rows: Batch) -> str:
    """Eight hexadecimal digits by which a run knows its training rows: the CRC-32 of their bytes, on the CPU."""
    total = 0
    for values in rows:
        total = zlib.crc32(values.flatten().contiguous().view(torch.uint8).numpy().data, total)
    return f"{total:08x}"
