"""Whole runs against scikit-learn on the same rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss

import fulmen
from fulmen.data.source import Split
from fulmen.experiment.load import Run

Train = Callable[..., Run]
Array = NDArray[Any]
DOUBLE = ("trainer.precision=64-true", "data.batch_size=full", "model=linear", "weights=last")
OVERLAPPING = ("data=blobs", "data.std=0.7")
"""Classes that no plane divides, so that the best weights are finite."""
CLOSE = 3e-4
"""To weights, where L-BFGS ends because the loss changes by less than 1e-9: such errors cost the loss their square."""


def rows(*words: str) -> dict[str, Split]:
    splits: dict[str, Split] = instantiate(fulmen.compose(words).data).load()
    return splits


def weights(run: Run) -> tuple[Array, Array]:
    """Of a linear model: [out, in] and [out]."""
    weight, bias = (parameter.detach().numpy() for parameter in run.model.parameters())
    return weight, bias


def test_a_thousand_steps_of_gradient_descent_are_where_they_should_be(train: Train) -> None:
    """On the way, too: the error of the weights shrinks by (I - lr · Hessian) at every step."""
    words = (*DOUBLE, "data=linear_1d", "optimizer=gd", "optimizer.lr=0.1", "init=zeros")
    x, y = rows("data=linear_1d")["train"]
    design = np.column_stack([x, np.ones(len(x))])
    end = np.linalg.lstsq(design, y)[0]
    shrink = np.eye(2) - 0.1 * 2 / len(x) * design.T @ design
    for steps in (10, 100):
        weight, bias = weights(train(*words, max_epochs=steps))
        expected = end - np.linalg.matrix_power(shrink, steps) @ end
        assert_allclose([weight[0], bias], expected, rtol=1e-9)


def test_ridge_regression(train: Train) -> None:
    """mean error² + weight · Σp², biases too, is scikit-learn's with alpha = rows · weight and a feature of ones."""
    words = (*DOUBLE, "data=linear_5d", "optimizer=gd", "penalty=l2", "penalty.weight=0.1")
    weight, bias = weights(train(*words, max_epochs=1000))
    x, y = rows("data=linear_5d")["train"]
    reference = Ridge(alpha=len(x) * 0.1, fit_intercept=False).fit(np.column_stack([x, np.ones(len(x))]), y)
    assert_allclose([*weight[0], *bias], reference.coef_.ravel(), rtol=1e-8)


def test_least_squares_of_several_targets(train: Train) -> None:
    """iris_petals scales features and targets, which changes no prediction; the loss is of scaled targets."""
    run = train(*DOUBLE, "data=iris_petals", "optimizer=lbfgs", max_epochs=20)
    splits = rows("data=iris_petals")
    x, y = splits["train"]
    reference = LinearRegression().fit(x, y)
    error = reference.predict(splits["val"].x) - splits["val"].y  # in centimetres
    assert_allclose(run.metrics["val/loss"], ((error / y.std(0)) ** 2).mean(), rtol=CLOSE)
    assert_allclose(run.metrics["val/mse"], (error**2).mean(), rtol=CLOSE)
    assert_allclose(run.metrics["val/mae"], np.abs(error).mean(), rtol=CLOSE)
    x, y = splits["train"]
    error = (reference.predict(x) - y) / y.std(0)
    assert_allclose(run.metrics["train/loss"], (error**2).mean(), rtol=1e-7)


def test_softmax_regression(train: Train) -> None:
    """Without a penalty weights are free up to a constant, so the probabilities are compared."""
    run = train(*DOUBLE, *OVERLAPPING, "optimizer=lbfgs", max_epochs=30)
    splits = rows(*OVERLAPPING)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(*splits["train"])
    for split, (x, y) in splits.items():
        expected = reference.predict_proba(x)
        found = run.model(torch.from_numpy(x)).softmax(1).detach()
        assert_allclose(found, expected, atol=CLOSE)
        assert_allclose(run.metrics[f"{split}/loss"], log_loss(y, expected), rtol=1e-7 if split == "train" else CLOSE)
        assert_allclose(run.metrics[f"{split}/accuracy"], reference.score(x, y))


@pytest.mark.parametrize("data", [("data=iris_species",), OVERLAPPING])
def test_softmax_regression_with_a_penalty(train: Train, data: tuple[str, ...]) -> None:
    """mean loss + weight · Σp², biases too, is scikit-learn's: C = 1 / (2 · rows · weight), and a feature of ones."""
    run = train(*DOUBLE, *data, "optimizer=lbfgs", "penalty=l2", "penalty.weight=0.01", max_epochs=30)
    x, y = rows(*data)["train"]
    x = (x - x.mean(0)) / x.std(0) if data == ("data=iris_species",) else x
    reference = LogisticRegression(C=1 / (2 * len(x) * 0.01), fit_intercept=False, tol=1e-10, max_iter=1000)
    reference.fit(np.column_stack([x, np.ones(len(x))]), y)
    weight, bias = weights(run)
    assert_allclose(np.column_stack([weight, bias]), reference.coef_, atol=CLOSE)


def test_logistic_regression(train: Train) -> None:
    words = ("data=moons", "data.noise=0.4")
    run = train(*DOUBLE, *words, "optimizer=lbfgs", max_epochs=30)
    splits = rows(*words)
    reference = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(*splits["train"])
    weight, bias = weights(run)
    assert_allclose(weight, reference.coef_, atol=CLOSE)
    assert_allclose(bias, reference.intercept_, atol=CLOSE)
    x, y = splits["val"]
    assert_allclose(run.metrics["val/loss"], log_loss(y, reference.predict_proba(x)), rtol=CLOSE)
    assert_allclose(run.metrics["val/accuracy"], reference.score(x, y))


def test_a_perceptron_is_logistic_regression(train: Train) -> None:
    """Its sigmoid is its own, or the loss's."""
    words = ("trainer.precision=64-true", "data=moons", "data.noise=0.4", "optimizer=sgd", "weights=last")
    linear, perceptron = (weights(train(*words, f"model={name}", max_epochs=5)) for name in ("linear", "perceptron"))
    for found, expected in zip(perceptron, linear, strict=True):
        assert_allclose(found, expected, rtol=1e-9)
