"""Lightning's words for precision, such as `64-true` and `bf16-mixed`, and what each means for data and computing."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

TYPES = {"64": torch.float64, "32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


def data_type(precision: str) -> torch.dtype:
    """Of features and of values; a network has it, too, but for `*-mixed`, where both are float32."""
    bits, _, kind = precision.partition("-")
    return torch.float32 if kind == "mixed" else TYPES[bits]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """While it lasts, new tensors have this type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def computing(precision: str, device_type: str) -> Iterator[None]:
    """A forward pass as in training, for networks that are evaluated without a Trainer."""
    bits, _, kind = precision.partition("-")
    with default_dtype(data_type(precision)), torch.autocast(device_type, TYPES[bits], enabled=kind == "mixed"):
        yield
