"""How a run is divided: steps into passes over the data, passes into intervals. A pure function of the configuration.

An *epoch* is one pass over the data, as everywhere. An *interval* is what Lightning takes for an epoch: one pass where
passes are long, several where they are short. Validation, the history's rows and the best checkpoint come once an
interval. Were that left to the clock, a resumed run would have another history than an undisturbed one.
"""

import math
from dataclasses import dataclass
from typing import Literal

FEWEST_POINTS = 20
STEPS_PER_POINT = 80
"""A short run has `FEWEST_POINTS` intervals; a longer one gets more, this many steps each, so that they cost little."""


@dataclass(frozen=True)
class Plan:
    """Lengths of a run, in rows, steps of the optimizer and passes.

    Args:
        rows: training rows (on one device).
        batch_rows: rows in one step of the optimizer.
        max_epochs: passes over the data; None for no such limit.
        max_steps: steps; None for no such limit. One of the two is given.
        points: intervals wanted at most.
        every_pass: make each interval one pass (early stopping and `plateau` count passes).
        mode: whether the score is to be minimized or maximized.
    """

    rows: int
    batch_rows: int
    max_epochs: int | None
    max_steps: int | None = None
    points: int = 100
    every_pass: bool = False
    mode: Literal["min", "max"] = "min"

    @property
    def steps_per_epoch(self) -> int:
        """The last batch of a pass may be smaller."""
        return math.ceil(self.rows / self.batch_rows)

    @property
    def total_steps(self) -> int:
        limits = [self.max_steps, None if self.max_epochs is None else self.max_epochs * self.steps_per_epoch]
        return min(limit for limit in limits if limit is not None)

    @property
    def epochs(self) -> int:
        """The last pass may be cut short."""
        return math.ceil(self.total_steps / self.steps_per_epoch)

    @property
    def steps_per_interval(self) -> int:
        """A whole number of passes."""
        points = min(self.points, max(FEWEST_POINTS, self.total_steps // STEPS_PER_POINT))
        return self.steps_per_epoch * (1 if self.every_pass else math.ceil(self.epochs / points))

    def interval_end(self, step: int) -> int:
        """Returns the step at which the interval that holds `step` ends, or the run."""
        length = self.steps_per_interval
        return min((step // length + 1) * length, self.total_steps)
