"""Figures of the data alone."""

from matplotlib.figure import Figure

from fulmen.figures import plots
from fulmen.figures.subject import RunContext

MOST_FEATURES = 6
"""For whose pairs there is room."""


def pairs(subject: RunContext) -> Figure | None:
    """Every feature of the training rows against every other, coloured by class or by the first target."""
    spec = subject.spec
    if len(spec.in_shape) != 1 or not 2 <= spec.in_shape[0] <= MOST_FEATURES:
        return None
    x, y = subject.points("train")
    if subject.classifies:
        figure = plots.pairs_of_classes(x, y, spec.feature_names, spec.target_names)
    else:
        figure = plots.pairs_of_values(x, y[:, 0], spec.feature_names, spec.target_names[0])
    figure.suptitle(f"{figure.get_suptitle()}{subject.shown('train')}")
    return figure
