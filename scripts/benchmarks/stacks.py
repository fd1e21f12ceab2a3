"""What training many copies of a network as one stack saves, and what it takes."""

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch

from benchmarks import jax_peer, ours, peers
from benchmarks.goals import COMMAND, STEPS_A_PASS, peak, process
from benchmarks.timing import Clock, Comparison, Cost, Result, report, watching
from fulmen.cli.main import main
from fulmen.config import validate
from fulmen.experiment import stacked
from fulmen.experiment.build import build
from fulmen.experiment.experiment import Experiment, Session
from fulmen.experiment.prepare import prepare
from fulmen.experiment.stacked_records import Records
from fulmen.runs.history import StackedHistory
from fulmen.training.stack.fit import Fit

COPIES, MANY = 64, 1024
STACKED = ("-m", "hydra/launcher=vectorized")
EVEN = ("data=sine_boundary", "optimizer=adam", "data.train_size=1024")
"""The default network, all of whose batches are whole."""
DATA = {
    "`sine_boundary`, 2-10-1": (("data=sine_boundary", "model=shallow"), [1, 4, 16, 64, 256, 1024]),
    "`circles`, 2-20-20-1": (("data=circles", "model=deep"), [1, 4, 16, 64, 256, 1024]),
    "`mnist_5k`, 784-50-10": (
        ("data=mnist_5k", "data.batch_size=64", "model=mlp", "model.hidden=[50]"),
        [1, 4, 16, 64],
    ),
}
"""What the curve is measured on, and for how many copies."""
RECORD = 0.005
"""Seconds of computing that the record of a run may take."""
STEPS = 100
WIDE = (
    "data=gaussian",
    "data.val_size=100",
    "model=mlp",
    "model.hidden=[100,100]",
    f"trainer.max_steps={STEPS}",
    f"trainer.patience={STEPS}",  # makes an interval of each pass, and stops none
)
"""A network whose weights take more memory than what else is kept of a run."""
WIDE_WEIGHTS = (48 + 1) * 100 + (100 + 1) * 100 + (100 + 1) * 10
TENSORS = 3
"""Weights and Adam's two states."""
OF_WEIGHTS, ALIKE = 3.0, 1.1
"""Memory against weights and states, and that of 100 intervals against that of 20, at most."""


class Curve(NamedTuple):
    """The cost of a step of each copy by the number of copies."""

    data: str
    alone: float
    """Seconds of a step of a single run."""
    points: list[tuple[int, float]]
    """Copies, and seconds for each copy of a stack's step."""

    @property
    def best(self) -> tuple[int, float]:
        """The number of copies that is fastest, and how many times faster than single runs."""
        copies, seconds = min(self.points, key=lambda point: point[1])
        return copies, self.alone / seconds


class Stacks(NamedTuple):
    """All that was measured."""

    speed: list[Result]
    """Ours is to be several times faster than the peer."""
    cost: list[Result]
    """Beside the training, of time and of memory."""
    curves: list[Curve]


def stacks(quick: bool) -> Stacks:
    """Everything about stacked sweeps; what is compiled takes seconds more, and `quick` leaves it out."""
    return Stacks(
        [report(each, quick) for each in (*steps(quick), *wholes(quick))],
        [report(each, quick) for each in (*records(quick), *memory(quick))],
        [curve(name, *of, quick) for name, of in DATA.items()],
    )


def steps(quick: bool) -> Iterator[Comparison]:
    """Steps alone: without validation, records, and what precedes the training."""
    copies, passes = (2, 1) if quick else (COPIES, 50)
    what, loader = f"a step of each of {copies} copies", "the notebook's DataLoader loop"
    notebook = partial(_per_step, peers.notebook, *EVEN, passes=passes)
    yield Comparison(what, loader, partial(step_of_a_copy, copies, 4 * passes, *EVEN), notebook, unit="µs")
    if quick:
        return
    mine = partial(step_of_a_copy, copies, 1000, *EVEN, "trainer.compile=true")
    yield Comparison(f"{what}, compiled", loader, mine, notebook, goal=1 / 250, unit="µs")
    if find_spec("jax") is not None:
        jax = partial(_per_step, partial(jax_peer.scan_of_copies, copies), *EVEN, passes=passes, copies=copies)
        yield Comparison(f"{what}, compiled", "JAX, `jit(scan)` of `vmap`", mine, jax, goal=1 / 5, unit="µs")


def _per_step(loop: Callable[..., Cost], *words: str, passes: int, copies: int = 1) -> Cost:
    return loop(*words, f"trainer.max_epochs={passes}").per(passes * STEPS_A_PASS * copies)


def step_of_a_copy(copies: int, passes: int, *words: str) -> Cost:
    """A step of a stack in the second half of its training, divided by its copies, which differ in their seeds."""
    config = ours.composed(*words, f"trainer.max_epochs={passes}")
    first = build(config, validate.check(config))
    return step_of(
        [dataclasses.replace(first, recipe=dataclasses.replace(first.recipe, seed=seed)) for seed in range(copies)]
    )


