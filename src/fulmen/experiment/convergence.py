"""Whether a run was still improving when it ended, judged by the scores in its history.

The last fifth of the scores is compared with the fifth before. Means, because single scores of small batches go up and
down; and the gain is set against all that the run has gained, because even a run that has converged gains a little.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

SHARE = 0.02
"""Of what the score has gained in the whole run: what the last fifth must have added to it."""
REDUCTION = 0.01
"""How much smaller the error must be than before, as a share of it: the loss of noise alone falls by less."""
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
