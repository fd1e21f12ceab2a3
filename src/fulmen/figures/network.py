"""Figures of what is inside a network, and of how its training went."""

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import nn

from fulmen.figures import plots
from fulmen.figures.subject import RunContext, Values
from fulmen.models.activations import ACTIVATIONS
from fulmen.models.mlp import MLP, activation_layer

SHOWN = 45
"""Hidden units whose weights are shown: those with the largest."""
PLACES = np.linspace(-4, 4, 401)


def weights(subject: RunContext) -> Figure | None:
    """The weights of the pixels: of each class in a linear model, of each unit in one with hidden layers."""
    if not isinstance(subject.net, MLP) or not subject.has_grey_images:
        return None
    linear = [layer for layer in subject.net.layers if isinstance(layer, nn.Linear)]
    images = linear[0].weight.detach().double().numpy().reshape(-1, *subject.spec.in_shape[1:])  # [M, H, W]
    if len(linear) == 1:
        return plots.weights(images, subject.spec.target_names[-len(images) :], "Weights of the pixels by class")
    largest = np.argsort(-np.square(images).sum((1, 2)), kind="stable")[:SHOWN]
    some = f"the {len(largest)} with the largest of " if len(largest) < len(images) else ""
    title = f"Weights of the pixels by hidden unit: {some}{len(images)}"
    return plots.weights(images[largest], [str(unit + 1) for unit in largest], title)


def activations(subject: RunContext) -> Figure | None:
    """The activation functions there are, that of the network marked."""
    names = {kind: name for name, kind in ACTIVATIONS.items() if name != "identity"}
    used = next((names[kind] for module in subject.net.modules() if (kind := type(module).__name__) in names), None)
    if used is None:
        return None
    return plots.activations(PLACES, {name: _with_derivative(name) for name in ACTIVATIONS}, used)


def _with_derivative(name: str) -> tuple[Values, Values]:
    """Values and derivatives of an activation at `PLACES`."""
    x = torch.from_numpy(PLACES).requires_grad_()
    y = activation_layer(name)(x)
    (derivative,) = torch.autograd.grad(y.sum(), x)
    return y.detach().numpy(), derivative.numpy()


def curves(subject: RunContext) -> Figure | None:
    """The losses as `history.csv` has them."""
    if not subject.history:
        return None
    steps = np.array([step for step, _ in subject.history], float)
    train, val = (
        np.array([row.get(f"{split}/loss", math.nan) for _, row in subject.history]) for split in ("train", "val")
    )
    return plots.training(plots.Curve("", steps, train, val if "val" in subject.splits else None))
