"""What a run of a sweep costs beside its training."""

import functools
import math
from collections.abc import Iterator
from contextlib import chdir
from tempfile import TemporaryDirectory

from lightning.pytorch import Trainer

from benchmarks.ours import COMMON, unseen
from benchmarks.timing import Clock, Comparison, Cost, watching
from fulmen.cli.main import main

RUNS = 200
WORDS = ("data=circles", "trainer.max_epochs=2", *(word for word in COMMON if not word.startswith("figures")))
LIMIT = 0.150
"""Seconds a run."""


def short_runs(quick: bool) -> Iterator[Comparison]:
    """Many runs of a moment each, one after the other in one process."""
    runs = 3 if quick else RUNS
    measured = functools.cache(functools.partial(_sweep, runs))
    yield Comparison(
        f"a run of {runs} short ones in a sweep, beside its training",
        "its training",
        lambda: measured()[0],
        lambda: measured()[1],
        goal=math.inf,
        limit=LIMIT,
        pairs=1,
    )


def _sweep(runs: int) -> tuple[Cost, Cost]:
    """All that a sweep does but train, a run; and the training."""
    with TemporaryDirectory() as folder, chdir(folder), unseen(), watching(Trainer, "fit") as fits:
        clock = Clock()
        assert main(["-m", *WORDS, f"seed=range({runs})"]) == 0
        whole = clock.read()
    alone = fits.total
    return Cost(whole.amount - alone.amount, whole.cpu - alone.cpu).per(runs), alone.per(runs)
