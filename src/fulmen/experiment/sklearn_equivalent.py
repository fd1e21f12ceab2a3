"""The scikit-learn estimator that is equivalent to a network, with equivalent settings.

Without a hidden layer that is least squares (`LinearRegression`) or logistic regression (`LogisticRegression`), with
hidden layers a multilayer perceptron (`MLPRegressor`, `MLPClassifier`). The settings make up for constant factors
between the objectives. Two differences remain: scikit-learn does not penalize biases, and its perceptrons start from
other weights. Anything without an equivalent is refused, so that nobody compares different things.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from fulmen.models.activations import ACTIVATIONS
from fulmen.models.dropout import Dropout
from fulmen.models.mlp import MLP
from fulmen.rules import type_of
from fulmen.tasks.penalties import Penalty
from fulmen.tasks.task import Task
from fulmen.training.optimizers import GD
from fulmen.training.recipe import Recipe, kind, settings

SOLVERS: dict[Any, str] = {GD: "sgd", torch.optim.SGD: "sgd", torch.optim.Adam: "adam"}
"""Optimizers, by their names in scikit-learn."""
FUNCTIONS = {"Identity": "identity", "Sigmoid": "logistic", "Tanh": "tanh", "ReLU": "relu"}
"""Activations: torch class names and scikit-learn's names."""
LOSSES = {"regression": ("auto", "mse", "sse"), "binary": ("auto", "bce"), "multiclass": ("auto", "cross_entropy")}
OUTPUTS = {"regression": ("identity",), "binary": ("identity", "sigmoid"), "multiclass": ("identity", "softmax")}


class Amounts(NamedTuple):
    """The amount of training of a network."""

    rows: int
    """Training rows."""
    batch_rows: int
    """Rows in one step of the optimizer."""
    epochs: int
    """Passes over the data."""


def layers(net: nn.Module) -> list[nn.Linear]:
    """Returns the linear layers."""
    return [layer for layer in net.modules() if isinstance(layer, nn.Linear)]


def activation(net: nn.Module) -> str:
    """Returns the class name of the hidden layers' activation."""
    assert isinstance(net, MLP)
    return next(type(layer).__name__ for layer in net.layers if not isinstance(layer, (nn.Flatten, nn.Linear)))


def check_objective(net: nn.Module, task: Task, recipe: Recipe) -> None:
    """Checks architecture, loss and penalty.

    Raises:
        ValueError: one of them has no equivalent in scikit-learn.
    """
    if not isinstance(net, MLP):
        raise _unsupported(type_of(net), "use model=linear, shallow, deep or mlp")
    loss, penalty, out = recipe.loss.name, recipe.penalty, net.output_activation
    if loss not in LOSSES[task.kind]:
        raise _unsupported(f"loss={loss}", f"for this {task.kind} task use loss={' or '.join(LOSSES[task.kind])}")
    if recipe.loss.options.get("class_weights"):
        raise _unsupported("loss.class_weights", "use loss.class_weights=null")
    if out not in OUTPUTS[task.kind]:
        raise _unsupported(f"model.output_activation={out} here", f"use {' or '.join(OUTPUTS[task.kind])}")
    if recipe.freeze or recipe.learning_rates:
        raise _unsupported("frozen parameters and several rates", "leave freeze= and learning_rates= out")
    if penalty is not None and not (isinstance(penalty, Penalty) and penalty.l1_ratio == 0):
        name = f"penalty={penalty.name}" if isinstance(penalty, Penalty) else "a penalty of your own"
        raise _unsupported(name, "use penalty=l2 or none")
    if kind(recipe.optimizer) is torch.optim.AdamW and settings(recipe.optimizer)["weight_decay"]:
        raise _unsupported("the decay of optimizer=adamw", "use optimizer=adam")
    if task.kind == "regression" and len(layers(net)) == 1 and recipe.decay:
        raise _unsupported("linear regression with a penalty", "use penalty=none and optimizer.weight_decay=0")


