"""Writes docs/defaults.md: what every model learns of every data set by default, over three seeds, and scikit-learn.

The reference has the same layers, learns from the same rows, and is measured on the same: least squares, logistic
regression, or the multilayer perceptron (by L-BFGS, by Adam, or by Adam with early stopping) that is best there. It
knows no seeds but one.
"""

import itertools
import os
import platform
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import chdir, redirect_stdout
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import fulmen
from fulmen.config import validate

PAGE = Path(__file__).resolve().parents[1] / "docs" / "defaults.md"
SEEDS = 3
CLOSE = 0.05
"""To the reference's R² or accuracy, or better."""
TABLES = ("breast_cancer", "wine", "diabetes")
"""scikit-learn's, as CSV files for data=table, in the units in which they were measured."""
DATA = (
    *("sine_boundary", "circles", "moons", "spirals", "blobs", "blobs_binary", "iris_species", "iris_petals"),
    *("linear_1d", "linear_5d", "regression_1d", "regression_3d", "wiggle", "mnist_5k", *TABLES),
)
MODELS = ("linear", "perceptron", "shallow", "feedforward", "two_layer", "deep", "mlp", "lenet")
COMMON = ("trainer.threads=1", "accelerator=cpu", "logger=none", "figures=none")
DIRECTIONS = 300
"""Of the random hidden units that stand in for a trained layer without biases, which scikit-learn does not have."""


def main() -> None:
    """Trains, in a folder that is deleted afterwards, and writes the page."""
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        rows = []
        for data, model in itertools.product(DATA, MODELS):
            if (row := pair(data, model)) is not None:
                print(*row, flush=True)
                rows.append(row)
    PAGE.write_text(page(rows, time.process_time() - began), "utf-8")


