"""Rows of a copy come in the order of its own seed, from its own data."""

import pytest
import torch

from fulmen.data.order import Order
from fulmen.data.tensors import Batch
from fulmen.training.plan import Plan
from fulmen.training.stack.rows import StackedRows

ROWS, WIDTH = 11, 3


def data(number: int) -> Batch:
    x = torch.arange(ROWS * WIDTH).view(ROWS, WIDTH).double() + 1000 * number
    return Batch(x, x[:, :1])


@pytest.mark.parametrize("which", [[0, 0, 0, 0], [0, 1, 0, 1]], ids=str)
@pytest.mark.parametrize("seeds", [[3, 3, 3, 3], [3, 4, 4, 5]], ids=str)
@pytest.mark.parametrize("batch", [4, 20])
def test_each_copy_has_the_rows_of_its_seed(which: list[int], seeds: list[int], batch: int) -> None:
    splits = [data(number) for number in range(max(which) + 1)]
    plan = Plan(ROWS, batch, max_epochs=5)
    rows = StackedRows(splits, which, seeds, plan, torch.device("cpu"))
    for first, count in ((0, 1), (0, 7), (2, 3), (6, 2)):
        pack, sizes = rows.pack(first, count)
        if batch > ROWS:
            assert sizes == [ROWS] * count
        else:
            assert sizes == [[4, 4, 3][step % 3] for step in range(first, first + count)]
        for copy, (number, seed) in enumerate(zip(which, seeds, strict=True)):
            own = splits[number]
            if batch > ROWS:
                wanted = own
            else:
                passes = [Order(ROWS, WIDTH, seed).rows(epoch, 0, ROWS) for epoch in range(5)]
                order = torch.cat(passes)[first // 3 * ROWS + first % 3 * 4 :][: sum(sizes)]
                wanted = Batch(own.x[order], own.y[order])
            found = pack if pack.x.ndim == 2 else Batch(pack.x[copy], pack.y[copy])
            assert torch.equal(found.x, wanted.x) and torch.equal(found.y, wanted.y)


def test_rows_are_shared_where_all_copies_have_the_same() -> None:
    plan = Plan(ROWS, 4, max_epochs=5)
    for which, seeds, is_shared in (([0, 0], [3, 3], True), ([0, 0], [3, 4], False), ([0, 1], [3, 3], False)):
        splits = [data(number) for number in range(max(which) + 1)]
        pack, _ = StackedRows(splits, which, seeds, plan, torch.device("cpu")).pack(0, 2)
        assert pack.x.shape == ((8, WIDTH) if is_shared else (2, 8, WIDTH))
