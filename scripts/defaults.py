"""Writes docs/defaults.md: what every model learns of every data set by default, over three seeds, and scikit-learn.

The reference has the same layers, learns from the same rows, and is measured on the same: least squares, logistic
regression, or the perceptron of Adam or L-BFGS that is better on the validation rows. It knows no seeds but one.
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
from sklearn import datasets
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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
WITHOUT_BIASES = "two_layer"
"""A model that some data is beyond, whatever the training: along a ray from the origin it is a straight line."""
VERDICTS = ("close", "beyond it", "**far**")


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
    scores = sorted(runs.get(f"test/{name}", runs[f"val/{name}"]))
    theirs = None if model == "lenet" else reference(source, model)
    middle = scores[len(scores) // 2]
    verdict = "" if theirs is None else "close" if middle > theirs - CLOSE else "**far**"
    if verdict == "**far**" and model == WITHOUT_BIASES:
        verdict = "beyond it"
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
    """Returns scikit-learn's score on the test rows, or the validation rows where there are no others."""
    splits = {name: (split.x.reshape(len(split.x), -1), split.y) for name, split in source.load().items()}
    is_regression = source.spec.task == "regression"
    rest = [splits.get(name, splits["val"]) for name in ("val", "test")]
    found = []
    for made in estimators(
        model, is_regression=is_regression, passes=15 if source.spec.in_shape == (1, 28, 28) else 150
    ):
        whole: Any = make_pipeline(StandardScaler(), made)
        if is_regression:
            whole = TransformedTargetRegressor(whole, transformer=StandardScaler())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            whole.fit(splits["train"][0], np.squeeze(splits["train"][1]))
        found.append(tuple(whole.score(x, np.squeeze(y)) for x, y in rest))
    return float(max(found)[1])


def estimators(model: str, *, is_regression: bool, passes: int) -> Sequence[Any]:
    """Makes scikit-learn's estimators with the layers of a model; where that has no biases, with biases."""
    config = fulmen.compose([f"model={model}"]).model
    if not config.hidden:
        return [LinearRegression() if is_regression else LogisticRegression(C=np.inf, max_iter=1000)]
    kind = MLPRegressor if is_regression else MLPClassifier
    layers = {"hidden_layer_sizes": tuple(config.hidden), "alpha": 0.0, "random_state": 0}
    layers["activation"] = {"sigmoid": "logistic"}.get(config.activation, config.activation)
    adam = {"learning_rate_init": 0.01, "batch_size": 32, "max_iter": passes, "n_iter_no_change": passes}
    return [kind(**layers, **adam), kind(**layers, solver="lbfgs", max_iter=500)]


def page(rows: Sequence[tuple[str, ...]], seconds: float) -> str:
    """Returns the page's text."""
    verdicts = [row[5] for row in rows]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning", "scikit-learn", "fulmen"))
    machine = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()})"
    close, beyond, far = (verdicts.count(verdict) for verdict in VERDICTS)
    return f"""# What the defaults learn

Written by `python scripts/defaults.py` on {datetime.now(UTC):%Y-%m-%d}, in {seconds:.0f} s of computing on {machine},
one thread, with Python {platform.python_version()}, {libraries}.

Each row is `python train.py data=<data> model=<model>` and nothing else, measured on test rows (`iris_petals` has none:
on validation rows): the median of {SEEDS} seeds, with the lowest and the highest. The tables are scikit-learn's, as
CSV files for `data=table`. scikit-learn's estimator has the same layers and learned from the same rows, standardized,
for as long as it takes. *Close* is within {CLOSE} of it, or better. *Beyond it* is what the model cannot learn,
however long it trains: `{WITHOUT_BIASES}` has no biases, so it is a straight line along any ray from the origin. Left
out is `perceptron` on values, since its sigmoid ends at 1; `lenet` has no equivalent. Seconds are of computing, for one
of {SEEDS} seeds that train as one.

**{close} of {len(rows)} are close, {beyond} beyond the model, {far} far.**

| data | model | score | ours | scikit-learn's | | seconds |
| --- | --- | --- | --- | --- | --- | --- |
{lines}
"""


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(f"defaults: {sys.argv[1]} is one word too many; it takes none, some minutes, and writes {PAGE.name}")
    main()
