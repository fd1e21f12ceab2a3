"""Packs and intervals change nothing: a run's weights are, to the last bit, those of a plain loop in torch."""

import functools
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from numpy.testing import assert_allclose
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, StepLR

import fulmen
from fulmen.data.tensors import Batch
from fulmen.experiment.load import Run
from fulmen.training import packs as module
from fulmen.training.packs import Packs
from fulmen.training.plan import Plan

Train = Callable[..., Run]
History = Callable[[Run], dict[str, list[float]]]

ROWS, BATCH, PASSES, SEED = 70, 8, 10, 3
"""9 steps a pass, of which the last has 6 rows; 90 steps in all."""


@dataclass(frozen=True)
class Case:
    """Words for a run, and the same said to the plain loop."""

    words: tuple[str, ...]
    optimizer: Callable[[list[nn.Parameter]], Optimizer]
    scheduler: Callable[[Optimizer], LRScheduler] | None = None
    batch: int = BATCH
    steps: int = 90
    clip: float | None = None
    l1: float = 0.0
    dropout: float = 0.0
    dtype: torch.dtype = torch.float32
    all_words: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        batch = f"data.batch_size={'full' if self.batch == ROWS else self.batch}"
        common = (f"seed={SEED}", "weights=last", "model=deep", f"data.train_size={ROWS}", batch)
        object.__setattr__(self, "all_words", (*common, f"trainer.max_epochs={PASSES}", *self.words))


def adam(parameters: list[nn.Parameter]) -> Optimizer:
    return Adam(parameters, lr=0.01, fused=True)


def adamw(parameters: list[nn.Parameter]) -> Optimizer:
    return AdamW(parameters, lr=0.01, weight_decay=0.01, fused=True)


def sgd(parameters: list[nn.Parameter]) -> Optimizer:
    return SGD(parameters, lr=0.1, fused=True)


def momentum(parameters: list[nn.Parameter]) -> Optimizer:
    return SGD(parameters, lr=0.05, momentum=0.9, fused=True)


def half_cosine(optimizer: Optimizer, steps: int) -> LRScheduler:
    return LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)


def lbfgs(parameters: list[nn.Parameter]) -> Optimizer:
    return torch.optim.LBFGS(parameters, lr=1.0, max_iter=20, history_size=10, line_search_fn="strong_wolfe")


CASES = {
    "adam": Case(("optimizer=adam",), adam),
    "sgd": Case(("optimizer=sgd",), sgd),
    "adamw": Case(("optimizer=adamw",), adamw),
    "full_batch": Case(("optimizer=momentum",), momentum, batch=ROWS, steps=10),
    "lbfgs": Case(("optimizer=lbfgs",), lbfgs, batch=ROWS, steps=10),
    "dropout": Case(("optimizer=adam", "model.dropout=0.3"), adam, dropout=0.3),
    "one_cycle": Case(
        ("optimizer=adam", "scheduler=one_cycle"), adam, lambda o: OneCycleLR(o, 0.01, 90, pct_start=0.3)
    ),
    "step": Case(("optimizer=adam", "scheduler=step", "scheduler.epochs=4"), adam, lambda o: StepLR(o, 36, 0.1)),
    "clip and l1": Case(
        ("optimizer=sgd", "trainer.gradient_clip=0.05", "penalty=l1", "penalty.weight=0.01"), sgd, clip=0.05, l1=0.01
    ),
    "float64": Case(("optimizer=adam", "trainer.precision=64-true"), adam, dtype=torch.float64),
    "all": Case(
        (
            *("optimizer=momentum", "model.dropout=0.2", "scheduler=cosine", "trainer.gradient_clip=0.05"),
            *("penalty=l1", "penalty.weight=0.01", "trainer.max_steps=77", "trainer.precision=64-true"),
        ),
        momentum,
        lambda o: half_cosine(o, 77),
        steps=77,
        clip=0.05,
        l1=0.01,
        dropout=0.2,
        dtype=torch.float64,
    ),
}
DIVISIONS: list[tuple[str, int | str, int]] = [(name, 7, 100) for name in CASES]
DIVISIONS += [(name, "auto", 2) for name in ("lbfgs", "dropout", "step", "all")]
DIVISIONS += [("all", 1, 100)]
"""Batches in a pack, and points: 100 make intervals of one pass here, 2 of five passes."""


