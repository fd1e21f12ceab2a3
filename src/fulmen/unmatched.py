"""What scikit-learn has no counterpart of, in a sentence: nobody is to compare what is not the same."""

from typing import Any

import torch
from torch import nn

from fulmen import penalties
from fulmen.models.dropout import Dropout
from fulmen.models.mlp import MLP
from fulmen.optimizers import GD
from fulmen.recipe import Recipe, kind, settings
from fulmen.tasks import Task
from fulmen.vocabulary import ACTIVATIONS

SOLVERS: dict[Any, str] = {GD: "sgd", torch.optim.SGD: "sgd", torch.optim.Adam: "adam"}
"""Optimizers, and what scikit-learn calls them."""
FUNCTIONS = {"Identity": "identity", "Sigmoid": "logistic", "Tanh": "tanh", "ReLU": "relu"}
"""Activations by the names of their classes in torch, and what scikit-learn calls them."""
LOSSES = {"regression": ("auto", "mse", "sse"), "binary": ("auto", "bce"), "multiclass": ("auto", "cross_entropy")}
OUTPUTS = {"regression": ("identity",), "binary": ("identity", "sigmoid"), "multiclass": ("identity", "softmax")}


def layers(net: nn.Module) -> list[nn.Linear]:
    """The linear layers."""
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear)]


def activation(net: nn.Module) -> str:
    """What follows hidden layers, by the name of its class."""
    assert isinstance(net, MLP)
    return next(type(layer).__name__ for layer in net.layers if not isinstance(layer, (nn.Flatten, nn.Linear)))


def check_objective(net: nn.Module, task: Task, recipe: Recipe) -> None:
    """Architecture, loss and penalty.

    Raises:
        ValueError: one of them has no counterpart.
    """
    if not isinstance(net, MLP):
        raise _none_for(f"a {type(net).__name__}", "models of linear layers fit, such as linear, shallow, deep and mlp")
    loss, penalty, out = kind(recipe.loss).__name__, recipe.penalty, net.output_activation
    if loss not in LOSSES[task.kind]:
        raise _none_for(f"loss={loss}", f"for this {task.kind} task take loss={' or '.join(LOSSES[task.kind])}")
    if out not in OUTPUTS[task.kind]:
        raise _none_for(f"model.output_activation={out} here", f"take {' or '.join(OUTPUTS[task.kind])}")
    if penalty is not None and kind(penalty) is not penalties.l2:
        raise _none_for(f"penalty={kind(penalty).__name__}", "take penalty=l2 or none")
    if kind(recipe.optimizer) is torch.optim.AdamW and settings(recipe.optimizer)["weight_decay"]:
        raise _none_for("the decay of optimizer=adamw", "take optimizer=adam, or optimizer.weight_decay=0")
    if task.kind == "regression" and len(layers(net)) == 1 and recipe.decay:
        raise _none_for("linear regression with a penalty", "take penalty=none and optimizer.weight_decay=0")


def check_training(net: nn.Module, recipe: Recipe) -> None:
    """What hidden layers add, where the end depends on the way there.

    Raises:
        ValueError: some of it has no counterpart.
    """
    if activation(net) not in FUNCTIONS:
        known = [word for word, name in ACTIVATIONS.items() if name in FUNCTIONS]
        raise _none_for(f"the activation {activation(net)}", f"model.activation may be {', '.join(known)}")
    if kind(recipe.optimizer) not in SOLVERS:
        optimizer = kind(recipe.optimizer).__name__.lower()
        raise _none_for(f"optimizer={optimizer}", "take gd, sgd, momentum, nesterov or adam")
    if any(layer.bias is None for layer in layers(net)):
        raise _none_for("hidden layers without biases", "take model.bias=true")
    if any(isinstance(layer, Dropout) for layer in net.modules()):
        raise _none_for("dropout", "take model.dropout=0")
    if recipe.scheduler is not None:
        raise _none_for("a schedule of the learning rate", "take scheduler=constant")
    if recipe.gradient_clip is not None:
        raise _none_for("clipped gradients", "take trainer.gradient_clip=null")


def _none_for(what: str, way_out: str) -> ValueError:
    return ValueError(f"baseline=sklearn: scikit-learn has no counterpart of {what}; {way_out}, or take baseline=none")
