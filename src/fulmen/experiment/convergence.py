"""Whether a run was still improving when it ended, or overfitted long before, judged by the scores in its history.

Improving: the last fifth of the scores is compared with the fifth before. Means, because single scores of small batches
go up and down; and the gain is set against all that the run has gained, because even a run that has converged gains a
little.

Overfitting: the lowest mean of a fifth of the scores is compared with the last fifth's.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

SHARE = 0.02
"""Of what the score has gained in the whole run: what the last fifth must have added to it."""
REDUCTION = 0.01
"""How much smaller the error must be than before, as a share of it: the loss of noise alone falls by less."""
RISE = 0.2
"""How much the validation loss must have risen from its lowest value on, as a share of it, where a network overfits."""
NOISE = 5
"""How many standard errors the last fifth must be above the lowest: the lowest of many means is low by chance."""
FEWEST_TO_RISE = 10
"""Scores; from fewer, a rise cannot be told from noise."""
FEWEST = 3
"""Scores; from fewer, nothing can be told."""


def is_improving(scores: Sequence[float], mode: Literal["min", "max"]) -> bool:
    """Returns whether more training would probably have improved the score.

    Args:
        scores: of all intervals, in order.
        mode: whether they are minimized or maximized. Those that are maximized are at most 1, losses and errors at
            least 0.
    """
    if len(scores) < FEWEST:
        return False
    errors = 1 - np.array(scores) if mode == "max" else np.array(scores)
    fifth = max(1, len(errors) // 5)
    before, last = errors[-2 * fifth : -fifth], errors[-fifth:]
    gain = before.mean() - last.mean()
    enough = max(SHARE * (errors[0] - errors.min()), REDUCTION * abs(before.mean()))
    return bool(gain > enough and last.min() == errors.min())


def overfits_from(errors: Sequence[float], losses: Sequence[float]) -> int | None:
    """Returns where a validation error was lowest, if that was in the first half and it has clearly risen since.

    Args:
        errors: of all intervals, in order; at least 0.
        losses: the training losses of the same intervals. Where they rise as well, training is unstable.
    """
    if len(errors) < FEWEST_TO_RISE:
        return None
    values, fifth = np.array(errors), len(errors) // 5
    best, means = int(values.argmin()), np.convolve(values, np.full(fifth, 1 / fifth), mode="valid")
    # the median of the differences between neighbours is noise alone: few of them are steps of the course itself
    deviation = np.median(np.abs(np.diff(values))) / 0.954  # of normal noise: sqrt(2) times 0.6745
    rise = means[-1] - means.min()
    is_clear = rise > NOISE * deviation * (2 / fifth) ** 0.5 and rise > RISE * means.min()
    is_clear = is_clear and best < len(values) / 2 and values[-1] > (1 + RISE) * values[best]
    return best if is_clear and losses[-1] < losses[best] else None