@pytest.mark.parametrize(("name", "pack", "points"), DIVISIONS)
def test_weights_are_those_of_a_plain_loop(train: Train, name: str, pack: int | str, points: int) -> None:
    run = train(*CASES[name].all_words, pack=pack, points=points)
    for found, expected in zip(run.model.parameters(), plain_loop(CASES[name]), strict=True):
        assert torch.equal(found, expected)


@functools.cache
def plain_loop(case: Case) -> list[Tensor]:
    """The weights after `case`, trained by the loop that every tutorial shows."""
    x, y = training_rows(case)
    net = network(case)
    parameters = list(net.parameters())
    optimizer = case.optimizer(parameters)
    scheduler = case.scheduler(optimizer) if case.scheduler else None
    for step, rows in enumerate(batches(case.batch, case.steps)):

        def closure(step: int = step, rows: Tensor = rows) -> Tensor:
            optimizer.zero_grad()
            for layer in net:
                if isinstance(layer, HashedDropout):
                    layer.step = step
            loss = F.binary_cross_entropy_with_logits(net(x[rows]), y[rows])
            if case.l1:
                loss = loss + case.l1 * sum(p.abs().sum() for p in parameters)
            torch.autograd.backward(loss)
            if case.clip is not None:
                nn.utils.clip_grad_norm_(parameters, case.clip)
            return loss

        optimizer.step(closure)  # type: ignore[arg-type]
        if scheduler is not None:
            scheduler.step()
    return [parameter.detach() for parameter in parameters]


def training_rows(case: Case) -> tuple[Tensor, Tensor]:
    words = [word for word in case.all_words if word.startswith("data.")]
    split = instantiate(fulmen.compose(words).data).load()["train"]
    return torch.tensor(split.x, dtype=case.dtype), torch.tensor(split.y, dtype=case.dtype).unsqueeze(1)


def network(case: Case) -> nn.Sequential:
    """`model=deep`: 2 features, twice 20 tanh, 1 logit."""
    torch.manual_seed(SEED)
    layers: list[nn.Module] = []
    for place, (width, next_width) in enumerate(pairwise([2, 20, 20])):
        layers += [nn.Linear(width, next_width, dtype=case.dtype), nn.Tanh()]
        layers += [HashedDropout(case.dropout, place)] if case.dropout else []
    return nn.Sequential(*layers, nn.Linear(20, 1, dtype=case.dtype))


def batches(batch: int, steps: int) -> Iterator[Tensor]:
    """Rows of each step: a permutation for each pass, drawn from (seed, pass), cut into batches."""
    if batch == ROWS:
        yield from [torch.arange(ROWS)] * steps
        return
    orders = (
        torch.randperm(ROWS, generator=torch.Generator().manual_seed(SEED * 1_000_003 + n)) for n in range(PASSES)
    )
    cut = [rows for order in orders for rows in torch.split(order, batch)]
    yield from cut[:steps]


class HashedDropout(nn.Module):
    """Dropout by SplitMix64 of (seed, place of the layer, step, position), with NumPy's unsigned numbers."""

    def __init__(self, p: float, place: int) -> None:
        super().__init__()
        self.p, self.step = p, 0
        self.key = splitmix(np.array([SEED], np.uint64) * GAMMA + np.uint64(place))

    def forward(self, x: Tensor) -> Tensor:
        position = np.arange(x.numel(), dtype=np.uint64).reshape(x.shape)
        key = splitmix(self.key + np.array([self.step], np.uint64) * GAMMA)
        kept = (splitmix(key + position * GAMMA) >> np.uint64(33)) >= np.uint64(int(self.p * 2**31))
        return x * torch.from_numpy(kept) / (1 - self.p)


GAMMA = np.uint64(0x9E3779B97F4A7C15)


def splitmix(z: Any) -> Any:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@pytest.mark.parametrize(
    ("pack", "points", "max_steps", "steps"),
    [
        (1, 100, None, [9, 18, 27, 36, 45, 54, 63, 72, 81, 90]),
        ("auto", 2, None, [45, 90]),
        (32, 100, 31, [9, 18, 27, 31]),
        (32, 2, 50, [27, 50]),  # 50 steps touch 6 passes: 3 and the rest
        (1, 2, 50, [27, 50]),
        ("auto", 1, 1, [1]),
    ],
)
def test_history_and_status_count_steps(
    train: Train, history: History, pack: int | str, points: int, max_steps: int | None, steps: list[int]
) -> None:
    run = train(*CASES["sgd"].all_words, pack=pack, points=points, max_steps=max_steps)
    columns = history(run)
    assert columns["step"] == steps
    assert_allclose(columns["epoch"], np.array(steps) / 9)
    assert json.loads((run.folder / "status.json").read_text(encoding="utf-8"))["steps"] == steps[-1]


