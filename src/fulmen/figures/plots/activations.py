"""Activation functions and their derivatives."""

import math
from collections.abc import Mapping

from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Values, sheet


def activations(x: Values, functions: Mapping[str, tuple[Values, Values]], used: str) -> Figure:
    """Draws one panel per function with its derivative; the model's own is highlighted.

    Shapes: G grid points.

    Args:
        x: inputs, [G].
        functions: values and derivatives at `x` by name, each [G].
        used: name of the model's activation function.
    """
    figure = sheet()
    figure.suptitle(f"Activation functions; the model uses {used}")
    columns = math.ceil(len(functions) / 2)
    grid = figure.subplots(2, columns, sharex=True, sharey=True, squeeze=False)
    for axes, (name, (values, derivatives)) in zip(grid.flat, functions.items(), strict=False):
        own = name == used
        axes.plot(x, values, color=COLOURS[0], linewidth=2.5 if own else 1.5, label="function")
        axes.plot(x, derivatives, color=COLOURS[1], linestyle="--", linewidth=2.5 if own else 1.5, label="derivative")
        axes.set_title(name, fontsize="medium", fontweight="bold" if own else "normal")
        axes.set_facecolor("#FFF6DD" if own else "white")
        axes.set(ylim=(-2, 3), xlim=(x[0], x[-1]))
        axes.grid(alpha=0.3)
    for axes in grid.flat[len(functions) :]:
        axes.set_axis_off()
    figure.supxlabel("input")
    handles = grid[0, 0].get_lines()
    figure.legend(handles=handles, loc="outside lower right", ncols=2, frameon=False)
    return figure
