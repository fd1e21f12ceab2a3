"""The baseline against scikit-learn used by hand, on the rows that the source loads."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, log_loss, r2_score, roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fulmen
from fulmen.config import validate
from fulmen.config.allowlist import make
from fulmen.data.scaling import Scaling
from fulmen.data.source import Split
from fulmen.experiment import console
from fulmen.experiment.baseline import Baseline, coefficients, sklearn
from fulmen.experiment.load import Run
from fulmen.experiment.sklearn_equivalent import Amounts
from fulmen.models.initializers import new_network
from fulmen.tasks.predictor import task_of
from fulmen.training.packs import DataModule
from fulmen.training.recipe import Recipe

Train = Callable[..., Run]
SECOND = "baseline=sklearn"


def scaled(*words: str) -> dict[str, Split]:
    source = validate.check(fulmen.compose(words))
    splits = source.load()
    scaling = Scaling.fit(splits["train"], source.scale, source.spec.task)
    return {name: scaling(split) for name, split in splits.items()}


def opinion(*words: str, batch_rows: int = 50, epochs: int = 7, seed: int = 3) -> tuple[Baseline, DataModule, Any]:
    """The baseline that `words` ask for, its data and the network, none of them trained."""
    config = fulmen.compose(["trainer.precision=64-true", *words])
    data = DataModule(validate.check(config), dtype=torch.float64, seed=0, pack=1)
    data.load()
    net = new_network(make(config.model), data.spec.in_shape, data.spec.out_features, "64-true", 0, make(config.init))
    recipe = Recipe(
        **{part: make(config[part]) for part in ("loss", "penalty", "optimizer", "scheduler", "backprop")},
        gradient_clip=config.trainer.gradient_clip,
        accumulate=1,
        seed=seed,
    )
    amounts = Amounts(data.rows, batch_rows, epochs)
    return sklearn(net, task_of(net, data.spec, data.scaling), data.splits["train"], recipe, amounts), data, net


@pytest.mark.parametrize("data", ["linear_1d", "linear_5d"])
def test_coefficients_are_scikit_learns(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both by hand and in the table that a run prints."""
    words = (f"experiment={data}_gd", SECOND, "logger=none", "figures=none", "accelerator=cpu")
    printed: list[Any] = []
    monkeypatch.setattr(console, "print_coefficients", lambda found, **_: printed.extend(found))
    run = fulmen.train(fulmen.compose(words), tmp_path / "run")
    reference = LinearRegression().fit(*scaled(f"data={data}")["train"])
    weight, bias = (parameter.detach().numpy() for parameter in run.model.parameters())
    assert_allclose(weight, reference.coef_, rtol=0, atol=1e-6)
    assert_allclose(bias, reference.intercept_, rtol=0, atol=1e-6)
    assert [row.name for row in printed] == [f"x{i + 1}" for i in range(len(printed) - 1)] + ["bias"]
    assert_allclose([row.theirs for row in printed], [*reference.coef_[0], *reference.intercept_], rtol=1e-12)
    assert max(abs(row.difference) for row in printed) < 1e-6
    assert "baseline" in capsys.readouterr().out


def test_figures_of_linear_regression(train: Train) -> None:
    run = train("experiment=linear_5d_gd", SECOND, max_epochs=2)
    splits = scaled("data=linear_5d")
    reference = LinearRegression().fit(*splits["train"])
    for name, (x, y) in splits.items():
        error, found = reference.predict(x) - y, run.metrics
        assert_allclose(found[f"baseline/{name}/loss"], (error**2).mean(), rtol=1e-9)
        assert_allclose(found[f"baseline/{name}/mae"], np.abs(error).mean(), rtol=1e-9)
        assert_allclose(found[f"baseline/{name}/r2"], r2_score(y, reference.predict(x)), rtol=1e-9)
    assert run.metrics == json.loads((run.folder / "metrics.json").read_text())


def test_values_are_measured_in_their_own_units(train: Train) -> None:
    """iris_petals scales targets; it has two of them."""
    run = train("data=iris_petals", "model=linear", "trainer.precision=64-true", SECOND, max_epochs=1)
    x, y = validate.check(fulmen.compose(["data=iris_petals"])).load()["train"]
    error = LinearRegression().fit(x, y).predict(x) - y  # in centimetres
    assert_allclose(run.metrics["baseline/train/mse"], (error**2).mean(), rtol=1e-9)
    assert_allclose(run.metrics["baseline/train/loss"], ((error / y.std(0)) ** 2).mean(), rtol=1e-9)


