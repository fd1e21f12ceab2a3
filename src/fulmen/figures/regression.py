"""Figures of a regression: predictions of any; curve and nodes of one with one feature and one target."""

import copy

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from fulmen.figures import plots
from fulmen.figures.context import RunContext, Values, around
from fulmen.models.dropout import Dropout
from fulmen.models.mlp import MLP

GRID = 400
"""Grid points along the feature."""
MOST_TARGETS = 3
"""Targets whose predictions are shown at most: the first ones."""
LEGEND = {"train": "train", "val": "validation"}


def fit(context: RunContext, title: str = "Regression fit") -> Figure | None:
    """Draws the data, the fitted curve and the residuals."""
    if not _is_curve(context):
        return None
    splits = {}
    for split, name in LEGEND.items():
        if split in context.splits:
            x, y = context.points(split)
            splits[f"{name}{context.shown(split)}"] = plots.Points(
                x[:, 0], y[:, 0], context.predictor.scores_of(x)[:, 0]
            )
    grid = around(np.concatenate([points.x for points in splits.values()]), GRID)
    curve = context.predictor.scores_of(grid[:, None])[:, 0]
    return plots.fit(splits, grid, curve, _names(context), title)


def predictions(context: RunContext) -> Figure | None:
    """Draws predictions against true values, and residuals."""
    if context.classifies:
        return None
    splits = {}
    for split, name in LEGEND.items():
        if split in context.splits:
            x, y = context.points(split)
            splits[f"{name}{context.shown(split)}"] = y, context.predictor.scores_of(x)
    names = context.spec.target_names
    some = f" of the first {MOST_TARGETS} of {len(names)} targets" if len(names) > MOST_TARGETS else ""
    return plots.predictions(splits, names[:MOST_TARGETS], f"Predictions{some}")


def nodes(context: RunContext) -> Figure | None:
    """Draws the contribution of each hidden node of a network with one hidden layer."""
    layers = _one_hidden(context.net)
    if not _is_curve(context) or layers is None:
        return None
    grid = around(context.points("train")[0], GRID)
    contributions, bias = _contributions(context, layers, grid)
    return plots.nodes(grid, contributions, bias, _names(context))


@torch.inference_mode()
def _contributions(
    context: RunContext, layers: tuple[nn.Linear, nn.Module, nn.Linear], grid: Values
) -> tuple[Values, float]:
    """Returns the contributions of H nodes at G grid points, [H, G], and the bias, in the target's units.

    Computed in double precision.
    """
    first, activation, second = (copy.deepcopy(layer).double() for layer in layers)
    scaling, task = context.predictor.scaling.x, context.predictor.evaluation.task
    x = grid[:, None] if scaling is None else scaling(grid[:, None])  # [G, 1]
    hidden: Tensor = activation(first(torch.from_numpy(x)))  # [G, H]
    bias: Tensor = second(torch.zeros(1, hidden.shape[1], dtype=hidden.dtype))  # [1, 1]
    alone = (hidden * second.get_parameter("weight")[0])[:, :, None]  # [G, H, 1]: each node by itself
    values = task.values(bias + alone) - task.values(bias)  # in the target's units
    return values[:, :, 0].T.numpy(), task.values(bias).item()


def _one_hidden(net: nn.Module) -> tuple[nn.Linear, nn.Module, nn.Linear] | None:
    """Returns the layers of an MLP with one hidden layer and no output activation; None for any other network."""
    if not isinstance(net, MLP) or net.output_activation != "identity":
        return None
    layers = [layer for layer in net.layers if not isinstance(layer, (nn.Flatten, Dropout))]
    if len(layers) != 3:
        return None
    first, activation, second = layers
    assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    return first, activation, second


def _is_curve(context: RunContext) -> bool:
    spec = context.spec
    return spec.task == "regression" and spec.in_shape == (1,) and spec.out_features == 1


def _names(context: RunContext) -> tuple[str, str]:
    return context.spec.feature_names[0], context.spec.target_names[0]
