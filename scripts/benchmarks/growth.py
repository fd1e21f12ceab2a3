"""How cost grows: with rows, features, width, depth, batch size and number of passes, beside that of a plain loop."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from benchmarks import ours, peers
from benchmarks.timing import Comparison, Cost, Result, compare

STEPS = 1000
ROWS, BATCH = 1024, 32
BASE = ("data=noise", f"data.train_size={ROWS}", "model=mlp", "model.hidden=[32]", "optimizer=adam")


class Curve(NamedTuple):
    """Cost by one size."""

    size: str
    what: str
    unit: str
    points: list[tuple[int, Result]]


def curves(quick: bool) -> Iterator[Curve]:
    """One for each size."""
    sizes: dict[str, tuple[list[int], Callable[[int], tuple[str, ...]]]] = {
        "features": ([1, 10, 100, 1000, 10_000], lambda n: (f"data.features={n}",)),
        "width": ([1, 10, 100, 1000], lambda n: (f"model.hidden=[{n}]",)),
        "depth": ([1, 2, 4, 8, 16], lambda n: (f"model.hidden={[32] * n}".replace(" ", ""),)),
        "batch size": ([1, 4, 16, 64, 256, 1024], lambda n: (f"data.batch_size={n}",)),
    }
    for size, (values, words) in sizes.items():
        values = values[2:3] if quick else values
        yield Curve(
            size, "a step", "µs", [(n, _a_step(n if size == "batch size" else BATCH, words(n), quick)) for n in values]
        )
    passes = [1] if quick else [1, 10, 100, 300]
    yield Curve("passes", "a fit", "s", [(n, _fit(f"trainer.max_epochs={n}", quick)) for n in passes])
    rows = [1000] if quick else [10**power for power in range(3, 8)]
    yield Curve("rows", "a whole run of 100 steps", "s", [(n, _whole(n, quick)) for n in rows])


def _a_step(batch: int, words: tuple[str, ...], quick: bool) -> Result:
    passes = math.ceil((1 if quick else STEPS) / (ROWS // batch))
    all_words = (*BASE, f"data.batch_size={batch}", f"trainer.max_epochs={passes}", *words)
    return _pairs(ours.fit, peers.plain, all_words, count=passes * (ROWS // batch), unit="µs", pairs=1 if quick else 2)


def _fit(words: str, quick: bool) -> Result:
    return _pairs(ours.fit, peers.plain, (*BASE, words), count=1, unit="s", pairs=1 if quick else 2)


def _whole(rows: int, quick: bool) -> Result:
    """From a configuration to the figures of every split; a pass is 100 steps at most."""
    words = ("data=sine_boundary", f"data.train_size={rows}", f"data.batch_size={rows // 100}", "trainer.max_epochs=1")
    return _pairs(ours.whole, peers.plain_whole, words, count=1, unit="s", pairs=1 if quick or rows >= 10**6 else 2)


def _pairs(
    mine: Callable[..., Cost], other: Callable[..., Cost], words: tuple[str, ...], *, count: int, unit: str, pairs: int
) -> Result:
    ours_, theirs = partial(mine, *words), partial(other, *words)
    return compare(Comparison("", "plain loop", ours_, theirs, count=count, unit=unit, pairs=pairs))
