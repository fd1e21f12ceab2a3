"""What a model learns by default is close to what scikit-learn's equivalent learns of the same rows.

`scripts/defaults.py` measures all pairs over several seeds.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fulmen
from fulmen.config import validate
from fulmen.experiment.load import Run

CLOSE = 0.05
"""Of R² or accuracy."""
SETS = (
    *("circles", "moons", "blobs", "blobs_binary", "iris_species", "iris_petals"),
    *("linear_1d", "linear_5d", "regression_1d", "regression_3d"),
)
TABLES = {"breast_cancer": load_breast_cancer, "wine": load_wine, "diabetes": lambda **_: load_diabetes(scaled=False)}


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


def theirs(words: tuple[str, ...], hidden: tuple[int, ...]) -> float:
    """What scikit-learn scores on test and validation rows; both, since some data sets have few."""
    source = validate.check(fulmen.compose(words))
    (x, y), *rest = source.load().values()
    kinds: tuple[Any, Any] = (LinearRegression(), LogisticRegression(C=np.inf, max_iter=1000))
    if hidden:
        settings: Any = {"activation": "tanh", "solver": "lbfgs", "max_iter": 200, "random_state": 0}
        kinds = (
            MLPRegressor(hidden_layer_sizes=hidden, **settings),
            MLPClassifier(hidden_layer_sizes=hidden, **settings),
        )
    made = make_pipeline(StandardScaler(), kinds[source.spec.task != "regression"])
    if source.spec.task == "regression":
        made = TransformedTargetRegressor(made, transformer=StandardScaler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        made.fit(x, np.squeeze(y))
    return float(np.mean([made.score(x, np.squeeze(y)) for x, y in rest]))


@pytest.mark.parametrize("data", [*SETS, *TABLES])
@pytest.mark.parametrize(("model", "hidden"), [("linear", ()), ("deep", (20, 20))])
def test_the_defaults_learn_what_scikit_learn_does(
    data: str,
    model: str,
    hidden: tuple[int, ...],
    words: Callable[[str], tuple[str, ...]],
    train: Callable[..., Run],
) -> None:
    chosen = words(data)
    metrics = train(*chosen, f"model={model}").metrics
    ours = [metrics[name] for name in metrics if name in ("val/r2", "test/r2", "val/accuracy", "test/accuracy")]
    assert np.mean(ours) > theirs(chosen, hidden) - CLOSE
