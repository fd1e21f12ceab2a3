"""The order in which a pass takes its rows: a pure function of seed and pass, wherever the rows are.

Up to a *window* of rows it is one permutation. One of billions of rows would take more memory than it is worth, and
files read at places all over them are slow. So larger data is cut into blocks of neighbouring rows; the blocks are
permuted, those that follow each other make windows, and the rows of each window are permuted. Rows from all over the
data meet in a window, of which some hundred places in the files are read.

Memory: a window, and a number for each block.
"""

import functools
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

LONGEST, SHORTEST, NUMBERS = 2**20, 2**12, 2**26
"""Rows of a window at most and at least, and the numbers that are in them where that is between the two."""
BLOCKS = 256
"""In a window."""


class Window(NamedTuple):
    """A part of a pass."""

    first: int
    """The place where it begins."""
    blocks: Tensor | None
    """Those it is made of; none: it is all there is."""
    order: Tensor
    """A permutation of its rows, [rows]; 32 bits each suffice where there are blocks."""


class Order:
    """An order of rows for every pass.

    Args:
        rows: how many there are.
        row_numbers: numbers in each, by which the window is chosen.
        seed: the run's.
    """

    def __init__(self, rows: int, row_numbers: int, seed: int) -> None:
        self.total, self.seed = rows, seed
        self.window = min(LONGEST, max(SHORTEST, NUMBERS // max(1, row_numbers)))
        self.block = max(1, self.window // BLOCKS)
        self._blocks = functools.lru_cache(1)(self._blocks_of)
        self._window = functools.lru_cache(1)(self._window_of)

    def rows(self, epoch: int, start: int, stop: int, step: int = 1) -> Tensor:
        """The rows at places `start`, `start` + `step` and so on below `stop` of pass `epoch`, [places], on the CPU."""
        found = []
        while start < stop:
            first, blocks, order = self._window(epoch, self._number(epoch, start))
            part = order[start - first : stop - first : step]
            start += step * len(part)
            if blocks is not None:
                part = blocks[(part // self.block).long()] * self.block + part % self.block
            found.append(part)
        return found[0] if len(found) == 1 else torch.cat(found)

    def _number(self, epoch: int, place: int) -> int:
        """Of the window that holds `place`."""
        if self.total <= self.window:
            return 0
        return int(torch.searchsorted(self._blocks(epoch)[1], place, right=True)) - 1

    def _window_of(self, epoch: int, number: int) -> Window:
        if self.total <= self.window:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            return Window(0, None, torch.randperm(self.total, generator=generator))
        order, starts = self._blocks(epoch)
        blocks = order[number * BLOCKS : (number + 1) * BLOCKS].sort().values  # so that the shorter one comes last
        shorter = max(0, (int(blocks[-1]) + 1) * self.block - self.total)
        rows = len(blocks) * self.block - shorter
        generator = _generator(self.seed, epoch, number)
        return Window(int(starts[number]), blocks, torch.randperm(rows, generator=generator, dtype=torch.int32))

    def _blocks_of(self, epoch: int) -> tuple[Tensor, Tensor]:
        """The blocks in the order of pass `epoch`, [blocks], and the place where each window begins, [windows]."""
        count = -(-self.total // self.block)
        order = torch.randperm(count, generator=_generator(self.seed, epoch))
        sizes = torch.full((count,), self.block)
        sizes[order == count - 1] = self.total - (count - 1) * self.block
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)[:-1]])[::BLOCKS]
        return order, starts.contiguous()


def _generator(*numbers: int) -> torch.Generator:
    """Seeded by all of the numbers: torch's own takes no account of more than 32 bits of one."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
