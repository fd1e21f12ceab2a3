"""Data sets that draw their rows: train as a lesson does, validation and test anew by the same rule."""

from collections.abc import Callable

import numpy as np

from fulmen.data.sized import Sized
from fulmen.data.source import Split, fresh

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
