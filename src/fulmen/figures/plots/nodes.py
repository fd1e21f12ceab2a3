"""The contribution of each hidden node to a curve, which is their sum."""

import numpy as np
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Values, plain, sheet

NAMED = 6
"""Nodes with their own colour: those with the largest range. The others are thin and grey."""


def nodes(grid: Values, contributions: Values, bias: float, names: tuple[str, str]) -> Figure:
    """Draws the contributions of the nodes, and the prediction: their sum plus the bias.

    Shapes: H hidden nodes, G grid points along the feature.

    Args:
        grid: values of the feature, [G].
        contributions: contribution of each node to the prediction, in the target's units, [H, G].
        bias: bias of the output, in the target's units.
        names: feature and target, with units.
    """
    figure = sheet()
    axes = figure.add_subplot(title=f"{len(contributions)} hidden nodes, summing to the prediction")
    largest = np.argsort(-np.ptp(contributions, axis=1), kind="stable")[:NAMED].tolist()
    for node, values in enumerate(contributions):
        if node in largest:
            axes.plot(grid, values, color=COLOURS[largest.index(node)], label=f"node {node + 1}")
        else:
            axes.plot(grid, values, color="grey", linewidth=0.5, zorder=1)
    axes.axhline(bias, color="grey", linestyle=":", label=f"bias {bias:.3g}")
    axes.plot(grid, contributions.sum(0) + bias, color="black", linewidth=2.5, label="sum = prediction")
    axes.set(xlabel=plain(names[0]), ylabel=plain(names[1]))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    return figure
