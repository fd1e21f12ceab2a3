"""What a model learns by default is close to what scikit-learn's equivalent learns of the same rows.

`scripts/defaults.py` measures all pairs over several seeds.
"""

import itertools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import fulmen
from fulmen.config import validate
from fulmen.experiment.load import Run

CLOSE = 0.05
"""Of R² or accuracy."""
SETS = ("blobs", "blobs_binary", "iris_petals", "linear_1d", "linear_5d", "regression_1d", "regression_3d")
TABLES = {"breast_cancer": load_breast_cancer, "wine": load_wine, "diabetes": lambda **_: load_diabetes(scaled=False)}
PAIRS = (
    *itertools.product((*SETS, *TABLES), ("linear",)),
    *itertools.product(("blobs", "regression_1d", "diabetes"), ("deep",)),
    *(("moons", "shallow"), ("iris_species", "perceptron")),  # these take by far the most steps
    *(("circles", "deep"), ("linear_5d", "shallow"), ("blobs", "feedforward"), ("wine", "feedforward")),
    *(("blobs", "perceptron"), ("breast_cancer", "mlp"), ("blobs", "two_layer"), ("iris_petals", "two_layer")),
)
SEED = 1
"""The slowest of the first three for a perceptron on iris_species."""


@pytest.fixture
def words(tmp_path: Path) -> Callable[[str], tuple[str, ...]]:
    """Chooses a data set, or one of scikit-learn's as a table in the units in which it was measured."""

    def choose(data: str) -> tuple[str, ...]:
        if data not in TABLES:
            return (f"data={data}",)
        x, y = (found := TABLES[data]()).data, found.target
        target = y if data == "diabetes" else np.char.add("kind ", y.astype(str))
        rows = [",".join([*map(repr, row.tolist()), str(value)]) for row, value in zip(x, target, strict=True)]
        names = ",".join([*(f"column {number}" for number in range(x.shape[1])), "target"])
        (tmp_path / "table.csv").write_text("\n".join([names, *rows, ""]), "utf-8")
        return ("data=table", f"data.path={tmp_path / 'table.csv'}", "data.target=target")

    return choose


def equivalent(model: str, is_regression: bool) -> Any:
    """Makes scikit-learn's estimator with the layers of a model."""
    config = fulmen.compose([f"model={model}"]).model
    if not config.hidden:
        return LinearRegression() if is_regression else LogisticRegression(C=np.inf, max_iter=1000)
    if not config.bias:  # scikit-learn has no such network: its hidden units are at random, and more
        hidden = FunctionTransformer(lambda x: np.maximum(x @ np.random.RandomState(0).randn(x.shape[1], 300), 0))
        made = Ridge(fit_intercept=False) if is_regression else LogisticRegression(fit_intercept=False, max_iter=1000)
        return make_pipeline(hidden, made)
    activation = {"sigmoid": "logistic"}.get(config.activation, config.activation)
    settings: Any = {"activation": activation, "solver": "lbfgs", "max_iter": 200, "random_state": 0}
    return (MLPRegressor if is_regression else MLPClassifier)(hidden_layer_sizes=tuple(config.hidden), **settings)


def theirs(words: tuple[str, ...], model: str) -> float:
    """What scikit-learn scores on test and validation rows; both, since some data sets have few."""
    source = validate.check(fulmen.compose(words))
    (x, y), *rest = source.load().values()
    is_regression, made = source.spec.task == "regression", equivalent(model, source.spec.task == "regression")
    if model != "two_layer" or source.scale in ("features", "both"):  # without biases, the origin matters
        made = make_pipeline(StandardScaler(), made)
    if is_regression:
        made = TransformedTargetRegressor(made, transformer=StandardScaler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        made.fit(x, np.squeeze(y))
    return float(np.mean([made.score(x, np.squeeze(y)) for x, y in rest]))


@pytest.mark.parametrize(("data", "model"), PAIRS)
def test_the_defaults_learn_what_scikit_learn_does(
    data: str, model: str, words: Callable[[str], tuple[str, ...]], train: Callable[..., Run]
) -> None:
    chosen = words(data)
    metrics = train(*chosen, f"model={model}", seed=SEED).metrics
    ours = [metrics[name] for name in metrics if name in ("val/r2", "test/r2", "val/accuracy", "test/accuracy")]
    assert np.mean(ours) > theirs(chosen, model) - CLOSE
