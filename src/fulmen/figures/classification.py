"""Figures of a classification."""

import numpy as np
from matplotlib.figure import Figure

from fulmen.figures import plots
from fulmen.figures.context import RunContext, around

GRID = 150
"""Grid points along each of the two features."""
SHOWN = 8
"""Misclassified images in the figure."""
SEARCHED = 2**16
"""Number of images searched for mistakes: the first ones of the split."""


def regions(context: RunContext, title: str | None = None) -> Figure | None:
    """Draws the decision regions in the plane of two features."""
    spec = context.spec
    if not context.classifies or spec.in_shape != (2,):
        return None
    x, y = context.points("train")
    title = title or f"Decision regions and training data{context.shown('train')}"
    first, second = (around(x[:, feature], GRID) for feature in (0, 1))
    plane = np.stack(np.meshgrid(first, second), axis=2)  # [V, U, 2]
    probabilities = context.predictor.scores_of(plane.reshape(-1, 2)).reshape(*plane.shape[:2], -1)
    return plots.regions((first, second), probabilities, x, y, spec.feature_names, spec.target_names, title)


def confusion(context: RunContext) -> Figure | None:
    """Draws the confusion matrix of the held-out split."""
    table = context.metrics.get(f"{context.held_out}/confusion_matrix")
    if table is None:
        return None
    return plots.confusion(np.array(table), context.spec.target_names, context.held_out)


def mistakes(context: RunContext) -> Figure | None:
    """Draws the images that were misclassified with the highest confidence."""
    if not context.classifies or not context.has_grey_images:
        return None
    split = context.held_out
    batch = context.splits[split].take(slice(SEARCHED))
    probabilities, true = context.probabilities(batch.x), context.targets(batch.y)
    wrong = np.flatnonzero(probabilities.argmax(1) != true)
    if not len(wrong):
        return None
    shown = wrong[np.argsort(-probabilities.max(1)[wrong], kind="stable")][:SHOWN]
    found = plots.Mistakes(context.features(batch.x[shown])[:, 0], true[shown], probabilities[shown])
    title = f"{len(shown)} of {len(wrong)} mistakes in {len(true)} images ({split}), most confident first"
    return plots.mistakes(found, context.spec.target_names, title)
