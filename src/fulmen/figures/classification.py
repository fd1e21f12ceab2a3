"""Figures of a classification."""

import numpy as np
from matplotlib.figure import Figure

from fulmen.figures import plots
from fulmen.figures.subject import RunContext, around

PLACES = 150
"""Along each of the two features."""
SHOWN = 8
"""Images that were mistaken."""
SEARCHED = 2**16
"""Images among which they are looked for; the first, if there are more."""


def regions(subject: RunContext, title: str | None = None) -> Figure | None:
    """The plane of two features, in the colours of the classes."""
    spec = subject.spec
    if not subject.classifies or spec.in_shape != (2,):
        return None
    x, y = subject.points("train")
    title = title or f"Decision regions, and the training rows{subject.shown('train')}"
    first, second = (around(x[:, feature], PLACES) for feature in (0, 1))
    plane = np.stack(np.meshgrid(first, second), axis=2)  # [V, U, 2]
    probabilities = subject.predictor.scores_of(plane.reshape(-1, 2)).reshape(*plane.shape[:2], -1)
    return plots.regions((first, second), probabilities, x, y, spec.feature_names, spec.target_names, title)


def confusion(subject: RunContext) -> Figure | None:
    """True against predicted classes of the split that is held out."""
    table = subject.metrics.get(f"{subject.held_out}/confusion_matrix")
    if table is None:
        return None
    return plots.confusion(np.array(table), subject.spec.target_names, subject.held_out)


def mistakes(subject: RunContext) -> Figure | None:
    """The images that were mistaken with the greatest confidence."""
    if not subject.classifies or not subject.has_grey_images:
        return None
    split = subject.held_out
    batch = subject.splits[split].take(slice(SEARCHED))
    probabilities, true = subject.probabilities(batch.x), subject.targets(batch.y)
    wrong = np.flatnonzero(probabilities.argmax(1) != true)
    if not len(wrong):
        return None
    shown = wrong[np.argsort(-probabilities.max(1)[wrong], kind="stable")][:SHOWN]
    found = plots.Mistakes(subject.features(batch.x[shown])[:, 0], true[shown], probabilities[shown])
    said = f"{len(shown)} of {len(wrong)} mistakes in {len(true)} images ({split}), the surest first"
    return plots.mistakes(found, subject.spec.target_names, said)