@pytest.mark.parametrize("data", ["moons", "iris_species"])
@pytest.mark.parametrize("weight", [0.01, None])
def test_figures_of_logistic_regression(data: str, weight: float | None, train: Train) -> None:
    """Two classes and three, with a penalty and without, on features scaled where the data set says so."""
    penalty = () if weight is None else ("penalty=l2", f"penalty.weight={weight}")
    run = train(f"data={data}", "model=linear", *penalty, "trainer.precision=64-true", SECOND, max_epochs=1)
    splits = scaled(f"data={data}")
    c = np.inf if weight is None else 1 / (2 * weight * len(splits["train"].y))
    reference = LogisticRegression(C=c, solver="saga", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # 100 passes do not suffice without a penalty
        reference.fit(*splits["train"])
    for name, (x, y) in splits.items():
        found, probabilities = run.metrics, reference.predict_proba(x)
        score = probabilities[:, 1] if data == "moons" else probabilities
        area = roc_auc_score(y, score, multi_class="ovr")
        assert_allclose(found[f"baseline/{name}/loss"], log_loss(y, probabilities), rtol=1e-9)
        assert_allclose(found[f"baseline/{name}/accuracy"], accuracy_score(y, reference.predict(x)))
        average = "binary" if data == "moons" else "macro"
        assert_allclose(found[f"baseline/{name}/f1"], f1_score(y, reference.predict(x), average=average), rtol=1e-6)
        assert_allclose(found[f"baseline/{name}/auroc"], area, rtol=1e-5)


PERCEPTRONS = {
    ("data=moons", "model=deep", "optimizer=nesterov", "optimizer.lr=0.02", "penalty=l2", "penalty.weight=0.003"): {
        "hidden_layer_sizes": (20, 20),
        "activation": "tanh",
        "solver": "sgd",
        "learning_rate_init": 0.02,
        "momentum": 0.9,
        "nesterovs_momentum": True,
        "alpha": 2 * 0.003 * 50,
    },
    ("data=iris_species", "model=shallow", "optimizer=gd", "optimizer.lr=0.3"): {
        "hidden_layer_sizes": (10,),
        "activation": "logistic",
        "solver": "sgd",
        "learning_rate_init": 0.3,
        "momentum": 0.0,
        "nesterovs_momentum": False,
        "alpha": 0.0,
    },
    ("data=wiggle", "model=mlp", "optimizer=adam", "optimizer.lr=0.004", "optimizer.betas=[0.8,0.99]"): {
        "hidden_layer_sizes": (512,),
        "activation": "relu",
        "solver": "adam",
        "learning_rate_init": 0.004,
        "beta_1": 0.8,
        "beta_2": 0.99,
        "epsilon": 1e-8,
        "alpha": 0.0,
    },
    ("data=wiggle", "model=shallow", "optimizer=sgd", "optimizer.lr=0.01"): {
        "learning_rate_init": 0.02,  # its squared error is half of ours
        "nesterovs_momentum": False,
    },
}


@pytest.mark.parametrize(("words", "expected"), PERCEPTRONS.items(), ids=lambda value: str(value)[:40])
def test_perceptrons_have_our_settings(words: tuple[str, ...], expected: dict[str, Any]) -> None:
    found = opinion(*words)[0].estimator.get_params()
    always = {"batch_size": 50, "max_iter": 7, "n_iter_no_change": 7, "random_state": 3, "learning_rate": "constant"}
    assert {name: found[name] for name in expected | always} == expected | always


@pytest.mark.parametrize(
    "words",
    [
        ("data=moons", "penalty=l2", "penalty.weight=0.01"),
        ("data=iris_species", "penalty=l2", "penalty.weight=0.01"),
        ("data=iris_petals", "penalty=l2", "penalty.weight=0.01"),
        ("data=iris_petals", "loss=sse", "penalty=l2", "penalty.weight=0.01"),
        ("data=wiggle", "optimizer.weight_decay=0.2"),
    ],
    ids=" ".join,
)
def test_a_step_of_a_perceptron_is_ours(words: tuple[str, ...]) -> None:
    """From the same weights, one step on all rows: what remains is that scikit-learn lets biases out of the penalty."""
    words = ("model=shallow", "optimizer=sgd", "optimizer.lr=0.01", *words)
    config = fulmen.compose(words)
    rows = opinion(*words)[1].rows
    second, data, net = opinion(*words, batch_rows=rows, epochs=1)
    still = second.estimator.set_params(learning_rate_init=1e-300)
    lr = opinion(*words, batch_rows=rows)[0].estimator.learning_rate_init
    before = fitted(second, still, data)
    after = fitted(second, still.set_params(learning_rate_init=lr), data)
    with torch.no_grad():
        for parameter, start in zip(net.parameters(), before, strict=True):
            parameter.copy_(torch.from_numpy(start))
    x, y = data.splits["train"].take(slice(None))
    loss = make(config.loss)(net(x), y, task_of(net, data.spec, data.scaling))
    penalty = make(config.penalty)
    weights = [parameter for parameter in net.parameters() if parameter.ndim > 1]
    (loss if penalty is None else loss + penalty(weights)).backward()
    decay = config.optimizer.weight_decay
    for parameter, start, end in zip(net.parameters(), before, after, strict=True):
        step = parameter.grad.numpy() + (decay * start if parameter.ndim > 1 else 0)
        assert_allclose(end - start, -0.01 * step, atol=1e-12)


def fitted(second: Baseline, estimator: Any, data: DataModule) -> list[np.ndarray[Any, Any]]:
    """Weights and biases after training, in the order and the shapes of ours."""
    second.metrics(data.splits)
    return [part.T for pair in zip(estimator.coefs_, estimator.intercepts_, strict=True) for part in pair]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("data=mnist_5k", "model=lenet"), "no equivalent of a LeNet; use model=linear"),
        (("data=moons", "model.activation=gelu"), "of the activation GELU; .* identity"),
        (("data=moons", "model=mlp", "optimizer=rmsprop"), "optimizer=rmsprop; use gd"),
        (("data=moons", "model=linear", "optimizer=adamw"), "decay of optimizer=adamw; use optimizer=adam"),
        (("data=moons", "model=two_layer"), "without biases"),
        (("data=moons", "model.dropout=0.1"), "dropout; use model.dropout=0"),
        (("data=moons", "scheduler=cosine"), "use scheduler=constant"),
        (("data=moons", "trainer.gradient_clip=1"), "use trainer.gradient_clip=null"),
        (("data=moons", "loss=mse"), "loss=mse; for this binary task use loss=auto or bce"),
        (("data=moons", "penalty=l1"), "penalty=l1; use penalty=l2 or none"),
        (("data=wiggle", "model=perceptron"), "output_activation=sigmoid here; use identity"),
        (("data=wiggle", "model=linear", "penalty=l2"), "linear regression with a penalty; use penalty=none"),
    ],
    ids=str,
)
def test_what_has_no_equivalent_is_refused(words: tuple[str, ...], sentence: str, train: Train) -> None:
    with pytest.raises(ValueError, match=f"baseline=sklearn: .*{sentence}.*baseline=none"):
        train(*words, SECOND)


