"""Penalties against their definitions, alone and in training."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from numpy.testing import assert_allclose
from torch import Tensor

import fulmen
from fulmen.data.tensors import Batch
from fulmen.experiment.load import Run
from fulmen.tasks import losses, penalties
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.task import Task
from fulmen.training.step import Step

WEIGHT = 0.3
DEFINITIONS = {
    "l1": lambda p: WEIGHT * np.abs(p).sum(),
    "l2": lambda p: WEIGHT * (p**2).sum(),
    "elastic_net": lambda p: WEIGHT * (0.25 * np.abs(p).sum() + 0.75 * (p**2).sum()),
}
GRADIENTS = {
    "l1": lambda p: WEIGHT * np.sign(p),
    "l2": lambda p: WEIGHT * 2 * p,
    "elastic_net": lambda p: WEIGHT * (0.25 * np.sign(p) + 0.75 * 2 * p),
}


@functools.cache
def penalty(name: str) -> penalties.Penalty:
    words = [f"penalty={name}", f"penalty.weight={WEIGHT}"]
    made: penalties.Penalty = instantiate(
        fulmen.compose([*words, "penalty.l1_ratio=0.25"] if name == "elastic_net" else words).penalty
    )
    return made


@pytest.fixture
def parameters() -> list[Tensor]:
    """Of several shapes; some are zero."""
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((3, 4), (3,), (2, 3, 2, 2), ())]
    made[1][1] = 0
    return [parameter.requires_grad_() for parameter in made]


@pytest.mark.parametrize("name", DEFINITIONS)
def test_value_and_gradient_are_those_of_the_definition(name: str, parameters: list[Tensor]) -> None:
    value = penalty(name)(parameters)
    torch.autograd.backward(value)
    flat = np.concatenate([parameter.detach().numpy().ravel() for parameter in parameters])
    assert_allclose(value.item(), DEFINITIONS[name](flat))
    for parameter in parameters:
        assert parameter.grad is not None
        assert_allclose(parameter.grad, GRADIENTS[name](parameter.detach().numpy()))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_formula_adds_the_gradient_to_what_is_there(name: str, parameters: list[Tensor]) -> None:
    """Also where nothing is; parameters that do not learn stay without."""
    for parameter in parameters[1:]:
        parameter.grad = torch.ones_like(parameter)
    frozen = torch.ones(2)
    penalty(name).add_gradient([*parameters, frozen])
    for place, parameter in enumerate(parameters):
        assert parameter.grad is not None
        assert_allclose(parameter.grad, GRADIENTS[name](parameter.detach().numpy()) + (1 if place else 0))
    assert frozen.grad is None


@dataclass
class Largest:
    """Of one's own; and as it can change, not to be looked up in a table."""

    weight: float = 1.0

    def __call__(self, parameters: Iterable[Tensor]) -> Tensor:
        return self.weight * next(iter(parameters)).abs().max()


def test_a_penalty_of_ones_own_is_differentiated() -> None:
    net = torch.nn.Linear(2, 1)
    largest = net.weight.detach().abs().max().item()
    evaluation = Evaluation(net, Task("regression", 1), losses.mse(), "32-true")
    step = Step(evaluation, penalty=Largest(3.0), by_hand=None, gradient_clip=None, batch_size=4, batch_rows=4, seed=0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    x = torch.ones(4, 2)
    step.plain(optimizer)(Batch(x, net(x).detach()), 0)
    assert net.weight.grad is not None
    assert_allclose(net.weight.grad, 3 * net.weight.detach().sign() * (net.weight.detach().abs() == largest))


def test_no_penalty_is_none() -> None:
    assert instantiate(fulmen.compose([]).penalty) is None


def test_l2_is_weight_decay_of_twice_the_weight(train: Callable[..., Run]) -> None:
    words = ("data=moons", "optimizer=sgd", "trainer.precision=64-true", "trainer.max_epochs=3", "weights=last")
    penalized = train(*words, "penalty=l2", "penalty.weight=0.01").model
    decayed = train(*words, "optimizer.weight_decay=0.02").model
    for found, expected in zip(penalized.parameters(), decayed.parameters(), strict=True):
        assert_allclose(found.detach(), expected.detach(), rtol=1e-10)


def test_l1_draws_what_is_of_no_use_to_zero(train: Callable[..., Run]) -> None:
    """Two of the five features of linear_5d do not count; the lasso finds that out (scikit-learn agrees)."""
    from sklearn.linear_model import Lasso

    words = ("data=linear_5d", "model=linear", "optimizer=gd", "data.batch_size=full", "trainer.precision=64-true")
    run = train(*words, "penalty=l1", "penalty.weight=0.4", "optimizer.lr=0.005", "trainer.max_epochs=1500")
    split = instantiate(fulmen.compose(words).data).load()["train"]
    # scikit-learn halves the squared error and leaves the intercept alone: here it is one more feature
    x = np.column_stack([split.x, np.ones(len(split.x))])
    lasso = Lasso(alpha=0.2, fit_intercept=False, tol=1e-10).fit(x, split.y)
    weight, bias = (parameter.detach().numpy().ravel() for parameter in run.model.parameters())
    assert_allclose([*weight, *bias], lasso.coef_, atol=0.004)  # a subgradient's steps end within lr · weight
    assert (np.abs(lasso.coef_) < 1e-9).sum() >= 2


@pytest.mark.parametrize("name", DEFINITIONS)
def test_recorded_losses_are_without_the_penalty(
    name: str, train: Callable[..., Run], history: Callable[[Run], dict[str, list[float]]]
) -> None:
    words = ("data=regression_1d", "optimizer=sgd", "optimizer.lr=1e-30", "trainer.max_epochs=1")
    plain, penalized = train(*words), train(*words, f"penalty={name}", "penalty.weight=5")
    assert plain.metrics == penalized.metrics
    assert history(plain)["train/loss"] == history(penalized)["train/loss"]
