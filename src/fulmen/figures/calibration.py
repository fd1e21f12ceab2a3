"""The calibration of a classifier: whether its probabilities are the frequencies with which it is right.

Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks, 2017.

Shapes: N rows, M bins.
"""

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulmen.figures.context import RunContext, Values
from fulmen.figures.plots.calibration import Bins
from fulmen.figures.plots.calibration import calibration as plot
from fulmen.figures.plots.style import short

ROWS: Final = 10_000
"""Rows at most, evenly spaced."""
BINS: Final = 15


def calibration(context: RunContext) -> Figure | None:
    """Draws the reliability diagram of the held-out split.

    Two classes are measured by the probability of the second; of several, the predicted one counts.
    """
    if not context.classifies:
        return None
    split = context.held_out
    found = [(context.probabilities(batch.x), context.targets(batch.y)) for batch in context.sample(split, ROWS)]
    probabilities, true = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if context.spec.task == "binary":
        name = short(context.spec.target_names[1])
        bins = in_bins(probabilities[:, 1], true == 1)
        labels = f"predicted probability of {name}", f"fraction of {name}"
    else:
        bins = in_bins(probabilities.max(1), probabilities.argmax(1) == true)
        labels = "probability of the predicted class", "fraction predicted correctly"
    error = expected_calibration_error(bins)
    return plot(bins, labels, f"Calibration, {split}: expected error {error:.3f} ({len(true):,} rows)")


def in_bins(probabilities: Values, outcomes: NDArray[np.bool_]) -> Bins:
    """Sorts rows into bins of equal width, ((m - 1) / M, m / M].

    Args:
        probabilities: predicted, [N].
        outcomes: whether what was predicted is so, [N].
    """
    edges = np.linspace(0, 1, BINS + 1)
    place = np.clip(np.searchsorted(edges, probabilities, side="left") - 1, 0, BINS - 1)
    rows = np.bincount(place, minlength=BINS)
    with np.errstate(invalid="ignore"):  # an empty bin has neither
        return Bins(rows, *(np.bincount(place, values, BINS) / rows for values in (probabilities, outcomes)))


def expected_calibration_error(bins: Bins) -> float:
    """Returns Σ rows of a bin / rows · |fraction - mean probability|."""
    gaps = np.abs(bins.fractions - bins.probabilities)
    return float(np.nansum(bins.rows * gaps) / bins.rows.sum())