def test_history_does_not_depend_on_packs(train: Train, history: History) -> None:
    single, packed = (history(train(*CASES["dropout"].all_words, pack=pack)) for pack in (1, 32))
    for name in single.keys() - {"seconds"}:
        assert single[name] == packed[name], name


@pytest.mark.parametrize("loss", ["auto", "sse"])
@pytest.mark.parametrize("rows", [66, 70])  # the last step has 18 rows: 3 batches of 8, 8 and 2; or 22: of 8, 8 and 6
def test_accumulated_batches_are_one_large_batch(train: Train, loss: str, rows: int) -> None:
    words = ["optimizer=adam", f"loss={loss}", "trainer.precision=64-true", f"data.train_size={rows}"]
    words += ["penalty=l2", "optimizer.lr=0.01", "weights=last", "trainer.max_epochs=5", "model=deep"]
    accumulated = train(*words, "data.batch_size=8", accumulate=3)
    large = train(*words, "data.batch_size=24")
    for found, expected in zip(accumulated.model.parameters(), large.model.parameters(), strict=True):
        assert_allclose(found.detach(), expected.detach(), rtol=0, atol=1e-12)


def test_accumulation_keeps_packs_equal(train: Train) -> None:
    words = CASES["dropout"].all_words
    single, packed = (train(*words, accumulate=3, pack=pack).model.state_dict() for pack in (1, 7))
    assert all(torch.equal(single[name], packed[name]) for name in single)


def small_packs(length: int | None, *, start: int = 0, max_steps: int | None = None) -> Packs:
    """Of rows whose single feature is their number."""
    rows = torch.arange(ROWS, dtype=torch.float32).unsqueeze(1)
    plan = Plan(ROWS, BATCH, max_epochs=PASSES, max_steps=max_steps, points=2)
    return Packs(Batch(rows, -rows), plan, seed=SEED, length=length, start=lambda: start, share=slice(None))


@pytest.mark.parametrize("length", [1, 7, 32, 1000, None])
@pytest.mark.parametrize("start", [0, 13, 44])
def test_packs_hold_the_batches_of_an_interval_in_order(length: int | None, start: int) -> None:
    packs = list(small_packs(length, start=start))
    flat = [batch for pack in packs for batch in pack.batches]
    expected = list(batches(BATCH, 45))[start:]
    assert len(flat) == len(expected)
    for batch, rows in zip(flat, expected, strict=True):
        assert torch.equal(batch.x.flatten().long(), rows)
        assert torch.equal(batch.y, -batch.x)
    if length is not None:
        assert all(len(pack.batches) == length for pack in packs[:-1])


def test_a_pass_has_every_row_once_and_the_next_another_order() -> None:
    packs = small_packs(9)
    orders = [torch.cat([batch.x for batch in packs.pack(9 * epoch, 9).batches]).flatten() for epoch in (0, 1)]
    assert all(torch.equal(order.sort().values, torch.arange(ROWS, dtype=torch.float32)) for order in orders)
    assert not torch.equal(orders[0], orders[1])


def test_packs_end_with_the_run() -> None:
    assert sum(len(pack.batches) for pack in small_packs(32, start=27, max_steps=50)) == 23


@pytest.mark.parametrize(("seconds", "before", "after"), [(1.0, 8, 4), (1.0, 1, 1), (0.0, 8, 16), (0.05, 8, 8)])
def test_packs_choose_their_length_by_the_clock(seconds: float, before: int, after: int) -> None:
    packs = small_packs(None)
    packs.length = before
    packs.adapt(seconds)
    assert packs.length == after


def test_packs_stay_small_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 16 * BATCH * 16)  # of 8 rows: 4 bytes each of x and y, 8 of its number
    packs = small_packs(None)
    for _ in range(9):
        packs.adapt(0.0)
    assert packs.length == 16
