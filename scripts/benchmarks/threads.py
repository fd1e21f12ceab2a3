"""Whether `trainer.threads=auto` chooses well: a step with one thread and with all, at sizes small and large."""

import math
import os
from collections.abc import Callable, Iterator
from typing import NamedTuple
from unittest import mock

import torch
from torch import nn

from benchmarks.ours import composed
from benchmarks.timing import Clock
from fulmen.config.allowlist import make
from fulmen.models.lenet import LeNet
from fulmen.models.mlp import MLP
from fulmen.training import trainer
from fulmen.training.trainer import find_threads

ALL = os.cpu_count() or 1
"""Whatever the environment says: the choice is between one and these."""
SECONDS = 0.15
"""For which steps are repeated in one measurement."""
ROUNDS = 8
SIZES: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [
    ((2,), (10,), 32),
    ((2,), (10,), 1000),
    ((2,), (10,), 10_000),
    ((784,), (50,), 64),
    ((100,), (100, 100), 128),
    ((784,), (50,), 256),
    ((784,), (50,), 1000),
    ((784,), (512,), 32),
    ((784,), (512,), 64),
    ((784,), (512,), 512),
    ((1000,), (1000, 1000), 256),
]
"""Shape of a row, widths of hidden layers, rows in a step."""
CLASSES = 10
IMAGES = [1, 16, 32, 64]
"""Rows in a step of LeNet."""


class Choice(NamedTuple):
    """One size."""

    net: str
    rows: int
    one: float
    """Seconds of the fastest step with one thread: what takes longer was disturbed."""
    all: float
    """And with all."""
    threads: int
    """Those that `auto` takes,"""
    auto: float
    """and with them."""

    @property
    def ratio(self) -> float:
        """The choice against the better of one and all."""
        return self.auto / min(self.one, self.all)


def choices(quick: bool) -> Iterator[Choice]:
    """A few sizes around which the choice changes, and those far from there."""
    for in_shape, hidden, rows in SIZES[:1] if quick else SIZES:
        net = MLP(in_shape, CLASSES, hidden=hidden)
        yield _choice("-".join(map(str, (*in_shape, *hidden, CLASSES))), net, in_shape, rows, quick)
    for rows in IMAGES[:1] if quick else IMAGES:
        yield _choice("LeNet, 28 x 28", LeNet((1, 28, 28), CLASSES), (1, 28, 28), rows, quick)


def _choice(name: str, net: nn.Module, in_shape: tuple[int, ...], rows: int, quick: bool) -> Choice:
    options = make(composed("trainer.threads=auto").trainer)
    with mock.patch.object(trainer, "ALL_THREADS", ALL):
        chosen = find_threads(options, net, in_shape, rows, CLASSES)
    step, before = _stepper(net, in_shape, rows), torch.get_num_threads()
    found: dict[int, list[float]] = {1: [], ALL: [], chosen: []}
    for _ in range(1 if quick else ROUNDS):
        for threads, seconds in found.items():
            torch.set_num_threads(threads)
            seconds.append(_seconds(step, 0.01 if quick else SECONDS))
    torch.set_num_threads(before)
    return Choice(name, rows, min(found[1]), min(found[ALL]), chosen, min(found[chosen]))


def _stepper(net: nn.Module, in_shape: tuple[int, ...], rows: int) -> Callable[[], object]:
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    x, y = torch.randn(rows, *in_shape), torch.randint(CLASSES, (rows,))

    def step() -> None:
        optimizer.zero_grad()
        loss: torch.Tensor = nn.functional.cross_entropy(net(x), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def _seconds(step: Callable[[], object], least: float) -> float:
    """The fastest of so many steps that they take `least` seconds; the first wakes the threads."""
    step()
    clock, fastest = Clock(), math.inf
    while math.isinf(fastest) or clock.read().amount < least:
        each = Clock()
        step()
        fastest = min(fastest, each.read().amount)
    return fastest
