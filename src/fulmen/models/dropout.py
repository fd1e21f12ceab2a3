"""Dropout whose mask is a hash of (seed, layer, step, position).

torch's own dropout draws from a generator, so its masks depend on all earlier draws: they differ when a run is resumed,
or when copies of a network are trained side by side. A hash has no state, and costs about as much as a generator.
The mixing is SplitMix64's finalizer (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014).
"""

import torch
from torch import Tensor, nn

from fulmen.rules import check, number

_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64
"""SplitMix64's constants, as torch's signed 64-bit integers write them."""


class Dropout(nn.Module):
    """In training, sets a share `p` of its input to zero and divides the rest by 1 - p; otherwise passes it on.

    Shapes: [B, ...] -> the same. `key` and `step` are counters that the learner sets; both are [] and int64.
    """

    key: Tensor
    step: Tensor
    p: float | Tensor

    def __init__(self, p: float) -> None:
        super().__init__()
        check("model.dropout", p, number("[0, 1)"))
        self.p = p
        self.register_buffer("key", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        position = torch.arange(x.numel(), device=x.device).view(x.shape)
        # 31 high bits of the hash, compared as integers: no rounding decides what is kept
        hashed = _logical_shift(mix(mix(self.key + self.step * _GAMMA) + position * _GAMMA), 33)
        if isinstance(self.p, Tensor):  # [] in float64, where copies of a network have shares of their own
            return x * (hashed >= (self.p * 2**31).long()) / (1 - self.p).to(x.dtype)
        return x * (hashed >= int(self.p * 2**31)) / (1 - self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def mix(z: Tensor) -> Tensor:
    """Applies SplitMix64's finalizer, elementwise on int64 with wrap-around."""
    z = (z ^ _logical_shift(z, 30)) * _MIX_1
    z = (z ^ _logical_shift(z, 27)) * _MIX_2
    return z ^ _logical_shift(z, 31)


def _logical_shift(z: Tensor, bits: int) -> Tensor:
    """Shifts to the right and fills with zeros; torch's own shift copies the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def dropouts(net: nn.Module, seed: int) -> list[Dropout]:
    """Returns the dropout layers of `net`, in order, each with a key made from `seed` and its index."""
    layers = [module for module in net.modules() if isinstance(module, Dropout)]
    for index, layer in enumerate(layers):
        layer.key.copy_(mix(torch.tensor(seed) * _GAMMA + index))
    return layers


def with_share_as_tensor(net: nn.Module, seed: int) -> nn.Module:
    """Prepares a network to be stacked: its dropout layers get their keys, and the share becomes a buffer `p`, []."""
    for layer in dropouts(net, seed):
        share = torch.tensor(layer.p, dtype=torch.float64)
        del layer.p
        layer.register_buffer("p", share, persistent=False)
    return net
