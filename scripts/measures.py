"""Figures of a finished run beside those of its metrics.json, as scripts/reproduction.yaml names them."""

import functools
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fulmen
from fulmen.config import recorded, validate
from fulmen.config.allowlist import make
from fulmen.experiment.load import Run
from fulmen.models.initializers import new_network
from fulmen.runs import folder
from fulmen.training.packs import DataModule


def figure(name: str, run: Run) -> float:
    """A figure of a run.

    Raises:
        ValueError: the run has none of this name; none is ever made up.
    """
    if name in run.metrics:
        return float(run.metrics[name])
    if name in FURTHER:
        return FURTHER[name](run)
    if (place := _place(name)) is not None:
        return float(_weights(run)[place])
    if name.startswith("p("):
        point = np.array([[float(number) for number in name[2:-1].split(",")]])
        return float(run.predict_proba(point)[0, 1])
    there = ", ".join((*run.metrics, *FURTHER, "w0", "w1", "bias", "p(x1,x2)"))
    raise ValueError(f"{run.folder} has no figure {name!r}; it has {there}")


def _place(name: str) -> int | None:
    """Where a linear model's `w0`, `w1` ... or `bias` stands among its parameters; None for another figure."""
    return -1 if name == "bias" else int(name[1:]) if re.fullmatch(r"w\d", name) else None


def theirs(name: str, run: Run) -> float | None:
    """The same figure of scikit-learn's counterpart, where the run has that beside it and it has the figure."""
    if f"baseline/{name}" not in run.metrics:
        linear = recorded.configuration(run.folder).choices.model == "linear" and "baseline/train/loss" in run.metrics
        place = _place(name)
        return float(_least_squares(run)[place]) if linear and place is not None else None
    return float(run.metrics[f"baseline/{name}"])


def apart(name: str, run: Run) -> float:
    """How far a figure of a run is from that of scikit-learn on the same rows, or of another experiment."""
    if name == "coefficients":
        return float(np.abs(_weights(run) - _least_squares(run)).max())
    if name.startswith("weights of "):
        other = fulmen.load(run.folder.parents[1] / name.removeprefix("weights of ") / run.folder.name)
        return float(np.abs(_weights(run) - _weights(other)).max())
    return abs(figure(name, run) - figure(f"baseline/{name}", run))


def _weights(run: Run) -> NDArray[np.float64]:
    """All parameters in one row; of a linear model its weights and then its bias."""
    return np.concatenate([parameter.detach().double().numpy().ravel() for parameter in run.model.parameters()])


def _least_squares(run: Run) -> NDArray[np.float64]:
    """Coefficients and intercept, [F + 1], of scikit-learn's LinearRegression on the run's training rows."""
    from sklearn.linear_model import LinearRegression

    x, y = validate.source(recorded.configuration(run.folder).data).load()["train"]
    fitted = LinearRegression().fit(x, y)
    return np.append(fitted.coef_, fitted.intercept_)


def _objective(run: Run) -> float:
    """The training loss of the history's last row, with the penalty on the last weights."""
    penalty = make(recorded.configuration(run.folder).penalty)
    loss = folder.read(run.folder).history["train/loss"][-1]
    return loss if penalty is None else loss + float(penalty([p.detach() for p in run.model.parameters()]))


def _untrained(run: Run) -> float:
    """The loss of the test rows with the weights that the run began with."""
    config = recorded.configuration(run.folder)
    source = validate.source(config.data)
    net = new_network(
        make(config.model),
        source.spec.in_shape,
        source.spec.out_features,
        config.trainer.precision,
        config.seed,
        make(config.init),
    )
    data = DataModule(source, dtype=run.predictor.dtype, seed=config.seed, pack=1)
    data.load()
    return replace(run.predictor.evaluation, net=net).metrics(data.splits["test"])["loss"]


def _drawn_from_all(run: Run) -> float:
    """scikit-learn's test accuracy with the run's sizes and seed, rows drawn at random from all of MNIST."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier
    from sklearn.preprocessing import StandardScaler

    config = recorded.configuration(run.folder)
    x, y = _all_digits(config.data.root)
    order = np.random.RandomState(config.seed).permutation(len(x))
    train, test = np.split(order[: config.data.train_size + config.data.test_size], [config.data.train_size])
    scaler = StandardScaler().fit(x[train])
    classifier = MLPClassifier(
        (50,), solver="sgd", learning_rate_init=0.01, batch_size=64, max_iter=10, random_state=config.seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the lesson stops after ten passes, too
        classifier.fit(scaler.transform(x[train]), y[train])
    return float(classifier.score(scaler.transform(x[test]), y[test]))


@functools.cache
def _all_digits(root: str | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """MNIST's 70,000 digits, [N, 784], and their labels, [N]."""
    sizes = ["data.train_size=60000", "data.val_size=0", "data.test_size=10000"]
    words = ["data=mnist", *sizes, *([] if root is None else [f"data_root={root}"])]
    splits = validate.source(fulmen.compose(words).data).load()
    x, y = (np.concatenate(parts) for parts in zip(splits["train"], splits["test"], strict=True))
    return x.reshape(len(x), -1), y


FURTHER: Mapping[str, Callable[[Run], float]] = {
    "objective": _objective,
    "untrained/test/loss": _untrained,
    "all_70000/test/accuracy": _drawn_from_all,
}
