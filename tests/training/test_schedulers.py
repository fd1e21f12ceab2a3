"""Learning rates, as the history shows them, against formulas.

A row holds the rate that the step after it would have; with `plateau`, which looks at the row first, the rate it had.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.optim import SGD

from fulmen.experiment.load import Run
from fulmen.training import schedulers
from fulmen.training.plan import Plan

Train = Callable[..., Run]
History = Callable[[Run], dict[str, list[float]]]
LR = 0.02
WORDS = ("data=moons", "data.train_size=40", "data.val_size=10", "data.batch_size=8", f"optimizer.lr={LR}")
"""5 steps a pass."""
NO_GRADIENT = ("data=regression_1d", "data.train_size=40", "model=two_layer", "init=zeros", f"optimizer.lr={LR}")
"""No bias, and all units off: nothing ever changes, so no score improves. 2 steps a pass."""


def test_constant(train: Train, history: History) -> None:
    assert set(history(train(*WORDS, max_epochs=3))["lr"]) == {LR}


def test_step_lowers_the_rate_after_so_many_passes(train: Train, history: History) -> None:
    words = ("scheduler=step", "scheduler.epochs=3", "scheduler.gamma=0.5")
    columns = history(train(*WORDS, *words, max_epochs=8))
    assert_allclose(columns["lr"], [LR * 0.5 ** (epoch // 3) for epoch in range(1, 9)])


@pytest.mark.parametrize("eta_min", [0.0, 0.001])
def test_cosine(train: Train, history: History, eta_min: float) -> None:
    run = train(*WORDS, "scheduler=cosine", f"scheduler.eta_min={eta_min}", max_epochs=8)
    share = np.arange(1, 9) / 8
    assert_allclose(history(run)["lr"], eta_min + (LR - eta_min) * (1 + np.cos(np.pi * share)) / 2, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["adam", "momentum", "adagrad"])
def test_one_cycle(train: Train, history: History, optimizer: str) -> None:
    """From lr/25 up to lr at step 0.3 · 20 - 1, then down to lr/250000 at step 19, along half cosines."""
    words = ("scheduler=one_cycle", f"optimizer={optimizer}", "data.batch_size=full")
    run = train(*WORDS, *words, max_epochs=20)

    def between(start: float, end: float, share: float) -> float:
        return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

    peak, last = 0.3 * 20 - 1, 20 - 1
    expected = [
        between(LR / 25, LR, step / peak) if step <= peak else between(LR, LR / 250_000, (step - peak) / (last - peak))
        for step in range(1, 20)
    ]
    assert_allclose(history(run)["lr"][:-1], expected)


def test_one_cycle_gives_no_momentum_to_an_optimizer_without(train: Train) -> None:
    """torch's own would turn plain descent into one with momentum 0.95."""
    cycled = train(*WORDS, "scheduler=one_cycle", "optimizer=sgd", "trainer.precision=64-true", max_epochs=4)
    checkpoint = torch.load(cycled.folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["optimizer_states"][0]["param_groups"][0]["momentum"] == 0


@pytest.mark.parametrize("patience", [0, 2])
def test_plateau_lowers_the_rate_when_nothing_improves(train: Train, history: History, patience: int) -> None:
    """The first pass is the best; torch waits for `patience` passes without a better one, and lowers after the next."""
    words = ("scheduler=plateau", f"scheduler.patience={patience}", "scheduler.factor=0.5")
    columns = history(train(*NO_GRADIENT, *words, max_epochs=9))
    assert len(set(columns["val/loss"])) == 1
    assert_allclose(columns["lr"], [LR * 0.5 ** (max(0, epoch - 2) // (patience + 1)) for epoch in range(1, 10)])


@pytest.mark.parametrize("score", ["val/loss", "val/r2"])
def test_plateau_keeps_the_rate_while_the_score_improves(train: Train, history: History, score: str) -> None:
    words = (
        f"score={score}",
        "scheduler=plateau",
        "scheduler.patience=0",
        "data=linear_1d",
        "model=linear",
        "optimizer=gd",
    )
    columns = history(train(*words, "data.batch_size=full", "optimizer.lr=0.01", max_epochs=15))
    assert columns[score] == sorted(columns[score], reverse=score == "val/loss"), "it does not improve"
    assert set(columns["lr"]) == {0.01}


@pytest.mark.parametrize("score", ["val/r2", "val/mse"])
def test_plateau_watches_the_score(train: Train, history: History, score: str) -> None:
    """R² is maximized, and just below 0 here: to stay the same is no improvement."""
    words = ("scheduler=plateau", "scheduler.patience=0", f"score={score}")
    columns = history(train(*NO_GRADIENT, *words, max_epochs=3))
    assert_allclose(columns["lr"], [LR, LR, LR * 0.1])


def test_plateau_makes_intervals_one_pass(train: Train, history: History) -> None:
    words = (*WORDS, "data.batch_size=full")
    assert history(train(*words, "scheduler=plateau", max_epochs=30))["epoch"] == list(range(1, 31))
    assert history(train(*words, "scheduler=cosine", max_epochs=30))["epoch"] == list(range(2, 31, 2))


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "one_cycle", "plateau"])
def test_a_run_of_one_step(train: Train, history: History, name: str) -> None:
    run = train(*WORDS, f"scheduler={name}", max_steps=1)
    assert history(run)["step"] == [1]


@pytest.mark.parametrize(("steps", "pct_start"), [(1, 0.3), (2, 0.3), (2, 0.5), (3, 0.3), (10, 0.1), (4, 0.25)])
def test_one_cycle_of_few_steps(steps: int, pct_start: float) -> None:
    """However short, it takes at least one step at a rate that is worth the name, and none above lr."""
    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr=LR)
    scheduler = schedulers.one_cycle(optimizer, Plan(steps, 1, max_epochs=1), pct_start=pct_start)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert LR / 30 < max(rates) <= LR
