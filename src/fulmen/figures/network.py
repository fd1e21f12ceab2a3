"""Figures of a network's weights and activation functions, and of its training curves."""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from fulmen.figures import plots
from fulmen.figures.context import RunContext, Values
from fulmen.models.activations import ACTIVATIONS
from fulmen.models.mlp import MLP, activation_layer

SHOWN = 45
"""Hidden units shown at most: those with the largest weights."""
INPUTS = np.linspace(-4, 4, 401)


def weights(context: RunContext) -> Figure | None:
    """Draws the pixel weights as images: one per class (linear model) or per unit of the first hidden layer."""
    if not isinstance(context.net, MLP) or not context.has_grey_images:
        return None
    linear = [layer for layer in context.net.layers if isinstance(layer, nn.Linear)]
    images = linear[0].weight.detach().double().numpy().reshape(-1, *context.spec.in_shape[1:])  # [M, H, W]
    if len(linear) == 1:
        return plots.weights(images, context.spec.target_names[-len(images) :], "Pixel weights by class")
    largest = np.argsort(-np.square(images).sum((1, 2)), kind="stable")[:SHOWN]
    some = f"the {len(largest)} with the largest of " if len(largest) < len(images) else ""
    title = f"Pixel weights by hidden unit: {some}{len(images)}"
    return plots.weights(images[largest], [str(unit + 1) for unit in largest], title)


def activations(context: RunContext) -> Figure | None:
    """Draws all activation functions, with the network's own highlighted."""
    names = {kind: name for name, kind in ACTIVATIONS.items() if name != "identity"}
    used = next((names[kind] for module in context.net.modules() if (kind := type(module).__name__) in names), None)
    if used is None:
        return None
    return plots.activations(INPUTS, {name: _with_derivative(name) for name in ACTIVATIONS}, used)


def _with_derivative(name: str) -> tuple[Values, Values]:
    """Returns values and derivatives of an activation function at `INPUTS`."""
    x = torch.from_numpy(INPUTS).requires_grad_()
    y = activation_layer(name)(x)
    (derivative,) = torch.autograd.grad(y.sum(), x)
    return y.detach().numpy(), derivative.numpy()


def curves(context: RunContext) -> Figure | None:
    """Draws the losses recorded in `history.csv`."""
    if not context.history:
        return None
    steps = np.array([step for step, _ in context.history], float)
    train, val = (
        np.array([row.get(f"{split}/loss", math.nan) for _, row in context.history]) for split in ("train", "val")
    )
    return plots.training(plots.Curve("", steps, train, val if "val" in context.splits else None))
