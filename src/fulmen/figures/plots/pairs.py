"""Each feature against each other one, and its distribution."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fulmen.figures.plots.style import Classes, Values, colours, marker, sheet, short

BINS = 15


def pairs_of_classes(x: Values, y: Classes, names: Sequence[str], classes: Sequence[str]) -> Figure:
    """Draws rows coloured by class.

    Shapes: N rows, F features, K classes.

    Args:
        x: features, [N, F].
        y: classes, [N].
        names: feature names, with units.
        classes: class names.
    """
    figure, grid = _grid(names, "Features by class")
    shown = []  # given to the legend, which by itself leaves out names that begin with _
    for number, (name, colour) in enumerate(zip(classes, colours(len(classes)), strict=True)):
        rows = x[y == number]
        for (row, column), axes in grid.items():
            if row == column:
                edges = np.histogram_bin_edges(x[:, row], BINS).tolist()
                axes.hist(rows[:, row], edges, color=colour, alpha=0.5)
            else:
                dots = axes.plot(
                    rows[:, column],
                    rows[:, row],
                    marker(number),
                    color=colour,
                    label=short(name),
                    markersize=3,
                    alpha=0.6,
                    markeredgewidth=0,
                )
                if (row, column) == (0, 1):
                    shown += dots
    figure.legend(handles=shown, loc="outside lower center", ncols=min(len(classes), 4), frameon=False, markerscale=2)
    return figure


def pairs_of_values(x: Values, y: Values, names: Sequence[str], target: str) -> Figure:
    """Draws rows coloured by their target [N], from dark (low) to light (high); otherwise as `pairs_of_classes`."""
    figure, grid = _grid(names, f"Features by {short(target)}")
    for (row, column), axes in grid.items():
        if row == column:
            axes.hist(x[:, row], BINS, color="grey")
        else:
            dots = axes.scatter(x[:, column], x[:, row], 8, y, cmap="cividis", alpha=0.8, linewidths=0)
    figure.colorbar(dots, ax=list(grid.values()), label=short(target), pad=0.01)
    return figure


def _grid(names: Sequence[str], title: str) -> tuple[Figure, dict[tuple[int, int], Axes]]:
    """Returns an empty panel for each pair of features, by row and column, labelled along the outer edges."""
    figure = sheet()
    figure.suptitle(title)
    size = len(names)
    grid = dict(np.ndenumerate(figure.subplots(size, size, sharex="col", squeeze=False)))
    longest = 20 if size <= 4 else 12
    for (row, column), axes in grid.items():
        axes.locator_params(nbins=4)
        axes.tick_params(labelsize="xx-small")
        axes.tick_params(labelleft=column == 0 < row, left=row != column)
        if column == 0:
            axes.set_ylabel(short(names[row], longest), fontsize="x-small")
        if row == size - 1:
            axes.set_xlabel(short(names[column], longest), fontsize="x-small")
    return figure, grid
