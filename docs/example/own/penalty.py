"""A penalty: all parameters in, one number out, which is added to the training loss."""

from collections.abc import Iterable

import torch
from torch import Tensor


def sizes(parameters: Iterable[Tensor], *, weight: float) -> Tensor:
    """Returns weight times the sum of the tensors' norms, which makes all numbers of one small together."""
    return weight * torch.stack([parameter.norm() for parameter in parameters]).sum()
