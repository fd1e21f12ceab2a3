"""Figures of the data, without the model."""

from matplotlib.figure import Figure

from fulmen.figures import plots
from fulmen.figures.context import RunContext

MOST_FEATURES = 6
"""Features up to which the pairs fit into a figure."""


def pairs(context: RunContext) -> Figure | None:
    """Plots each feature of the training rows against each other one, coloured by class or by the first target."""
    spec = context.spec
    if len(spec.in_shape) != 1 or not 2 <= spec.in_shape[0] <= MOST_FEATURES:
        return None
    x, y = context.points("train")
    if context.classifies:
        figure = plots.pairs_of_classes(x, y, spec.feature_names, spec.target_names)
    else:
        figure = plots.pairs_of_values(x, y[:, 0], spec.feature_names, spec.target_names[0])
    figure.suptitle(f"{figure.get_suptitle()}{context.shown('train')}")
    return figure
