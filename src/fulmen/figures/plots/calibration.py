"""The reliability diagram."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Classes, Values, sheet


class Bins(NamedTuple):
    """Rows by predicted probability, in bins of equal width from 0 to 1. Shapes: M bins."""

    rows: Classes
    """Number of rows, [M]."""
    probabilities: Values
    """Mean predicted probability, [M]; NaN for an empty bin."""
    fractions: Values
    """Fraction of rows for which what was predicted is so, [M]; NaN for an empty bin."""


def calibration(bins: Bins, labels: tuple[str, str], title: str) -> Figure:
    """Draws fraction over probability above, with the diagonal where both are equal, and the rows of each bin below.

    Args:
        bins: what is drawn.
        labels: of the probability and the fraction.
        title: title of the figure.
    """
    figure = sheet()
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    width = 1 / len(bins.rows)
    left = np.arange(len(bins.rows)) * width
    upper.bar(left, np.nan_to_num(bins.fractions), width, align="edge", color=COLOURS[4], edgecolor="white", alpha=0.6)
    upper.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    there = bins.rows > 0
    upper.plot(bins.probabilities[there], bins.fractions[there], "o-", color=COLOURS[0], label="this network")
    upper.set(title=title, ylabel=labels[1], xlim=(0, 1), ylim=(0, 1.03))
    upper.legend(loc="upper left")
    lower.bar(left, bins.rows, width, align="edge", color=COLOURS[0], edgecolor="white")
    lower.set(xlabel=labels[0], ylabel="rows")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure
