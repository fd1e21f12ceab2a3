"""Lightning's names of precisions, such as `64-true` and `bf16-mixed`, and the dtypes they stand for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

TYPES = {"64": torch.float64, "32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def data_type(precision: str) -> torch.dtype:
    """Returns the dtype of features, of values and, but for `*-mixed`, of the network; for `*-mixed` it is float32."""
    bits, _, kind = precision.partition("-")
    return torch.float32 if kind == "mixed" else TYPES[bits]


def converted(net: nn.Module, precision: str) -> nn.Module:
    """Converts a network's weights as training does: to 64 or 16 bits; else a network of one's own keeps its types."""
    dtype = data_type(precision)
    return net if dtype == torch.float32 else net.to(dtype)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Gives new tensors this dtype inside the block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def computing(precision: str, device_type: str) -> Iterator[None]:
    """Computes as in training inside the block, for networks that are evaluated without a Trainer."""
    bits, _, kind = precision.partition("-")
    with default_dtype(data_type(precision)), torch.autocast(device_type, TYPES[bits], enabled=kind == "mixed"):
        yield
