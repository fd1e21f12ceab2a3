"""The figure of what went on inside a network while it trained, layer by layer."""

import numpy as np
from matplotlib.figure import Figure

from fulmen.figures.context import RunContext
from fulmen.figures.plots.layer_statistics import Panel, layer_statistics
from fulmen.training.callbacks.layer_statistics import DEAD, GRADIENT, SATURATED, UPDATE

PANELS = {
    GRADIENT: ("Gradient", "norm, ‖∇‖"),
    UPDATE: ("Update", "‖Δw‖ / ‖w‖ a step"),
    DEAD: ("Dead units", "fraction of the units"),
    SATURATED: ("Saturation", "fraction of the outputs"),
}
"""Title and label of each statistic."""


def inside(context: RunContext) -> Figure | None:
    """Draws the statistics that the network has, with a curve for each layer."""
    if context.statistics is None:
        return None
    rows, panels = context.statistics.rows, []
    for statistic, (title, label) in PANELS.items():
        names = dict.fromkeys(name for _, row in rows for name in row if name.startswith(f"{statistic}/"))
        points = {name: np.array([(step, row[name]) for step, row in rows if name in row]) for name in names}
        layers = {name.partition("/")[2]: values for name, values in points.items()}
        panels += [Panel(title, label, statistic in (DEAD, SATURATED), layers)] if layers else []
    return layer_statistics(panels) if panels else None
