"""What the formulas compute with: NumPy's arrays or torch's tensors, and the way from one to the other."""

import math
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = Any
"""An `np.ndarray` or a `Tensor`: no type says what the two have in common."""


def array(xp: ModuleType, tensor: Tensor) -> Array:
    """The numbers of `tensor` for the library `xp`; NumPy wants them on the CPU."""
    return tensor.detach() if xp is torch else tensor.detach().cpu().numpy()


def tensor(values: Array, like: Tensor) -> Tensor:
    """Numbers of either library as a tensor, of the type and on the device of `like`."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)


def erf(xp: ModuleType, z: Array) -> Array:
    """The error function, 2/√π · ∫ e^(-t²) dt from 0 to z, number by number; NumPy has none, Python has one."""
    return torch.erf(z) if xp is torch else np.vectorize(math.erf, otypes=[z.dtype])(z)