def pair(data: str, model: str) -> tuple[str, ...] | None:
    """Returns the cells of a row; None where the model does not fit the data."""
    words = [*words_for(data), f"model={model}"]
    source = validate.check(fulmen.compose(words))
    is_regression, is_image = source.spec.task == "regression", len(source.spec.in_shape) == 3
    if (model == "lenet" and not is_image) or (model == "perceptron" and is_regression):
        return None
    began = time.process_time()
    with redirect_stdout(None):
        runs = fulmen.sweep([*words, *COMMON, "hydra/launcher=vectorized", f"seed=range({SEEDS})"]).frame
    seconds = (time.process_time() - began) / SEEDS
    name = "r2" if is_regression else "accuracy"
    scores = sorted(runs[[split for split in (f"val/{name}", f"test/{name}") if split in runs]].mean(axis=1))
    theirs = None if model == "lenet" else reference(source, model)
    middle = scores[len(scores) // 2]
    verdict = "" if theirs is None else "close" if middle > theirs - CLOSE else "**far**"
    spread = f"{middle:.3f} ({scores[0]:.3f} to {scores[-1]:.3f})"
    shown = "" if theirs is None else f"{theirs:.3f}"
    return data, model, "R²" if is_regression else name, spread, shown, verdict, f"{seconds:.1f}"


def words_for(data: str) -> list[str]:
    """Returns the words that choose a data set, after writing the file of a table."""
    if data not in TABLES:
        return [f"data={data}"]
    unscaled = {"scaled": False} if data == "diabetes" else {}
    frame = getattr(datasets, f"load_{data}")(as_frame=True, **unscaled).frame
    if data != "diabetes":
        frame["target"] = "kind " + frame["target"].astype(str)
    frame.to_csv(f"{data}.csv", index=False)
    return ["data=table", f"data.path={data}.csv", "data.target=target"]


def reference(source: Any, model: str) -> float:
    """Returns scikit-learn's best mean score over the validation and the test rows."""
    splits = {name: (split.x.reshape(len(split.x), -1), split.y) for name, split in source.load().items()}
    is_regression = source.spec.task == "regression"
    rest = [split for name, split in splits.items() if name != "train"]
    config = fulmen.compose([f"model={model}"]).model
    # without biases, the origin matters: it stays where the data set's own scaling leaves it
    is_scaled = config.bias or source.scale in ("features", "both")
    steps = [StandardScaler()] if is_scaled else []
    passes = 15 if source.spec.in_shape == (1, 28, 28) else 150
    found = []
    for layers in estimators(config, is_regression=is_regression, passes=passes):
        whole: Any = make_pipeline(*steps, *layers)
        if is_regression and (config.bias or source.scale == "both"):
            whole = TransformedTargetRegressor(whole, transformer=StandardScaler())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            whole.fit(splits["train"][0], np.squeeze(splits["train"][1]))
        found.append(float(np.mean([whole.score(x, np.squeeze(y)) for x, y in rest])))
    return max(found)


def estimators(config: Any, *, is_regression: bool, passes: int) -> Sequence[Sequence[Any]]:
    """Makes the steps of scikit-learn's pipelines with the layers of a model."""
    if not config.hidden:
        return [[LinearRegression() if is_regression else LogisticRegression(C=np.inf, max_iter=1000)]]
    if not config.bias:
        hidden, weak = FunctionTransformer(directions), {"fit_intercept": False}
        if is_regression:
            return [[hidden, Ridge(1 / c, **weak)] for c in (1, 100)]
        return [[hidden, LogisticRegression(C=c, max_iter=300, **weak)] for c in (1, 100)]
    kind = MLPRegressor if is_regression else MLPClassifier
    layers = {"hidden_layer_sizes": tuple(config.hidden), "alpha": 0.0, "random_state": 0}
    layers["activation"] = {"sigmoid": "logistic"}.get(config.activation, config.activation)
    adam = {"learning_rate_init": 0.01, "batch_size": 32, "max_iter": passes}
    return [
        [kind(**layers, **adam, n_iter_no_change=passes)],
        [kind(**layers, **adam, early_stopping=True)],
        [kind(**layers, solver="lbfgs", max_iter=500)],
    ]


def directions(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """Computes a layer of ReLU units without biases, each with weights at random. [N, F] -> [N, DIRECTIONS]."""
    weights = np.random.RandomState(0).standard_normal((x.shape[1], DIRECTIONS)) / np.sqrt(x.shape[1])
    units: NDArray[np.floating] = np.maximum(x @ weights, 0)
    return units


def page(rows: Sequence[tuple[str, ...]], seconds: float) -> str:
    """Returns the page's text."""
    verdicts = [row[5] for row in rows]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning", "scikit-learn", "fulmen"))
    machine = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()})"
    close, far = verdicts.count("close"), verdicts.count("**far**")
    return f"""# What the defaults learn

Written by `python scripts/defaults.py` on {datetime.now(UTC):%Y-%m-%d}, in {seconds:.0f} s of computing on {machine},
one thread, with Python {platform.python_version()}, {libraries}.

Each row is a run with `data=` and `model=` and nothing else: the accuracy or R², the mean of those on validation and on
test rows, since some sets have few; the median of {SEEDS} seeds, with the lowest and the highest. The last
{len(TABLES)} sets are scikit-learn's, as CSV files for `data=table`. scikit-learn's estimator has the same layers and
learned from the same standardized rows: least squares, logistic regression, or a multilayer perceptron by Adam, by Adam
with early stopping, or by L-BFGS, whichever is best. *Close* is within {CLOSE} of it, or better.

`two_layer` has no biases, so along any ray from the origin it is a straight line, and no training makes it tell an
inner ring from an outer one. scikit-learn has no such network. Its equivalent here has {DIRECTIONS} hidden units
without biases, their weights drawn at random, and a fitted output layer. Left out is `perceptron` on values, since its
sigmoid ends at 1; `lenet` has no equivalent. Seconds are of computing, for one of {SEEDS} seeds that train as one.

**{close} of {close + far} are close, {far} far.**

| data | model | score | ours | scikit-learn's | | seconds |
| --- | --- | --- | --- | --- | --- | --- |
{lines}
"""


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(f"defaults: {sys.argv[1]} is one word too many; it takes none, some minutes, and writes {PAGE.name}")
    main()