def test_nothing_is_written_where_there_is_no_equivalent(train: Train, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="dropout"):
        train("data=moons", "model.dropout=0.1", SECOND)
    assert not (tmp_path / "run0").exists()


def test_a_class_without_rows_is_named(train: Train) -> None:
    with pytest.raises(ValueError, match=r"none of the training rows is of class . of 0 to 3"):
        train("data=blobs", "data.train_size=2", SECOND)


def test_an_opinion_that_diverges_costs_only_itself(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fit(*_: object) -> BaseEstimator:
        raise ValueError("the weights are not finite")

    monkeypatch.setattr("sklearn.neural_network.MLPClassifier.fit", fit)
    run = train("data=moons", SECOND, max_epochs=1)
    assert "test/loss" in run.metrics and not [name for name in run.metrics if name.startswith("baseline")]
    assert "no baseline; scikit-learn says: the weights are not finite" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("data=moons", "model=linear"), ("data=moons",), ("data=wiggle",)], ids=" ".join)
def test_it_leaves_the_random_states_alone(words: tuple[str, ...]) -> None:
    second, data, _ = opinion(*words)
    np.random.seed(1)
    before, torchs = np.random.get_state(legacy=False), torch.get_rng_state()
    first = second.metrics(data.splits)
    assert str(np.random.get_state(legacy=False)) == str(before)
    assert torch.equal(torch.get_rng_state(), torchs)
    np.random.seed(2)
    assert second.metrics(data.splits) == first, "and it does not depend on them"


def test_coefficients_of_classes_have_names_and_no_common_part() -> None:
    second, data, net = opinion("data=iris_species", "model=linear", "penalty=l2", "penalty.weight=0.01")
    second.metrics(data.splits)
    found = coefficients(net, second.estimator, data.spec)
    assert [found[0].name, found[4].name, found[5].name] == [
        "sepal length (cm), setosa",
        "bias, setosa",
        "sepal length (cm), versicolor",
    ]
    assert_allclose(np.reshape([row[1:] for row in found], (3, 5, 2)).sum(0), 0, atol=1e-12)
    weight, bias = (parameter.detach().numpy() for parameter in net.parameters())
    ours = np.column_stack([weight, bias])
    assert_allclose([row.ours for row in found], (ours - ours.mean(0)).ravel())


def test_perceptrons_have_no_table_of_coefficients() -> None:
    second, data, net = opinion("data=moons")
    second.metrics(data.splits)
    assert coefficients(net, second.estimator, data.spec) == []


def test_the_final_table_shows_both_beside_each_other() -> None:
    metrics = {"train/loss": 1.0, "val/loss": 2.0, "baseline/train/loss": 3.0, "baseline/val/loss": 4.0}
    table = console.metrics_table(metrics)
    assert [column.header for column in table.columns] == ["", "train", "baseline\ntrain", "val", "baseline\nval"]
    assert [[*column.cells] for column in table.columns] == [["loss"], ["1"], ["3"], ["2"], ["4"]]


def test_tensorboard_has_its_final_figures(train: Train) -> None:
    run = train("data=moons", "model=linear", SECOND, "logger=tensorboard", max_epochs=1)
    events = EventAccumulator(str(next((run.folder / "tensorboard").iterdir()))).Reload()
    (found,) = events.Scalars("final/baseline/test/accuracy")
    assert found.value == pytest.approx(run.metrics["baseline/test/accuracy"])
    assert len([name for name in events.Tags()["scalars"] if name.startswith("final/baseline/")]) == 12
