"""The order of a pass: every row once, the same at every call, and rows from everywhere beside each other."""

import pytest
import torch
from torch import Tensor

from fulmen.data import order
from fulmen.data.order import Order
from fulmen.data.tensors import Batch
from fulmen.training.packs import Packs
from fulmen.training.plan import Plan


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of 32 rows, in 8 blocks of 4."""
    for name, value in {"LONGEST": 32, "SHORTEST": 16, "NUMBERS": 64, "BLOCKS": 8}.items():
        monkeypatch.setattr(order, name, value)


SIZES = [1, 31, 32, 33, 35, 36, 37, 63, 64, 65, 250, 256, 257, 1000]


def whole(rows: int, epoch: int = 0, seed: int = 3) -> Tensor:
    return Order(rows, 2, seed).rows(epoch, 0, rows)


@pytest.mark.parametrize("rows", SIZES)
def test_every_row_comes_once(rows: int) -> None:
    for epoch in range(5):
        assert whole(rows, epoch).sort().values.tolist() == list(range(rows))


@pytest.mark.parametrize("rows", [31, 32, 33, 257])
def test_it_is_a_function_of_seed_and_pass(rows: int) -> None:
    orders = [whole(rows, epoch, seed) for seed in (3, 4) for epoch in (0, 1)]
    again = Order(rows, 2, 3)
    assert torch.equal(again.rows(1, 0, rows), orders[1]), "and of none that came before it"
    assert torch.equal(again.rows(0, 0, rows), orders[0])
    assert len({tuple(found.tolist()) for found in orders}) == 4


@pytest.mark.parametrize("rows", [1, 31, 32])
def test_what_fits_into_a_window_is_one_permutation(rows: int) -> None:
    expected = torch.randperm(rows, generator=torch.Generator().manual_seed(3 * 1_000_003 + 2))
    assert torch.equal(whole(rows, 2), expected)


@pytest.mark.parametrize("rows", [20, 33, 257])
@pytest.mark.parametrize("step", [1, 3, 50])
def test_any_part_of_it_is_that_part(rows: int, step: int) -> None:
    expected, found = whole(rows), Order(rows, 2, 3)
    for start in range(0, rows, 7):
        for stop in {start + 1, (start + rows) // 2 + 1, rows}:
            assert torch.equal(found.rows(0, start, stop, step), expected[start:stop:step])


def test_rows_from_all_over_the_data_meet() -> None:
    """The first 128 of 4096 rows have the mean and the spread of any 32 blocks, not those of neighbours."""
    first = torch.stack([whole(4096, epoch)[:128].double() for epoch in range(40)])
    assert abs(first.mean() - 2048) < 4 * 4096 / 12**0.5 / (40 * 32) ** 0.5
    assert (first.std(1) > 800).all()
    assert (first.diff(dim=1).abs() <= 1).double().mean() < 0.05, "neighbours are rarely beside each other"


@pytest.mark.parametrize(("numbers", "window"), [(1, 32), (2, 32), (3, 21), (4, 16), (1000, 16)])
def test_rows_of_many_numbers_have_shorter_windows(numbers: int, window: int) -> None:
    assert Order(100, numbers, 0).window == window


@pytest.mark.parametrize("devices", [1, 3])
@pytest.mark.parametrize("length", [1, 4, 100])
def test_packs_follow_it(length: int, devices: int) -> None:
    """Whatever their length, and divided among devices so that each row goes to one of them."""
    rows, batch = 101, 8
    x = torch.arange(rows).unsqueeze(1)
    plan = Plan(rows // devices, batch, max_epochs=2, points=1)
    shares = [
        Packs(Batch(x, -x), plan, seed=3, length=length, start=lambda: 0, share=slice(device, None, devices))
        for device in range(devices)
    ]
    for device, packs in enumerate(shares):
        found = torch.cat([batch.x.flatten() for pack in packs for batch in pack.batches])
        expected = [Order(rows, 1, 3).rows(epoch, 0, rows)[device::devices][: plan.rows] for epoch in (0, 1)]
        assert torch.equal(found, torch.cat(expected))
