"""The losses of an interval: all of them, in their order, however they come, and once more after a pause."""

import numpy as np
import pytest
import torch

from fulmen.training import running_loss
from fulmen.training.running_loss import RunningLoss


@pytest.mark.parametrize("length", [1, 3, 7, 40])
def test_losses_are_added_up_as_one(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_loss, "ROOM", 4)
    losses, rows = torch.randn(40), list(range(1, 41))
    found = RunningLoss()
    for _ in range(2):  # the second begins anew
        for start in range(0, 40, length):
            found.add(losses[start : start + length], rows[start : start + length])
            if start <= 20 < start + length:
                plain, found = found.plain(), RunningLoss()
                found.restore(plain, torch.device("cpu"))
        assert found.losses is not None and torch.equal(found.losses, losses)
        assert found.end(None) == losses.double().numpy() @ np.array(rows) / sum(rows)
    assert found.plain()["losses"] is None


def test_sums_are_for_one_pass() -> None:
    found = RunningLoss()
    found.add(torch.tensor([6.0, 9.0]), [2, 1])
    assert found.end(30) == 15 * 30 / 3
