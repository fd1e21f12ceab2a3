"""The training loss over a plane through the path of the weights, for small networks.

The plane goes through the last weights, along the two directions in which the weights of the run differ most: their
principal components (Li, Xu, Taylor, Studer, Goldstein: Visualizing the Loss Landscape of Neural Nets, 2018, section
7). Only there is the loss that of the path; other points of the path lie beside the plane, the farther the smaller the
share of the variance that the axes name. Buffers, as of batch normalization, stay those of the last step.

Shapes: S snapshots, D trained weights, M points.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from fulmen.data.tensors import Batch
from fulmen.figures.context import RunContext, Values
from fulmen.figures.plots.landscape import landscape as plot
from fulmen.models.dry_run import parameter_count, work
from fulmen.tasks.evaluation import Evaluation, like

LARGEST: Final = 10_000
"""Trained weights at most."""
ROWS, OPERATIONS = 500, 1e10
"""Training rows at most, and multiplications for all points, which takes a second or so."""
GRID: Final = 25
"""Points along each direction."""
MARGIN: Final = 0.25
"""Around the path, as a fraction of its extent."""
FLAT: Final = 1e-6
"""Ratio of the two extents of a path below which it is a line, and spans no plane."""


class Plane(NamedTuple):
    """A plane in the space of weights, and a path in its coordinates."""

    origin: Values
    """The last weights, [D]."""
    directions: Values
    """Orthonormal, [2, D]."""
    path: Values
    """Coordinates of the snapshots, [S, 2]; those of the last are 0."""
    shares: Values
    """Fraction of the variance of the snapshots along each direction, [2]."""


def landscape(context: RunContext) -> Figure | None:
    """Draws the contours of the loss, and the path from the first weights to the last."""
    net, snapshots = context.net, context.snapshots
    if snapshots is None or parameter_count(net) > LARGEST:
        return None
    plane = find_plane(net, [weights for _, weights in snapshots.states])
    if plane is None:
        return None
    last = copy.deepcopy(net)
    last.load_state_dict(snapshots.states[-1][1])
    most = int(OPERATIONS / (GRID**2 * max(1, work(last, context.spec.in_shape))))
    batch = next(context.sample("train", max(1, min(ROWS, most))))
    low, high = plane.path.min(0), plane.path.max(0)
    margin = MARGIN * (high - low)
    first, second = np.linspace(low - margin, high + margin, GRID).T
    points = np.stack(np.meshgrid(first, second), axis=2)  # [V, U, 2]
    losses = losses_at(replace(context.predictor.evaluation, net=last), batch, plane, points.reshape(-1, 2))
    return plot((first, second), losses.reshape(GRID, GRID), plane.path, plane.shares, batch.rows)


def find_plane(net: nn.Module, states: Sequence[Mapping[str, Tensor]]) -> Plane | None:
    """Returns the plane of the first two principal components; None if the weights moved along a line, or not at all.

    Args:
        net: says which weights are trained.
        states: the state of the network at S steps.
    """
    names = [name for name, value in net.named_parameters() if value.requires_grad]
    if len(states) < 3 or parameter_count(net) < 2:
        return None
    weights = torch.stack([torch.cat([state[name].double().flatten() for name in names]) for state in states]).numpy()
    _, extents, directions = np.linalg.svd(weights - weights.mean(0), full_matrices=False)
    if extents[1] <= FLAT * extents[0]:
        return None
    path = (weights - weights[-1]) @ directions[:2].T
    return Plane(weights[-1], directions[:2], path, (extents**2 / (extents**2).sum())[:2])


@torch.no_grad()
def losses_at(evaluation: Evaluation, batch: Batch, plane: Plane, points: Values) -> Values:
    """Returns the mean loss of some rows, without penalty, at each point of a plane, [M]; NaN where it is not finite.

    Args:
        evaluation: with a network of its own, whose trained weights are overwritten.
        batch: features [B, *in_shape] and targets.
        plane: the plane.
        points: coordinates, [M, 2].
    """
    trained = [value for value in evaluation.net.parameters() if value.requires_grad]
    sizes = [value.numel() for value in trained]
    x, y = batch.to("cpu")
    losses = np.empty(len(points))
    for number, point in enumerate(points):
        whole = torch.from_numpy(plane.origin + point @ plane.directions)
        for value, part in zip(trained, torch.split(whole, sizes), strict=True):
            value.copy_(part.view_as(value))
        out = evaluation.scores(x)
        losses[number] = evaluation.loss(out, like(out, y), evaluation.task).item()
    losses[~np.isfinite(losses)] = np.nan
    return losses / (batch.rows if evaluation.loss.reduction == "sum" else 1)
