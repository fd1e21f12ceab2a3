"""A model: a plain `torch.nn.Module` whose first two arguments come from the data."""

import math

import torch
from torch import Tensor, nn


class Waves(nn.Module):
    """A linear model of sines and cosines. Shapes: B rows. [B, *in_shape] -> [B, out_features].

    Args:
        in_shape: shape of one row.
        out_features: numbers returned for a row.
        waves: frequencies of each feature.
    """

    def __init__(self, in_shape: tuple[int, ...], out_features: int, *, waves: int) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.arange(1.0, waves + 1))
        self.head = nn.Linear(2 * waves * math.prod(in_shape), out_features)

    def forward(self, x: Tensor) -> Tensor:
        angles = x.flatten(1)[:, :, None] * self.frequencies  # [B, F, waves]
        out: Tensor = self.head(torch.cat([angles.sin(), angles.cos()], 1).flatten(1))
        return out
