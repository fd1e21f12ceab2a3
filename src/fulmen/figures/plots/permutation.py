"""Permutation importance of columns."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Values, sheet, short

SHOWN = 20
"""Columns at most: the most important ones."""


def permutation(names: Sequence[str], mean: Values, std: Values, label: str, title: str) -> Figure:
    """Draws a bar for each column, the most important first, with its standard deviation over repeats.

    Shapes: C columns.

    Args:
        names: [C], names of the columns.
        mean: [C], drop in score.
        std: [C], its standard deviation.
        label: of the drop.
        title: title of the figure.
    """
    figure = sheet()
    figure.suptitle(title, fontsize="large")
    axes = figure.add_subplot(xlabel=label)
    order = np.argsort(-mean, kind="stable")[:SHOWN]
    if len(order) < len(names):
        axes.set_title(f"the {len(order)} most important of {len(names)} columns", fontsize="medium")
    axes.barh(range(len(order)), mean[order], xerr=std[order], color=COLOURS[0], ecolor=COLOURS[1], capsize=3)
    axes.set_yticks(range(len(order)), [short(names[column]) for column in order])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.invert_yaxis()
    axes.grid(alpha=0.3, axis="x")
    return figure