def step_of(experiments: Sequence[Experiment]) -> Cost:
    """The same for experiments that are at hand."""
    sessions = [Session(folder=Path("none"), threads=1)] * len(experiments)
    fit = stacked.prepare_stack(prepare(experiments[0], 1), experiments, sessions).fit
    torch.set_num_threads(1)
    numbers = [0]
    with watching(fit, "_pack") as packs:
        fit.run(lambda *_: None, lambda: numbers.append(fit.number))
    late = packs.costs[len(packs.costs) // 2 :]
    taken = (numbers[-1] - numbers[-1 - len(late)]) * len(experiments)
    return Cost(sum(cost.amount for cost in late), sum(cost.cpu for cost in late)).per(taken)


def wholes(quick: bool) -> Iterator[Comparison]:
    """Sweeps as processes of their own, from the command to the leaderboard, against loops that record nothing.

    Two of those are measured and multiplied.
    """
    kinds = [(COPIES, 1 / 30, False), (COPIES, 1 / 60, True), (MANY, 1 / 100, True)]
    length = 64 if quick else 3200
    for copies, goal, is_compiled in [(2, 1 / 30, False)] if quick else kinds:
        compiles = f"trainer.compile={is_compiled}".lower()
        words = (*ours.COMMON, f"seed=range({copies})", f"trainer.max_steps={length}", compiles)
        many = f"{copies:,} runs of {length:,} steps, a whole process{', compiled' if is_compiled else ''}"
        yield Comparison(
            many,
            "as many plain notebook loops",
            partial(_anew, *COMMAND, *STACKED, *words),
            partial(_loops, copies, f"trainer.max_steps={length}"),
            goal=None if quick else goal,
            pairs=2 if copies == MANY else 3,
        )


def _anew(*command: str) -> Cost:
    """A process that finds nothing compiled earlier."""
    with TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        try:
            return process(*command)
        finally:
            del os.environ["TORCHINDUCTOR_CACHE_DIR"]


def _loops(count: int, *words: str) -> Cost:
    one, other = (peers.notebook(*words, f"seed={seed}") for seed in range(2))
    return Cost(one.amount + other.amount, one.cpu + other.cpu).per(2).times(count)


def records(quick: bool) -> Iterator[Comparison]:
    """Seconds of computing for the record of a run, and for all that a sweep does but train its copies."""
    copies = 3 if quick else MANY
    measured = functools.cache(partial(_sweep, copies))
    for what, goal in (("the record", float("inf")), ("all but the training", None)):
        yield Comparison(
            f"{what} of a run, of {copies:,}",
            "its training",
            partial(lambda what: measured()[what], what),
            lambda: measured()["training"],
            goal=None if quick else goal,
            limit=None if quick or goal is None else RECORD,
            unit="ms",
            pairs=1,
        )


def _sweep(copies: int) -> dict[str, Cost]:
    """Seconds of computing a run: of its record, of what is not training, and of its training."""
    words = (*STACKED, *ours.COMMON, f"seed=range({copies})", "trainer.max_steps=640")
    with (
        TemporaryDirectory() as folder,
        chdir(folder),
        ours.unseen(),
        watching(Fit, "run") as fits,
        watching(StackedHistory, "add") as rows,
        watching(stacked._Saver, "__call__") as saves,
        watching(Records, "open") as opened,
        watching(stacked, "_publish") as published,
    ):
        clock = Clock()
        assert main(words) == 0
        whole = clock.read().cpu
    during = rows.total.cpu + saves.total.cpu
    training = fits.total.cpu - during
    seconds = {
        "the record": during + opened.total.cpu + published.total.cpu,
        "all but the training": whole - training,
        "training": training,
    }
    return {what: Cost(cpu, cpu).per(copies) for what, cpu in seconds.items()}


def memory(quick: bool) -> Iterator[Comparison]:
    """The largest memory of a process beyond that of two copies."""
    if sys.platform == "win32":  # where a process does not know its peak
        return
    copies = 3 if quick else MANY
    size = copies * WIDE_WEIGHTS * TENSORS * torch.float32.itemsize

    @functools.cache
    def few() -> int:
        return 0 if quick else _peak(2, 20)  # a process imports for seconds

    @functools.cache
    def beyond(intervals: int) -> Cost:
        return Cost(_peak(copies, intervals) - few(), float("nan"))

    what = f"{copies:,} copies of {WIDE_WEIGHTS:,} weights beyond 2"
    yield Comparison(
        f"{what}, 20 intervals",
        "weights and Adam's states",
        lambda: beyond(20),
        lambda: Cost(size, float("nan")),
        goal=None if quick else OF_WEIGHTS,
        unit="MB",
        pairs=1,
    )
    if not quick:
        peer = "20 intervals"
        yield Comparison(
            f"{what}, 100 intervals", peer, lambda: beyond(100), lambda: beyond(20), goal=ALIKE, unit="MB", pairs=1
        )


def _peak(copies: int, intervals: int) -> int:
    rows = STEPS // intervals * 32
    return peak(*STACKED, *WIDE, f"seed=range({copies})", f"data.train_size={rows}")


def curve(name: str, words: tuple[str, ...], counts: Sequence[int], quick: bool) -> Curve:
    """Steps alone of stacks of ever more copies, not compiled, and of single runs."""
    passes = 1 if quick else 10
    steps = (f"trainer.max_steps={128 if quick else 4000}", "trainer.points=10")
    alone = ours.late_steps(*words, *steps).amount
    points = [(copies, step_of_a_copy(copies, passes, *words).amount) for copies in ([2] if quick else counts)]
    print(f"{name}: {', '.join(f'{alone / seconds:.3g}' for _, seconds in points)} times", file=sys.stderr, flush=True)
    return Curve(name, alone, points)
