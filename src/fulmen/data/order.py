"""The order of rows in a pass: a pure function of the seed and the pass, wherever the rows are stored.

Data of up to one *window* of rows is shuffled by a single permutation. For billions of rows, that would take too much
memory and random access to files would be slow. Larger data is therefore cut into blocks of adjacent rows. The blocks
are shuffled, consecutive shuffled blocks form windows, and the rows of each window are shuffled. A window mixes rows
from all over the data, and reads from a few hundred positions in the files.

Memory: one window, and one number per block.
"""

import functools

import numpy as np
import torch
from torch import Tensor

LONGEST, SHORTEST, NUMBERS = 2**20, 2**12, 2**26
"""Rows of a window at most and at least; in between, a window holds this many numbers."""
BLOCKS = 256
"""Blocks in a window."""


class Order:
    """The order of rows in every pass.

    Args:
        rows: number of rows.
        row_numbers: numbers per row, which determine the size of the window.
        seed: seed of the run.
    """

    def __init__(self, rows: int, row_numbers: int, seed: int) -> None:
        self.total, self.seed = rows, seed
        self.window = min(LONGEST, max(SHORTEST, NUMBERS // max(1, row_numbers)))
        self.block = max(1, self.window // BLOCKS)
        self._blocks = functools.lru_cache(1)(self._blocks_of)
        self._window = functools.lru_cache(1)(self._window_of)

    def rows(self, epoch: int, start: int, stop: int, step: int = 1) -> Tensor:
        """Returns the row numbers at positions `start:stop:step` of pass `epoch`, [positions], on the CPU."""
        found = []
        while start < stop:
            number = 0
            if self.total > self.window:  # the last window that begins at or before `start`
                number = int(torch.searchsorted(self._blocks(epoch)[1], start, right=True)) - 1
            first, blocks, order = self._window(epoch, number)
            part = order[start - first : stop - first : step]
            start += step * len(part)
            if blocks is not None:
                part = blocks[(part // self.block).long()] * self.block + part % self.block
            found.append(part)
        return found[0] if len(found) == 1 else torch.cat(found)

    def _window_of(self, epoch: int, number: int) -> tuple[int, Tensor | None, Tensor]:
        """Returns a window's first position in the pass, its blocks, and a permutation of its rows, [rows].

        If the window is the whole data, there are no blocks; otherwise the permutation has 32-bit numbers.
        """
        if self.total <= self.window:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            return 0, None, torch.randperm(self.total, generator=generator)
        order, starts = self._blocks(epoch)
        chosen = order[number * BLOCKS : (number + 1) * BLOCKS]
        blocks = chosen.sort().values  # so that the shorter block comes last
        shorter = max(0, (int(blocks[-1]) + 1) * self.block - self.total)
        rows = len(blocks) * self.block - shorter
        generator = _generator(self.seed, epoch, number)
        return int(starts[number]), blocks, torch.randperm(rows, generator=generator, dtype=torch.int32)

    def _blocks_of(self, epoch: int) -> tuple[Tensor, Tensor]:
        """Returns the block order of pass `epoch`, [blocks], and the first position of each window, [windows]."""
        count = -(-self.total // self.block)
        order = torch.randperm(count, generator=_generator(self.seed, epoch))
        sizes = torch.full((count,), self.block)
        sizes[order == count - 1] = self.total - (count - 1) * self.block
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)[:-1]])[::BLOCKS]
        return order, starts.contiguous()


def _generator(*numbers: int) -> torch.Generator:
    """Returns a generator seeded by all numbers; torch's own seeding would use only 32 bits."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
