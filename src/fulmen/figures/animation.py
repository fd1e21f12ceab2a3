"""How the fit, or the regions, moved during training: a figure of each of some twenty states of the network."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor

from fulmen.figures.classification import regions
from fulmen.figures.regression import fit
from fulmen.figures.subject import RunContext


def frames(subject: RunContext, states: Sequence[tuple[int, Mapping[str, Tensor]]]) -> Iterator[tuple[int, Figure]]:
    """The step and the figure of every state.

    Args:
        subject: the run at its end; its network is left as it is.
        states: steps, and the network's weights after them.
    """
    predictor = subject.predictor
    net = copy.deepcopy(subject.net)
    evaluation = dataclasses.replace(predictor.evaluation, net=net)
    moving = dataclasses.replace(subject, predictor=dataclasses.replace(predictor, evaluation=evaluation))
    for step, weights in states:
        net.load_state_dict(weights)
        figure = still(moving, f"Step {step:,}")
        assert figure is not None
        yield step, figure


def still(subject: RunContext, title: str) -> Figure | None:
    """What moves: of one feature the fit, of two the regions, else nothing."""
    return fit(subject, title) or regions(subject, title)


def moves(subject: RunContext) -> bool:
    """Whether there is anything to film."""
    return subject.spec.in_shape in ((1,), (2,)) and still(subject, "") is not None