def check_training(net: nn.Module, recipe: Recipe) -> None:
    """Checks how hidden layers are trained, since their result depends on the path there.

    Raises:
        ValueError: some of it has no equivalent in scikit-learn.
    """
    if activation(net) not in FUNCTIONS:
        known = [word for word, name in ACTIVATIONS.items() if name in FUNCTIONS]
        raise _unsupported(f"the activation {activation(net)}", f"model.activation may be {', '.join(known)}")
    if kind(recipe.optimizer) not in SOLVERS:
        optimizer = kind(recipe.optimizer).__name__.lower()
        raise _unsupported(f"optimizer={optimizer}", "use gd, sgd, momentum, nesterov or adam")
    if any(layer.bias is None for layer in layers(net)):
        raise _unsupported("hidden layers without biases", "use model.bias=true")
    if any(isinstance(layer, Dropout) for layer in net.modules()):
        raise _unsupported("dropout", "use model.dropout=0")
    if recipe.scheduler is not None:
        raise _unsupported("a schedule of the learning rate", "use scheduler=constant")
    if recipe.gradient_clip is not None:
        raise _unsupported("clipped gradients", "use trainer.gradient_clip=null")


def _unsupported(what: str, way_out: str) -> ValueError:
    return ValueError(f"baseline=sklearn: scikit-learn has no equivalent of {what}; {way_out}, or use baseline=none")


def estimator(net: nn.Module, task: Task, recipe: Recipe, amounts: Amounts) -> Any:
    """Makes the equivalent of `net`, not fitted.

    Raises:
        ValueError: scikit-learn has none for this network or this way to train it.
    """
    from sklearn.linear_model import LinearRegression, LogisticRegression

    check_objective(net, task, recipe)
    *hidden, last = layers(net)
    if hidden:
        check_training(net, recipe)
        return _perceptron(activation(net), tuple(layer.out_features for layer in hidden), task, recipe, amounts)
    bias = last.bias is not None
    if task.kind == "regression":
        return LinearRegression(fit_intercept=bias)
    # it minimizes C · Σ loss + ½ Σp², ours mean loss + ½ decay · Σp²; of at most 100 passes
    c = 1 / (recipe.decay * amounts.rows) if recipe.decay else np.inf
    return LogisticRegression(C=c, solver="saga", fit_intercept=bias, random_state=recipe.seed)


def _perceptron(function: str, hidden: tuple[int, ...], task: Task, recipe: Recipe, amounts: Amounts) -> Any:
    """Makes a multilayer perceptron.

    It minimizes scale · our loss + ½ alpha / batch · Σp²; so does ours at another rate, with another penalty.
    """
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    solver, given = SOLVERS[kind(recipe.optimizer)], settings(recipe.optimizer)
    scale = 1.0  # the ratio of its gradient to ours
    if task.kind == "regression":  # its is error / batch; ours 2 · error / (batch · targets), or 2 · error for a sum
        scale = 0.5 / amounts.batch_rows if recipe.loss.reduction == "sum" else 0.5 * task.out_features
    of_solver = {"momentum": given.get("momentum", 0.0), "nesterovs_momentum": given.get("nesterov", False)}
    if solver == "adam":
        of_solver = {"beta_1": given["betas"][0], "beta_2": given["betas"][1], "epsilon": given["eps"]}
    return (MLPRegressor if task.kind == "regression" else MLPClassifier)(
        hidden_layer_sizes=hidden,
        activation=FUNCTIONS[function],
        solver=solver,
        learning_rate_init=given["lr"] / (scale if solver == "sgd" else 1),  # Adam knows no scale
        alpha=recipe.decay * amounts.batch_rows * scale,
        batch_size=amounts.batch_rows,
        max_iter=amounts.epochs,
        n_iter_no_change=amounts.epochs,  # so it does not stop early
        random_state=recipe.seed,
        **of_solver,
    )
