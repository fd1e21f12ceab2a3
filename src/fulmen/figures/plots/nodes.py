"""What each hidden node adds to a curve, and that it is all there is in the curve."""

import numpy as np
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Values, plain, sheet

NAMED = 6
"""Nodes with a colour of their own, those that bend the curve most; of more the others are thin and grey."""


def nodes(grid: Values, contributions: Values, bias: float, names: tuple[str, str]) -> Figure:
    """The nodes' contributions, and the prediction, which is their sum and the bias.

    Shapes: H hidden nodes, G places along the feature.

    Args:
        grid: values of the feature, [G].
        contributions: of each node to the prediction, in the target's units, [H, G].
        bias: what is added to their sum, likewise.
        names: of the feature and of the target, with their units.
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
