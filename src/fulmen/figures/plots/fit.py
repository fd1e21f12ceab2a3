"""A regression on one feature: data, fitted curve and residuals."""

from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Values, marker, plain, sheet


class Points(NamedTuple):
    """Rows of a split. Shapes: N rows."""

    x: Values
    """[N], feature."""
    y: Values
    """[N], target."""
    predicted: Values
    """[N], prediction."""


def fit(
    splits: Mapping[str, Points], grid: Values, curve: Values, names: tuple[str, str], title: str = "Fit"
) -> Figure:
    """Draws data and curve above, residuals below.

    Shapes: G grid points along the feature.

    Args:
        splits: rows by their name in the legend.
        grid: values of the feature, [G], ascending.
        curve: predictions at `grid`, [G].
        names: feature and target, with units.
        title: title of the figure.
    """
    figure = sheet()
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for number, (name, points) in enumerate(splits.items()):
        _scatter(upper, points.x, points.y, number, name)
        _scatter(lower, points.x, points.y - points.predicted, number, "_")
    upper.plot(grid, curve, color="black", linewidth=2, label="prediction")
    lower.axhline(0, color="black", linewidth=1)
    upper.set(title=title, ylabel=plain(names[1]), ylim=_limits(splits))
    lower.set(xlabel=plain(names[0]), ylabel="residual")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return figure


def _scatter(axes: Axes, x: Values, y: Values, number: int, label: str) -> None:
    axes.plot(x, y, marker(number), color=COLOURS[number], markersize=3.5, alpha=0.5, markeredgewidth=0, label=label)


def _limits(splits: Mapping[str, Points]) -> tuple[float, float]:
    """Returns limits that depend on the data only, so that all frames of an animation share them."""
    low = min(float(points.y.min()) for points in splits.values())
    high = max(float(points.y.max()) for points in splits.values())
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin
