"""Every model on every kind of data, every other choice once: all that `conf/` lists runs, and what can learn does."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import fulmen
from fulmen.config import validate
from fulmen.config.groups import choices, conf_dir
from fulmen.experiment.load import Run
from fulmen.models.activations import ACTIVATIONS

ROOT = Path(__file__).parents[2]
MNIST = ROOT.parent / "shared" / "mnist"
FEW = ("data.train_size=200", "data.val_size=50", "data.test_size=50")
"""Enough digits for a test of whether they train."""
NOTHING_TO_LEARN = ("gaussian",)
DIGITS = ("mnist", "mnist_5k")
NEEDS_A_FILE = ("arrays", "images", "table")


def names(group: str) -> list[str]:
    return [name for name in choices(group, [conf_dir()]) if name not in NEEDS_A_FILE]


def words_for(data: str) -> tuple[str, ...]:
    return (f"data={data}", *(FEW if data in DIGITS else ()))


@functools.cache
def kinds() -> list[list[str]]:
    """The data sets that are the same to a model: rows or images, one number or several in and out, one task.

    All of MNIST, which takes long to read, has a test of its own, below.
    """
    found: dict[tuple[object, ...], list[str]] = {}
    for data in names("data"):
        if data == "mnist":
            continue
        spec = validate.check(fulmen.compose(words_for(data))).spec
        kind = (len(spec.in_shape), math.prod(spec.in_shape) > 1, spec.out_features > 1, spec.task)
        found.setdefault(kind, []).append(data)
    return [*found.values()]


@pytest.mark.parametrize("model", names("model"))
def test_every_model_trains_on_every_kind_of_data(
    model: str, train: Callable[..., Run], subtests: pytest.Subtests
) -> None:
    """On another data set of each kind than the model before, so that each is trained on."""
    turn = sorted(names("model"), key="lenet".__eq__).index(model)
    assert all(len(kind) < len(names("model")) for kind in kinds()), "all but lenet, the last, train on each kind"
    for data in (kind[turn % len(kind)] for kind in kinds()):
        with subtests.test(data=data):
            words = (*words_for(data), "trainer.max_epochs=1")
            if model == "lenet" and data not in DIGITS:
                with pytest.raises(ValueError, match="lenet needs images"):
                    train(*words, choices={"model": model})
                continue
            run = train(*words, choices={"model": model})
            assert math.isfinite(run.metrics["train/loss"]) and math.isfinite(run.metrics["val/loss"])
            assert run.metrics["parameters"] == sum(parameter.numel() for parameter in run.model.parameters())


SERVICES = ("wandb", "mlflow", "trackio")
"""Loggers that test_tracking.py trains with."""


def everything_else() -> Iterator[tuple[str, ...]]:
    """Each choice once; those that go with any other share runs, as many as the longest group has choices."""
    groups = [[f"{group}={name}" for name in names(group)] for group in ("optimizer", "scheduler", "penalty", "init")]
    groups.append([f"model.activation={name}" for name in ACTIVATIONS])
    yield from (tuple(filter(None, words)) for words in itertools.zip_longest(*groups))
    for group in ("backprop", "logger", "trainer"):
        yield from ((f"{group}={name}",) for name in names(group) if name not in SERVICES)
    for loss in names("loss"):
        yield (f"loss={loss}", "data=blobs" if loss == "cross_entropy" else "data=circles")
    yield from (("loss=sse", "data=wiggle"), ("loss=huber", "data=blobs"), ("loss=mse", "data=blobs"))
    yield from (("accelerator=cpu", f"trainer.precision={precision}") for precision in ("64-true", "bf16-mixed"))
    yield ("model=mlp", "model.dropout=0.5", "trainer.gradient_clip=1", "trainer.accumulate=2")
    yield ("model=perceptron", "data=circles", "trainer.precision=bf16-mixed")
    yield ("model=perceptron", "model.output_activation=softmax", "data=blobs")
    yield ("accelerator=cpu", "trainer.precision=bf16-true", "data=wiggle")


@pytest.mark.parametrize("words", [*everything_else()], ids=" ".join)
def test_every_other_choice_trains(words: tuple[str, ...], train: Callable[..., Run]) -> None:
    without = ("model.bias=false",) if "optimizer=muon" in words else ()
    run = train("data=circles", *words, *without, "trainer.max_epochs=2")
    assert math.isfinite(run.metrics["test/loss"])


TRAINED = "".join(
    Path(__file__).with_name(f"test_{name}.py").read_text("utf-8") for name in ("experiments", "iris_petals")
)


@pytest.mark.parametrize(
    "name", [name for name in names("experiment") if f'"{name}"' not in TRAINED or name.startswith("mnist")]
)
def test_every_experiment_composes_and_passes_preflight(name: str) -> None:
    """Others are trained, as are those of MNIST where its files are."""
    config = fulmen.compose([f"experiment={name}"])
    validate.check(config)
    assert config.experiment == name


@pytest.mark.parametrize("data", [name for name in names("data") if name not in (*NOTHING_TO_LEARN, *DIGITS)])
def test_default_runs_beat_the_constant_prediction(data: str, train: Callable[..., Run]) -> None:
    """The mean of the training targets, or the commonest class, is what a model that learned nothing would say.

    An MLP beats it after a tenth of the passes, already.
    """
    model = "linear" if "linear" in data else "mlp"
    words = (f"model={model}", *words_for(data))
    config = fulmen.compose(words)
    source = validate.check(config)
    splits = source.load()
    run = train(*words, max_epochs=config.data.epochs // (1 if model == "linear" else 10))
    if source.spec.task == "regression":
        assert run.metrics["val/r2"] > 0.05, "R² is 0 for the mean of the very rows that are asked for"
    else:
        commonest = np.bincount(splits["train"].y).argmax()
        assert run.metrics["val/accuracy"] > np.mean(splits["val"].y == commonest) + 0.05


def test_deep_with_adam_learns_the_sine_boundary(train: Callable[..., Run]) -> None:
    assert train("model=deep", "optimizer=adam", max_epochs=50).metrics["test/accuracy"] >= 0.97


@pytest.mark.parametrize(("model", "passes"), [("mlp", 4), ("lenet", 2)])
def test_digits_are_learned(model: str, passes: int, train: Callable[..., Run]) -> None:
    words = (f"model={model}", "data=mnist_5k", "data.train_size=2000", "data.batch_size=16")
    assert train(*words, max_epochs=passes).metrics["test/accuracy"] >= 0.9


@pytest.mark.slow
def test_all_digits_are_learned_in_one_pass(train: Callable[..., Run]) -> None:
    """By a narrow MLP; LeNet, which takes longer, learns digits above."""
    if not MNIST.is_dir():
        pytest.skip(f"MNIST's files are not in {MNIST}")
    run = train("model=mlp", "model.hidden=[64]", "data=mnist", f"data_root={MNIST}", max_epochs=1)
    assert run.metrics["test/accuracy"] >= 0.92
    assert torch.isfinite(next(run.model.parameters())).all()
