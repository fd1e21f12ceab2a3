"""Decision regions: the predicted class at each point of the plane, and its probability."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from matplotlib.figure import Figure

from fulmen.figures.plots.style import Classes, Values, colours, marker, plain, sheet, short

LEVELS: Final = (0.75, 0.95)
"""Probabilities of the likeliest class with a contour line."""
PALEST, DEEPEST = 0.05, 0.6
"""Opacity of the class colour where all classes are equally likely, and where one is certain."""


def regions(
    grid: tuple[Values, Values],
    probabilities: Values,
    x: Values,
    y: Classes,
    names: Sequence[str],
    classes: Sequence[str],
    title: str = "Decision regions",
) -> Figure:
    """Draws the plane in the colours of the likeliest classes, darker where they are likelier, with the data on top.

    Shapes: N rows, K classes; V by U grid points, V along the second feature.

    Args:
        grid: values of the two features, [U] and [V], ascending in equal steps.
        probabilities: class probabilities at each grid point, [V, U, K].
        x: features of the rows, [N, 2].
        y: classes of the rows, [N].
        names: names of the two features, with units.
        classes: class names.
        title: title of the figure.
    """
    figure = sheet()
    first, second = grid
    axes = figure.add_subplot(title=title, xlabel=plain(names[0]), ylabel=plain(names[1]))
    axes.imshow(
        shades(probabilities),
        extent=(first[0], first[-1], second[0], second[-1]),
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
    )
    _lines(axes, grid, probabilities)
    dots = []  # given to the legend, which by itself leaves out names that begin with _
    for number, (name, colour) in enumerate(zip(classes, colours(len(classes)), strict=True)):
        dots += axes.plot(
            *x[y == number].T, marker(number), color=colour, markersize=4, markeredgecolor="white",
            markeredgewidth=0.4, label=short(name),
        )  # fmt: skip
    count = len(classes)
    scale = LinearSegmentedColormap.from_list("grey", [str(1 - 0.7 * PALEST), str(1 - 0.7 * DEEPEST)])
    bar = figure.colorbar(ScalarMappable(Normalize(1 / count, 1), scale), ax=axes, ticks=[1 / count, *LEVELS, 1])
    bar.set_label("probability of the likeliest class")
    bar.ax.yaxis.set_major_formatter("{x:.2g}")
    figure.legend(handles=dots, loc="outside lower center", ncols=min(count, 4), frameon=False, markerscale=1.5)
    return figure


def shades(probabilities: Values) -> Values:
    """Converts probabilities [V, U, K] to colours [V, U, 3]: paler where the likeliest class is less likely."""
    count = probabilities.shape[2]
    colour = np.array([to_rgb(name) for name in colours(count)])[probabilities.argmax(2)]  # [V, U, 3]
    certainty = (probabilities.max(2, keepdims=True) - 1 / count) / (1 - 1 / count)
    share = PALEST + (DEEPEST - PALEST) * certainty
    shade: Values = 1 - share * (1 - colour)
    return shade


def _lines(axes: Axes, grid: tuple[Values, Values], probabilities: Values) -> None:
    """Draws the decision boundaries in black, and the contours of the highest probability at `LEVELS` in grey."""
    likeliest = probabilities.max(2)
    for number in range(probabilities.shape[2]):
        own = probabilities[:, :, number]
        others = np.delete(probabilities, number, axis=2).max(2)
        if (own > others).any() and (own < others).any():
            axes.contour(*grid, own - others, levels=[0], colors="black", linewidths=1.5)
    levels = [level for level in LEVELS if likeliest.min() < level < likeliest.max()]
    if levels:
        lines = axes.contour(*grid, likeliest, levels=levels, colors="dimgrey", linewidths=0.8, linestyles="--")
        axes.clabel(lines, fmt="%.2g", fontsize="x-small")
