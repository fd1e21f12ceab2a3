"""Data sets drawn at random: train as in the lesson, validation and test by fresh draws from the same distribution."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fulmen.data.source import Source, Split, fresh
from fulmen.rules import Rule, whole

MOST_ROWS = 10_000_000
"""Maximum number of rows per split. Rows are drawn into memory, and a checkpoint from the web may ask for any number;
of the widest set, `gaussian`, these take 4.6 GB."""


@dataclass(kw_only=True)
class Sized(Source):
    """A data set with a given number of rows per split; with 0 rows there is no such split."""

    train_size: int
    val_size: int
    test_size: int

    rules: ClassVar[Mapping[str, Rule]] = {
        "train_size": whole(1, MOST_ROWS),
        "val_size": whole(0, MOST_ROWS),
        "test_size": whole(0, MOST_ROWS),
        "seed": whole(0, 2**32 - 1),  # what NumPy's generators take
    }


class Synthetic(Sized):
    """A data set whose rows are drawn at random, as many as needed."""

    def load(self) -> dict[str, Split]:
        return self.splits(self.draw)

    def draw(self, random: np.random.RandomState, rows: int) -> Split:
        """Draws a number of rows; needed unless a subclass has a `load` of its own."""
        raise NotImplementedError

    def splits(
        self, draw: Callable[[np.random.RandomState, int], Split], train: Split | None = None
    ) -> dict[str, Split]:
        """Draws all splits: train from `seed` itself unless given, the others independently."""
        if train is None:
            train = draw(np.random.RandomState(self.seed), self.train_size)
        held_out = {"val": self.val_size, "test": self.test_size}
        return {"train": train} | {name: draw(fresh(self.seed, name), rows) for name, rows in held_out.items() if rows}
