"""Figures of a regression with one feature and one target."""

import copy

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from fulmen.figures import plots
from fulmen.figures.subject import RunContext, Values, around
from fulmen.models.dropout import Dropout
from fulmen.models.mlp import MLP

PLACES = 400
"""Along the feature."""
LEGEND = {"train": "train", "val": "validation"}


def fit(subject: RunContext, title: str = "Regression fit") -> Figure | None:
    """Data, curve and residuals."""
    if not _is_curve(subject):
        return None
    splits = {}
    for split, name in LEGEND.items():
        if split in subject.splits:
            x, y = subject.points(split)
            splits[f"{name}{subject.shown(split)}"] = plots.Points(
                x[:, 0], y[:, 0], subject.predictor.scores_of(x)[:, 0]
            )
    grid = around(np.concatenate([points.x for points in splits.values()]), PLACES)
    curve = subject.predictor.scores_of(grid[:, None])[:, 0]
    return plots.fit(splits, grid, curve, _names(subject), title)


def nodes(subject: RunContext) -> Figure | None:
    """What each hidden node of the only hidden layer adds."""
    layers = _one_hidden(subject.net)
    if not _is_curve(subject) or layers is None:
        return None
    grid = around(subject.points("train")[0], PLACES)
    contributions, bias = _contributions(subject, layers, grid)
    return plots.nodes(grid, contributions, bias, _names(subject))


@torch.inference_mode()
def _contributions(
    subject: RunContext, layers: tuple[nn.Linear, nn.Module, nn.Linear], grid: Values
) -> tuple[Values, float]:
    """Of H nodes at G places, [H, G], and the bias; in double precision and in the target's own units."""
    first, activation, second = (copy.deepcopy(layer).double() for layer in layers)
    scaling, task = subject.predictor.scaling.x, subject.predictor.evaluation.task
    x = grid[:, None] if scaling is None else scaling(grid[:, None])  # [G, 1]
    hidden: Tensor = activation(first(torch.from_numpy(x)))  # [G, H]
    bias: Tensor = second(torch.zeros(1, hidden.shape[1], dtype=hidden.dtype))  # [1, 1]
    alone = (hidden * second.get_parameter("weight")[0])[:, :, None]  # [G, H, 1]: each node without the others
    values = task.values(bias + alone) - task.values(bias)  # in the target's units
    return values[:, :, 0].T.numpy(), task.values(bias).item()


def _one_hidden(net: nn.Module) -> tuple[nn.Linear, nn.Module, nn.Linear] | None:
    """The layers of a perceptron with one hidden layer and nothing after its output."""
    if not isinstance(net, MLP) or net.output_activation != "identity":
        return None
    layers = [layer for layer in net.layers if not isinstance(layer, (nn.Flatten, Dropout))]
    if len(layers) != 3:
        return None
    first, activation, second = layers
    assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    return first, activation, second


def _is_curve(subject: RunContext) -> bool:
    spec = subject.spec
    return spec.task == "regression" and spec.in_shape == (1,) and spec.out_features == 1


def _names(subject: RunContext) -> tuple[str, str]:
    return subject.spec.feature_names[0], subject.spec.target_names[0]
