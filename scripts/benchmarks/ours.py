"""What a run costs, with everything on that a user has."""

import csv
import functools
import io
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

from lightning.pytorch import Trainer
from omegaconf import DictConfig

import fulmen
from benchmarks.timing import Clock, Cost, watching

OWN = Path(__file__).parent / "own"
ALLOWED = "allow_targets=[noise,first_step]"
"""Modules of that folder."""
COMMON = ("accelerator=cpu", "trainer.threads=1", "figures=none")
"""One thread against one thread; figures come after the training, and are counted by themselves."""


class Terminal(io.StringIO):
    """A stream that has a progress bar drawn to it."""

    def isatty(self) -> bool:
        return True


@contextmanager
def unseen() -> Iterator[None]:
    """All that a run prints is made, and goes nowhere."""
    with redirect_stdout(io.StringIO()), redirect_stderr(Terminal()):
        yield


@functools.cache
def composed(*words: str) -> DictConfig:
    """The configuration; composing is measured elsewhere."""
    return fulmen.compose([ALLOWED, *COMMON, *words], OWN)


def run(words: tuple[str, ...], measure: Callable[[Callable[[], object], Path], Cost]) -> Cost:
    """Gives `measure` the training and its folder."""
    config = composed(*words).copy()
    with TemporaryDirectory() as folder, unseen():
        return measure(lambda: fulmen.train(config, Path(folder, "run")), Path(folder, "run"))


def whole(*words: str) -> Cost:
    """From a configuration to the final figures."""

    def measure(train: Callable[[], object], _folder: Path) -> Cost:
        clock = Clock()
        train()
        return clock.read()

    return run(words, measure)


def fit(*words: str) -> Cost:
    """The training with its record, from the first checkpoint to the last."""

    def measure(train: Callable[[], object], _folder: Path) -> Cost:
        with watching(Trainer, "fit") as watch:
            train()
        return watch.total

    return run(words, measure)


def late_steps(*words: str) -> Cost:
    """A step in the second half of a run, by its history: what a first step prepares, as compiling, is over then."""

    def measure(train: Callable[[], object], folder: Path) -> Cost:
        train()
        with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
            rows = [(int(row["step"]), float(row["seconds"])) for row in csv.DictReader(file)]
        late = pairwise(rows[len(rows) // 2 :])
        return Cost(statistics.median((t2 - t1) / (step2 - step1) for (step1, t1), (step2, t2) in late), float("nan"))

    return run(words, measure)
