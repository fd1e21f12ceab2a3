"""The order in which a pass takes its rows: a pure function of seed and pass, wherever the rows are.

Up to a *window* of rows it is one permutation. One of billions of rows would take more memory than it is worth, and
files read at places all over them are slow. So larger data is cut into blocks of neighbouring rows; the blocks are
permuted, those that follow each other make windows, and the rows of each window are permuted. Rows from all over the
data meet in a window, of which some hundred places in the files are read.

Memory: a window, and a number for each block.
"""

import numpy as np
import torch
from torch import Tensor

LONGEST, SHORTEST, NUMBERS = 2**20, 2**12, 2**26
"""Rows of a window at most and at least, and the numbers that are in them where that is between the two."""
BLOCKS = 256
"""In a window."""


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
        self.blocks_of: tuple[int, Tensor, Tensor] = (-1, torch.empty(0), torch.empty(0))
        self.rows_of: tuple[tuple[int, int], Tensor] = ((-1, -1), torch.empty(0))

    def rows(self, epoch: int, start: int, stop: int, step: int = 1) -> Tensor:
        """The rows at places `start`, `start` + `step` and so on below `stop` of pass `epoch`, [places], on the CPU."""
        found = []
        while start < stop:
            first, rows = self._window(epoch, start)
            found.append(rows[start - first : stop - first : step])
            start += step * len(found[-1])
        return found[0] if len(found) == 1 else torch.cat(found)

    def _window(self, epoch: int, place: int) -> tuple[int, Tensor]:
        """The window of pass `epoch` that holds `place`: the place where it begins, and its rows."""
        if self.total <= self.window:
            number, first = 0, 0
        else:
            starts = self._blocks(epoch)[1]
            number = int(torch.searchsorted(starts, place, right=True)) - 1
            first = int(starts[number])
        if self.rows_of[0] != (epoch, number):
            self.rows_of = (epoch, number), self._permuted(epoch, number)
        return first, self.rows_of[1]

    def _permuted(self, epoch: int, number: int) -> Tensor:
        """The rows of a window, in order."""
        if self.total <= self.window:
            return torch.randperm(self.total, generator=torch.Generator().manual_seed(self.seed * 1_000_003 + epoch))
        blocks = self._blocks(epoch)[0][number * BLOCKS : (number + 1) * BLOCKS]
        rows = (blocks[:, None] * self.block + torch.arange(self.block)).flatten()
        rows = rows[rows < self.total]  # the last block may be shorter
        return rows[torch.randperm(len(rows), generator=_generator(self.seed, epoch, number))]

    def _blocks(self, epoch: int) -> tuple[Tensor, Tensor]:
        """The blocks in the order of pass `epoch`, [blocks], and the place where each window begins, [windows]."""
        if self.blocks_of[0] != epoch:
            count = -(-self.total // self.block)
            order = torch.randperm(count, generator=_generator(self.seed, epoch))
            sizes = torch.full((count,), self.block)
            sizes[order == count - 1] = self.total - (count - 1) * self.block
            starts = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)[:-1]])[::BLOCKS]
            self.blocks_of = epoch, order, starts.contiguous()
        return self.blocks_of[1:]


def _generator(*numbers: int) -> torch.Generator:
    """Seeded by all of the numbers: torch's own takes no account of more than 32 bits of one."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(numbers).generate_state(1)[0]))
