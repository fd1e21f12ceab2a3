"""Optimizers, as their YAML files make them, against closed formulas; each lowers the loss of a run."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

import fulmen
from fulmen.experiment.load import Run
from fulmen.training import optimizers

CONF = Path(__file__).parents[2] / "conf" / "optimizer"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml"))

CURVATURE = np.array([0.5, 1.0, 3.0])
CENTRE = np.array([1.0, -2.0, 0.3])
START = np.array([3.0, 0.0, -1.0])
"""The quadratic Σ curvature · (w - centre)² / 2, whose gradient is curvature · (w - centre)."""
LR = 0.05


@functools.cache
def made(name: str, **keys: float) -> Callable[..., Optimizer]:
    config = fulmen.compose([f"optimizer={name}", *(f"optimizer.{key}={value}" for key, value in keys.items())])
    optimizer: Callable[..., Optimizer] = instantiate(config.optimizer)
    return optimizer


def descend(name: str, steps: int, **keys: float) -> NDArray[Any]:
    """Where an optimizer has come to on the quadratic."""
    w = torch.tensor(START, requires_grad=True)
    optimizer = made(name, **keys)([w])
    curvature, centre = torch.from_numpy(CURVATURE), torch.from_numpy(CENTRE)
    for _ in range(steps):

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = (curvature * (w - centre) ** 2).sum() / 2
            torch.autograd.backward(loss)
            return loss

        optimizer.step(closure)  # type: ignore[arg-type]
    found: NDArray[Any] = w.detach().numpy()
    return found


@pytest.mark.parametrize("name", ["gd", "sgd"])
@pytest.mark.parametrize("decay", [0.0, 0.4])
@pytest.mark.parametrize("steps", [1, 30])
def test_gradient_descent(name: str, decay: float, steps: int) -> None:
    """w - w* shrinks by 1 - lr · (curvature + decay) at every step; decay moves w* towards 0."""
    end = CURVATURE * CENTRE / (CURVATURE + decay)
    expected = end + (1 - LR * (CURVATURE + decay)) ** steps * (START - end)
    assert_allclose(descend(name, steps, lr=LR, weight_decay=decay), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["momentum", "nesterov"])
@pytest.mark.parametrize("decay", [0.0, 0.4])
@pytest.mark.parametrize("steps", [1, 2, 30])
def test_momentum(name: str, decay: float, steps: int) -> None:
    """A linear map of (velocity, w - w*) at every step: v ← 0.9 v + g, w ← w - lr · v, or - lr · (g + 0.9 v)."""
    for curvature, centre, start, found in zip(
        CURVATURE + decay, CENTRE * CURVATURE, START, descend(name, steps, lr=LR, weight_decay=decay), strict=True
    ):
        end = centre / curvature
        velocity = np.array([0.9, curvature])
        move = np.array([0, curvature]) + 0.9 * velocity if name == "nesterov" else velocity
        step = np.array([velocity, np.array([0, 1]) - LR * move])
        expected = end + (np.linalg.matrix_power(step, steps) @ np.array([0, start - end]))[1]
        assert_allclose(found, expected, rtol=1e-10)


GRADIENT = CURVATURE * (START - CENTRE)


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        ("adam", {}, START - LR * np.sign(GRADIENT)),
        ("adamw", {"weight_decay": 0.4}, START * (1 - LR * 0.4) - LR * np.sign(GRADIENT)),
        ("adam", {"weight_decay": 10.0}, START - LR * np.sign(GRADIENT + 10 * START)),
        ("adagrad", {}, START - LR * np.sign(GRADIENT)),
        ("rmsprop", {}, START - LR * np.sign(GRADIENT) / np.sqrt(1 - 0.99)),
    ],
)
def test_first_steps(name: str, keys: dict[str, float], expected: NDArray[Any]) -> None:
    """The first step of these does not depend on the gradient's size."""
    assert_allclose(descend(name, 1, lr=LR, **keys), expected, rtol=1e-6)


def test_lbfgs_solves_a_quadratic() -> None:
    assert_allclose(descend("lbfgs", 1), CENTRE, atol=1e-4)


def test_gd_moves_only_what_has_a_gradient() -> None:
    moved, still = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = optimizers.GD([moved, still], lr=0.5, weight_decay=1.0)
    moved.grad = torch.ones(2)
    assert optimizer.step() is None
    assert_allclose(moved.detach(), [0, 0])
    assert_allclose(still.detach(), [1, 1])


@pytest.mark.parametrize("name", NAMES)
def test_an_optimizer_is_fused_where_torch_can(name: str) -> None:
    optimizer = optimizers.make(made(name), [*nn.Linear(2, 2, bias=False).parameters()])
    fused = ("sgd", "momentum", "nesterov", "adam", "adamw", "adagrad")
    assert bool(optimizer.defaults.get("fused")) == (name in fused)


SETTINGS = {
    "lbfgs": ["data.batch_size=full"],
    "muon": ["data.batch_size=16", "model.bias=false", "optimizer.lr=0.05"],
    "asgd": ["data.batch_size=16", "optimizer.lr=0.2"],
    "radam": ["data.batch_size=16", "optimizer.lr=0.02"],
}
"""Where torch's default rates are for longer runs, or an optimizer is not for every network."""


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_lowers_the_loss_of_a_run(
    name: str, train: Callable[..., Run], history: Callable[[Run], dict[str, list[float]]]
) -> None:
    given = SETTINGS.get(name, ["data.batch_size=16"])
    run = train(f"optimizer={name}", "data=moons", "model=deep", *given, "trainer.max_epochs=5", "weights=last")
    columns = history(run)
    constant = np.log(2)  # the loss of predicting 1/2 for every row
    for split in ("train", "val"):
        assert columns[f"{split}/loss"][-1] < columns[f"{split}/loss"][0]
        assert run.metrics[f"{split}/loss"] < 0.9 * constant
