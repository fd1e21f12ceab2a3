"""Training batches of many copies: each in the order of its own seed, from data of its own or of all."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fulmen.data.order import Order
from fulmen.data.tensors import Batch
from fulmen.training.packs import LARGEST, batches_of
from fulmen.training.plan import Plan

WHOLE_PASS = 2**24
"""Positions in the orders of a pass that are kept at most."""


class StackedRows:
    """The training rows of C copies.

    Args:
        splits: the different data sets, of equal sizes, each in memory.
        which: the data set of each copy, [C].
        seeds: the seed of each copy's order, [C].
        plan: how the run is divided.
        device: where to train.
    """

    def __init__(
        self, splits: Sequence[Batch], which: Sequence[int], seeds: Sequence[int], plan: Plan, device: torch.device
    ) -> None:
        self.plan, self.rows, self.which = plan, splits[0].rows, list(which)
        self.data = Batch(*(torch.cat(list(values)).to(device) for values in zip(*splits, strict=True)))
        self.is_full = plan.batch_rows >= plan.rows
        distinct = list(dict.fromkeys(seeds))
        self.orders = [Order(self.rows, splits[0].x[0].numel(), seed) for seed in distinct]
        self.first = torch.tensor(which, device=device).unsqueeze(1) * self.rows
        """Where each copy's data begins, [C, 1]."""
        self.order_of = torch.tensor([distinct.index(seed) for seed in seeds])
        self.is_shared = len(splits) == 1 and (self.is_full or len(distinct) == 1)
        """True if all copies have the same rows in each step."""
        row_bytes = sum(values[0].nbytes for values in splits[0]) + torch.int64.itemsize
        of_step = row_bytes * plan.batch_rows * (1 if self.is_shared else len(which))
        self.longest = max(1, LARGEST // of_step)
        """Steps whose rows are gathered at once, at most."""
        self.kept: tuple[int, Tensor] | None = None
        """The last pass, and all orders of it, [S, rows]."""
        self.everything = self._take(torch.arange(self.rows).expand(1, -1)) if self.is_full else None

    def pack(self, step: int, count: int) -> tuple[Batch, list[int]]:
        """Returns the rows of `count` steps from `step` on, and how many each step has.

        The rows are [C, rows, ...], or [rows, ...] where all copies have the same. Steps on all rows have the same.
        """
        if self.everything is not None:
            return self.everything, [self.rows] * count
        spans, sizes = batches_of(self.plan, step, count)
        return self._take(torch.cat([self._of_pass(*span) for span in spans], 1)), sizes

    def _of_pass(self, epoch: int, start: int, stop: int) -> Tensor:
        """Returns a part of each order of a pass, [S, positions]; asking a thousand orders takes long."""
        if self.rows * len(self.orders) > WHOLE_PASS:
            return torch.stack([order.rows(epoch, start, stop) for order in self.orders])
        if self.kept is None or self.kept[0] != epoch:
            self.kept = epoch, torch.stack([order.rows(epoch, 0, self.rows) for order in self.orders])
        return self.kept[1][:, start:stop]

    def keep(self, places: Tensor) -> None:
        """Lets all copies leave but those at some places, [copies]."""
        self.first, self.order_of = self.first[places], self.order_of[places.cpu()]
        if self.everything is not None and not self.is_shared:
            self.everything = Batch(*(values[places] for values in self.everything))

    def _take(self, orders: Tensor) -> Batch:
        """Returns the rows of some orders, [S, rows]."""
        if self.is_shared:
            return self.data.take(orders[0])
        indices = orders[self.order_of if len(orders) > 1 else torch.zeros_like(self.order_of)].to(self.first.device)
        found = self.data.take((self.first + indices).flatten())
        return Batch(*(values.view(*indices.shape, *values.shape[1:]) for values in found))
