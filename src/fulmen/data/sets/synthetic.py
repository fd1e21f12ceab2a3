"""Data sets that draw their rows: train as a lesson does, validation and test anew by the same rule."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fulmen.data.source import Source, Split, fresh
from fulmen.rules import check_whole


@dataclass(kw_only=True)
class Sized(Source):
    """Rows of each split. Where `val_size` or `test_size` is 0, there is no such split."""

    train_size: int
    val_size: int
    test_size: int

    def __post_init__(self) -> None:
        check_whole(1, train_size=self.train_size)
        check_whole(0, val_size=self.val_size, test_size=self.test_size, seed=self.seed)


Draw = Callable[[np.random.RandomState, int], Split]
"""Draws that many rows."""
SAME_POINTS = "without it every split would hold the same points"
"""Why some data sets need noise."""


class Synthetic(Sized):
    """Rows drawn at will."""

    def splits(self, draw: Draw, train: Split | None = None) -> dict[str, Split]:
        """Train is drawn from `seed` itself, unless the source gives its own; the others are fresh draws."""
        if train is None:
            train = draw(np.random.RandomState(self.seed), self.train_size)
        held_out = {"val": self.val_size, "test": self.test_size}
        return {"train": train} | {name: draw(fresh(self.seed, name), rows) for name, rows in held_out.items() if rows}
