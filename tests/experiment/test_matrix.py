"""Every model on every data set, and every other choice once: all that `conf/` lists runs, and what can learn does."""

import functools
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
FEW = ("data.train_size=500", "data.val_size=100", "data.test_size=100")
"""Enough digits for a test of whether they train."""
NOTHING_TO_LEARN = ("gaussian",)
DIGITS = ("mnist", "mnist_5k")
NEEDS_A_FILE = ("arrays", "table")


def names(group: str) -> list[str]:
    return [name for name in choices(group, [conf_dir()]) if name not in NEEDS_A_FILE]


def words_for(data: str) -> tuple[str, ...]:
    if data == "mnist" and not MNIST.is_dir():
        pytest.skip(f"MNIST's files are not in {MNIST}")
    return (f"data={data}", *(FEW if data in DIGITS else ()), *((f"data_root={MNIST}",) if data == "mnist" else ()))


@functools.cache
def is_of_images(data: str) -> bool:
    return len(validate.check(fulmen.compose(words_for(data))).spec.in_shape) == 3


@pytest.mark.parametrize("data", names("data"))
@pytest.mark.parametrize("model", names("model"))
def test_every_model_trains_on_every_data_set(model: str, data: str, train: Callable[..., Run]) -> None:
    words = (*words_for(data), "trainer.max_epochs=1")
    if model == "lenet" and not is_of_images(data):
        with pytest.raises(ValueError, match="lenet needs images"):
            train(*words, choices={"model": model})
        return
    run = train(*words, choices={"model": model})
    assert math.isfinite(run.metrics["train/loss"]) and math.isfinite(run.metrics["val/loss"])
    assert run.metrics["parameters"] == sum(parameter.numel() for parameter in run.model.parameters())


def everything_else() -> Iterator[tuple[str, ...]]:
    for group in ("optimizer", "scheduler", "penalty", "init", "backprop", "logger", "trainer"):
        yield from ((f"{group}={name}",) for name in names(group))
    yield from ((f"model.activation={name}",) for name in ACTIVATIONS)
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
    run = train("data=circles", *words, "trainer.max_epochs=2")
    assert math.isfinite(run.metrics["test/loss"])


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_composes_and_passes_preflight(name: str) -> None:
    config = fulmen.compose([f"experiment={name}"])
    validate.check(config)
    assert config.experiment == name


@pytest.mark.parametrize("data", [name for name in names("data") if name not in (*NOTHING_TO_LEARN, *DIGITS)])
def test_default_runs_beat_the_constant_prediction(data: str, train: Callable[..., Run]) -> None:
    """The mean of the training targets, or the commonest class, is what a model that learned nothing would say."""
    words = (f"model={'linear' if 'linear' in data else 'mlp'}", *words_for(data))
    source = validate.check(fulmen.compose(words))
    splits = source.load()
    run = train(*words)
    if source.spec.task == "regression":
        assert run.metrics["val/r2"] > 0.05, "R² is 0 for the mean of the very rows that are asked for"
    else:
        commonest = np.bincount(splits["train"].y).argmax()
        assert run.metrics["val/accuracy"] > np.mean(splits["val"].y == commonest) + 0.05


def test_deep_with_adam_learns_the_sine_boundary(train: Callable[..., Run]) -> None:
    assert train("model=deep", "optimizer=adam").metrics["test/accuracy"] >= 0.97


@pytest.mark.parametrize(("model", "passes", "accuracy"), [("mlp", 5, 0.92), ("lenet", 3, 0.94)])
def test_digits_are_learned(model: str, passes: int, accuracy: float, train: Callable[..., Run]) -> None:
    assert train(f"model={model}", "data=mnist_5k", max_epochs=passes).metrics["test/accuracy"] >= accuracy


@pytest.mark.slow
def test_all_digits_are_learned_in_one_pass(train: Callable[..., Run]) -> None:
    """By the MLP; LeNet, which takes ten times as long, learns digits above."""
    if not MNIST.is_dir():
        pytest.skip(f"MNIST's files are not in {MNIST}")
    run = train("model=mlp", "data=mnist", f"data_root={MNIST}", max_epochs=1)
    assert run.metrics["test/accuracy"] >= 0.95
    assert torch.isfinite(next(run.model.parameters())).all()
