"""The confusion matrix."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fulmen.figures.plots.style import Classes, sheet, short

WRITTEN = 20
"""Classes up to which the counts are written into the cells."""


def confusion(table: Classes, classes: Sequence[str], split: str) -> Figure:
    """Draws counts by true and predicted class; the colour is the fraction of the true class.

    Shapes: K classes.

    Args:
        table: counts of rows, [K, K], by true class, then predicted class.
        classes: class names.
        split: name of the split, for the title.
    """
    figure = sheet()
    right = table.trace() / max(1, table.sum())
    axes = figure.add_subplot(
        title=f"Confusion matrix, {split}: {table.trace()} of {table.sum()} correct ({right:.1%})"
    )
    share = table / np.maximum(1, table.sum(1, keepdims=True))
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, label="fraction of the true class")
    names, ticks = [short(name, 14) for name in classes], range(len(classes))
    tilted = 40 if max(map(len, names)) > 4 and len(names) > 4 else 0
    axes.set_xticks(ticks, names, rotation=tilted, ha="right" if tilted else "center", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="true")
    if len(classes) <= WRITTEN:
        for row, column in np.ndindex(*table.shape):
            colour = "white" if share[row, column] > 0.5 else "black"
            size = 12 if len(classes) <= 5 else 8
            axes.text(column, row, str(table[row, column]), ha="center", va="center", color=colour, fontsize=size)
    return figure
