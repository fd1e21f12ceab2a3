"""Statistics of a network's layers during training."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.figure import Figure

from fulmen.figures.plots.style import Values, colours, sheet, short

NAMED = 6
"""Layers up to which all are in the legend; of more, the first and the last."""


class Panel(NamedTuple):
    """One statistic. Shapes: N points."""

    title: str
    label: str
    is_fraction: bool
    """True if values lie between 0 and 1; else their axis is logarithmic."""
    layers: Mapping[str, Values]
    """Steps and values of each layer, [N, 2], from the first layer to the last."""


def layer_statistics(panels: Sequence[Panel]) -> Figure:
    """Draws one to four panels, each with a curve for each layer."""
    figure = sheet()
    figure.suptitle("Inside the network, by layer")
    rows = math.ceil(len(panels) / 2)
    grid = figure.subplots(rows, math.ceil(len(panels) / rows), squeeze=False).ravel()
    for axes, (title, label, is_fraction, layers) in zip(grid, panels, strict=False):
        axes.set_title(title, fontsize="medium")
        axes.set(xlabel="step", ylabel=label)
        for number, (colour, (name, points)) in enumerate(zip(colours(len(layers)), layers.items(), strict=True)):
            legend = short(name) if len(layers) <= NAMED or number in (0, len(layers) - 1) else "_"
            dots = "." if len(points) == 1 else ""  # a single point draws no line
            axes.plot(*points.T, color=colour, linewidth=1, marker=dots, label=legend)
        if is_fraction:
            axes.set_ylim(-0.03, 1.03)
        elif any((points[:, 1] > 0).any() for points in layers.values()):
            axes.set_yscale("log")
        axes.grid(alpha=0.3)
        axes.legend(fontsize="x-small")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure
