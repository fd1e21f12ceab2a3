"""Which estimator of scikit-learn does what a network does, with settings that mean the same.

Without a hidden layer that is least squares (`LinearRegression`) or logistic regression (`LogisticRegression`), with
hidden layers a multilayer perceptron (`MLPRegressor`, `MLPClassifier`). Their objectives differ from ours in constants,
which the settings make up for. Two differences remain: scikit-learn's penalties leave biases alone, and its perceptrons
start from other weights. What has no counterpart is refused, so that nobody compares what is not the same.
"""

from typing import Any

import numpy as np
from torch import nn

from fulmen.losses import is_sum
from fulmen.recipe import Recipe, kind, settings
from fulmen.tasks import Task
from fulmen.unmatched import FUNCTIONS, SOLVERS, activation, check_objective, check_training, layers


def estimator(net: nn.Module, task: Task, recipe: Recipe) -> Any:
    """The counterpart of `net`, not fitted.

    Raises:
        ValueError: scikit-learn has none for this network or this way to train it.
    """
    from sklearn.linear_model import LinearRegression

    check_objective(net, task, recipe)
    *hidden, last = layers(net)
    if hidden:
        check_training(net, recipe)
        return _perceptron(activation(net), tuple(layer.out_features for layer in hidden), task, recipe)
    bias = last.bias is not None
    return LinearRegression(fit_intercept=bias) if task.kind == "regression" else _logistic(bias, recipe)


def _logistic(bias: bool, recipe: Recipe) -> Any:
    """It minimizes C · Σ loss + ½ Σp², ours mean loss + ½ decay · Σp². It takes 100 passes at most."""
    from sklearn.linear_model import LogisticRegression

    c = 1 / (recipe.decay * recipe.rows) if recipe.decay else np.inf
    return LogisticRegression(C=c, solver="saga", fit_intercept=bias, random_state=recipe.seed)


def _perceptron(function: str, hidden: tuple[int, ...], task: Task, recipe: Recipe) -> Any:
    """It minimizes scale · our loss + ½ alpha / batch · Σp²; so does ours at another rate, with another penalty."""
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    solver, scale = SOLVERS[kind(recipe.optimizer)], _scale(task, recipe)
    return (MLPRegressor if task.kind == "regression" else MLPClassifier)(
        hidden_layer_sizes=hidden,
        activation=FUNCTIONS[function],
        solver=solver,
        learning_rate_init=settings(recipe.optimizer)["lr"] / (scale if solver == "sgd" else 1),  # Adam knows no scale
        alpha=recipe.decay * recipe.batch_rows * scale,
        batch_size=recipe.batch_rows,
        max_iter=recipe.epochs,
        n_iter_no_change=recipe.epochs,  # so it does not stop early
        random_state=recipe.seed,
        **_of_solver(solver, settings(recipe.optimizer)),
    )


def _of_solver(solver: str, given: dict[str, Any]) -> dict[str, Any]:
    if solver == "adam":
        return {"beta_1": given["betas"][0], "beta_2": given["betas"][1], "epsilon": given["eps"]}
    return {"momentum": given.get("momentum", 0.0), "nesterovs_momentum": given.get("nesterov", False)}


def _scale(task: Task, recipe: Recipe) -> float:
    """scikit-learn's gradient, as a part of ours.

    Its own of a prediction is error / batch; ours 2 · error / (batch · targets), or 2 · error for the sum of squares.
    """
    if task.kind != "regression":
        return 1.0
    return 0.5 / recipe.batch_rows if is_sum(recipe.loss) else 0.5 * task.out_features
