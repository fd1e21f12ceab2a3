"""Whole runs: from the same weights, the gradient by hand leads where autograd's does."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from numpy.testing import assert_allclose

from fulmen.cli.main import main
from fulmen.config.groups import choices, conf_dir
from fulmen.data.source import TaskKind
from fulmen.experiment.load import Run
from fulmen.models.activations import ACTIVATIONS
from fulmen.tasks.names import LOSSES

Train = Callable[..., Run]
BY_HAND = ("tensors", "numpy")
DATA: dict[TaskKind, str] = {"regression": "wiggle", "binary": "moons", "multiclass": "blobs"}
WORDS = ("data.train_size=70", "data.val_size=20", "data.test_size=20", "trainer.precision=64-true", "weights=last")
STEPS = ("model=mlp", "model.hidden=[6,4]", "trainer.max_steps=10", "trainer.points=2")


def assert_agree(train: Train, name: str, *words: str) -> None:
    """Weights to 1e-10, and the figures."""
    expected, found = (train(*WORDS, *STEPS, *words, f"backprop={backprop}") for backprop in ("autograd", name))
    for one, other in zip(found.model.parameters(), expected.model.parameters(), strict=True):
        assert_allclose(one.detach(), other.detach(), rtol=0, atol=1e-10)
    assert_allclose(found.metrics["train/loss"], expected.metrics["train/loss"], rtol=1e-8)


CASES = [(task, loss) for task, names in LOSSES.items() for loss in names]


@pytest.mark.parametrize(
    ("task", "loss", "activation", "name"),
    [
        (*case, activation, name)
        for case, activation, name in zip(CASES, itertools.cycle(ACTIVATIONS), itertools.cycle(BY_HAND), strict=False)
    ],
)
def test_ten_steps_with_each_loss_and_activation(
    task: TaskKind, loss: str, activation: str, name: str, train: Train
) -> None:
    """Each with some of the others, by turns with tensors and NumPy; test_gradients.py has them all together."""
    assert len(CASES) >= len(ACTIVATIONS)
    rate = 0.001 if loss == "sse" else 0.01  # larger ones are chaotic: the least difference grows
    words = (f"loss={loss}", f"model.activation={activation}", "optimizer=gd", f"optimizer.lr={rate}")
    assert_agree(train, name, f"data={DATA[task]}", *words)


@pytest.mark.parametrize(
    ("optimizer", "name"), [*zip(choices("optimizer", [conf_dir()]), itertools.cycle(BY_HAND), strict=False)]
)
def test_ten_steps_with_each_optimizer(optimizer: str, name: str, train: Train) -> None:
    steps = 1 if optimizer == "lbfgs" else 10  # one is up to 20 of its own, whose line searches magnify last bits
    words = (f"optimizer={optimizer}", "data.batch_size=full", f"trainer.max_steps={steps}")
    assert_agree(train, name, "data=moons", "model.activation=tanh", f"model.bias={optimizer != 'muon'}", *words)


def further() -> Iterator[tuple[str, ...]]:
    yield from ((f"penalty={name}", "penalty.weight=0.01") for name in ("l1", "l2", "elastic_net"))
    yield ("trainer.gradient_clip=0.05",)
    yield ("data.batch_size=8", "trainer.accumulate=3", "penalty=l2", "trainer.gradient_clip=0.1")
    yield ("loss=sse", "data.batch_size=8", "trainer.accumulate=3", "optimizer.lr=0.01")
    yield ("scheduler=cosine", "model.bias=false", "data.batch_size=full")
    yield ("model=perceptron", "model.hidden=[]")


@pytest.mark.parametrize(("words", "name"), [*zip(further(), itertools.cycle(BY_HAND), strict=False)])
def test_ten_steps_with_what_else_a_step_may_have(words: tuple[str, ...], name: str, train: Train) -> None:
    assert_agree(train, name, "data=moons", "model.activation=tanh", "optimizer=gd", *words)


@pytest.mark.parametrize("name", BY_HAND)
def test_autograd_has_no_part_in_it(name: str, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a backward pass of autograd's")

    monkeypatch.setattr(torch.autograd, "backward", refuse)
    monkeypatch.setattr(torch.Tensor, "backward", refuse)
    with pytest.raises(AssertionError, match="autograd's"):
        train(*WORDS, *STEPS)
    train(*WORDS, *STEPS, f"backprop={name}")


@pytest.mark.parametrize("name", BY_HAND)
def test_divergence_is_said_as_ever(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=regression_1d", "model=linear", "optimizer=gd", "optimizer.lr=1e6", "logger=none"]
    assert main([*words, f"backprop={name}"]) == 3
