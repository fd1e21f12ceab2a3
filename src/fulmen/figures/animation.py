"""Animation of the fit or the decision regions during training: one figure for each of about 20 snapshots."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from fulmen.figures.classification import regions
from fulmen.figures.context import RunContext
from fulmen.figures.regression import fit


def frames(context: RunContext, states: Sequence[tuple[int, Mapping[str, Tensor]]]) -> Iterator[tuple[int, Figure]]:
    """Yields the step and the figure of each snapshot.

    Args:
        context: the finished run; its network is not modified.
        states: steps, each with the network's weights after it.
    """
    predictor = context.predictor
    net = copy.deepcopy(context.net)
    evaluation = dataclasses.replace(predictor.evaluation, net=net)
    moving = dataclasses.replace(context, predictor=dataclasses.replace(predictor, evaluation=evaluation))
    for step, weights in states:
        net.load_state_dict(weights)
        figure = frame(moving, f"Step {step:,}")
        assert figure is not None
        yield step, figure


def frame(context: RunContext, title: str) -> Figure | None:
    """Returns the fit (one feature) or the decision regions (two features); None for any other data."""
    return fit(context, title) or regions(context, title)


def can_animate(context: RunContext) -> bool:
    """Returns whether the run has a figure to animate."""
    return context.spec.in_shape in ((1,), (2,)) and frame(context, "") is not None
