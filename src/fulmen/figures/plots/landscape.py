"""The loss over a plane of weights, with the path of the optimizer."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Values, sheet, spans_decades

LEVELS = 20


def landscape(grid: tuple[Values, Values], losses: Values, path: Values, shares: Values, rows: int) -> Figure | None:
    """Draws contours of the loss, logarithmic if it spans more than two decades; None if it is the same everywhere.

    Shapes: V by U grid points, V along the second direction; S points of the path.

    Args:
        grid: coordinates along the two directions, [U] and [V], ascending.
        losses: the loss at each grid point, [V, U]; NaN where it is not finite.
        path: coordinates of the weights, [S, 2], first to last.
        shares: fraction of the path's variance along each direction, [2].
        rows: training rows that the loss is the mean of.
    """
    finite = losses[np.isfinite(losses)]
    if not finite.size or finite.min() == finite.max():
        return None
    decades = spans_decades(finite)
    low, high = finite[finite > 0].min() if decades else finite.min(), finite.max()
    levels = np.geomspace(low, high, LEVELS) if decades else np.linspace(low, high, LEVELS)
    figure = sheet()
    axes = figure.add_subplot(title=f"Training loss ({rows:,} rows) around the path of the weights")
    filled = axes.contourf(
        *grid, np.ma.masked_invalid(np.maximum(losses, low)), levels=levels, cmap="cividis",
        norm=LogNorm(low, high) if decades else None,
    )  # fmt: skip
    bar = figure.colorbar(filled, label="mean loss")
    bar.ax.yaxis.set_major_formatter("{x:.3g}")
    axes.plot(*path.T, ".-", color="white", linewidth=1, markersize=4, label="path")
    axes.plot(*path[0], "o", color=COLOURS[1], markeredgecolor="white", label="first weights")
    axes.plot(*path[-1], "*", color=COLOURS[3], markeredgecolor="white", markersize=12, label="last weights")
    first, second = (f"direction {number} ({share:.1%} of the variance)" for number, share in enumerate(shares, 1))
    axes.set(xlabel=first, ylabel=second)
    axes.legend(fontsize="small", facecolor="grey", labelcolor="white")
    return figure
