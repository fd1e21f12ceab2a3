"""Which columns matter: the drop in score when the values of one are permuted (Breiman: Random Forests, 2001).

The features of one column, as of a text with a feature for each value, are permuted together. Columns that say the same
stand in for each other, and so may all look unimportant.

Shapes: N rows, F features, R repeats, C columns.
"""

from typing import Final, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from fulmen.figures.context import RunContext, Values
from fulmen.figures.plots.permutation import permutation

ROWS: Final = 1000
"""Rows at most, evenly spaced."""
REPEATS: Final = 10
MOST: Final = 100
"""Columns at most: each is predicted `REPEATS` times."""


class Importance(NamedTuple):
    """Importance of each column."""

    mean: Values
    """[C], over repeats."""
    std: Values
    """[C]."""


def importance(context: RunContext) -> Figure | None:
    """Draws the drop in accuracy or R² on validation rows (other held-out ones if there are none) for each column."""
    columns = context.feature_groups
    if len(context.spec.in_shape) != 1 or not 2 <= len(columns) <= MOST:
        return None
    split = "val" if "val" in context.splits else context.held_out
    found = find_importance(context, split)
    if found is None:
        return None
    score = "accuracy" if context.classifies else "R²"
    rows = min(ROWS, context.splits[split].rows)
    title = f"Permutation importance, {split} ({rows:,} rows, {REPEATS} repeats)"
    return permutation([*columns], found.mean, found.std, f"drop in {score}", title)


def find_importance(context: RunContext, split: str) -> Importance | None:
    """Returns the importance of each column of `context.feature_groups`; None if a target is constant, without R²."""
    batches = list(context.sample(split, ROWS))
    x, y = torch.cat([batch.x.cpu() for batch in batches]), context.targets(torch.cat([b.y.cpu() for b in batches]))
    if not context.classifies and not np.ptp(y, axis=0).all():
        return None
    random = np.random.RandomState(0)
    (whole,) = scores(context, x[None], y)
    drops = []
    for features in context.feature_groups.values():
        permuted = x.repeat(REPEATS, 1, 1)  # [R, N, F]
        for repeat in permuted:
            order = torch.from_numpy(random.permutation(len(x)))
            repeat[:, features] = x[order][:, features]
        drops.append(whole - scores(context, permuted, y))
    return Importance(np.mean(drops, axis=1), np.std(drops, axis=1))


def scores(context: RunContext, x: Tensor, y: NDArray[np.generic]) -> Values:
    """Returns the accuracy, or R² as the mean over targets, of each repeat, [R].

    Args:
        context: the network.
        x: features as it receives them, [R, N, F].
        y: targets, in the form of `context.targets`.
    """
    if context.classifies:
        predicted = context.probabilities(x.flatten(0, 1)).argmax(1).reshape(len(x), -1)
        right: Values = (predicted == y).mean(1)
        return right
    predicted = context.targets(context.predictor.evaluation.scores(x.flatten(0, 1))).reshape(len(x), *y.shape)
    errors = np.square(predicted - y).sum(1)  # [R, T]
    r2: Values = (1 - errors / np.square(y - y.mean(0)).sum(0)).mean(1)
    return r2
