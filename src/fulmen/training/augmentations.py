"""Random changes of training rows, so that a network sees each image a little differently in every pass.

Each is a torch module from rows to rows; `flip` and `shift` are ours, and any other may be the user's. What they draw
follows from the run's seed and the step's number alone, so that a resumed run sees what an undisturbed one does.

Shapes: B rows, C channels, H height, W width.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fulmen.data.tensors import Batch, Rows
from fulmen.errors import ConfigurationError
from fulmen.rules import SIGNATURES, alternatives, called, wrong_part

Augment = Callable[[Batch, int], Batch]
"""Changes the rows of a step, given its number."""


class Flip(nn.Module):
    """Mirrors half of the images, left to right."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same."""
        chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
        return torch.where(chosen, x.flip(-1), x)


class Shift(nn.Module):
    """Moves each image by up to an eighth of its size along both axes; what comes in from outside is 0."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> the same."""
        found = x
        for axis in (-1, -2):
            size = x.shape[axis]
            most = size // 8
            by = torch.randint(-most, most + 1, (len(x), 1), device=x.device)
            source = torch.arange(size, device=x.device) - by  # [B, size]
            inside = (source >= 0) & (source < size)
            shape = (len(x), 1, 1, size) if axis == -1 else (len(x), 1, size, 1)
            index = source.clamp(0, size - 1).view(shape).expand(*x.shape)
            found = found.gather(axis, index) * inside.view(shape)
        return found


OURS: dict[str, Callable[[], nn.Module]] = {"flip": Flip, "shift": Shift}


def find(wanted: Sequence[Any], train: Rows, seed: int) -> Augment | None:
    """Returns what changes training rows, in the order given; None if nothing does.

    Args:
        wanted: names of ours, or modules.
        train: the training rows, a few of which are changed to see that it works.
        seed: of the run.

    Raises:
        ConfigurationError: one has no such name, or is no module that returns rows of the same shape and type.
    """
    if not wanted:
        return None
    modules = [_module(each) for each in wanted]

    def augment(batch: Batch, step: int) -> Batch:
        devices = [batch.x.device] if batch.x.is_cuda else []
        x = batch.x.clone()  # a module may write to what it is given, and these may be the only training rows
        with torch.no_grad(), torch.random.fork_rng(devices):
            torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))
            for module in modules:
                x = module.to(x.device)(x)
        return Batch(x, batch.y)

    first = train.take(slice(0, 2))
    for module in modules:
        name = type(module).__name__
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            found: Any = called("augment", name, partial(module, first.x.clone()))
        if not isinstance(found, Tensor) or found.shape != first.x.shape or found.dtype != first.x.dtype:
            what = f"tensor {[*found.shape]} of {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise wrong_part("augment", name, f"makes a {what} of {[*first.x.shape]} of {first.x.dtype}")
    return augment


def _module(wanted: Any) -> nn.Module:
    if isinstance(wanted, nn.Module):
        return wanted.train()
    if wanted in OURS:
        return OURS[wanted]()
    raise ConfigurationError(
        f"data.augment has {wanted!r:.60}{alternatives(str(wanted), OURS)}, or one of your own, which is "
        f"{{_target_: own.Noise}} and must be {SIGNATURES['augment']}"
    )
