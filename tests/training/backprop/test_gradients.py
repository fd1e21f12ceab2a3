"""Every formula of back-propagation by hand against autograd: loss and gradient of one batch, in float64."""

import itertools
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor, nn

from fulmen.data.source import TaskKind as Kind
from fulmen.data.tensors import Batch
from fulmen.models.activations import ACTIVATIONS, OUTPUT_ACTIVATIONS, PROBABILITIES
from fulmen.models.mlp import MLP
from fulmen.tasks import losses, penalties
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.losses import Loss
from fulmen.tasks.names import LOSSES
from fulmen.tasks.penalties import Penalty
from fulmen.tasks.task import Task
from fulmen.training.backprop.gradient import ByHand
from fulmen.training.backprop.layers import BY_KIND, array

LIBRARIES = {"numpy": np, "tensors": torch}
WIDTH: dict[Kind, int] = {"regression": 2, "binary": 1, "multiclass": 3}
OUTPUTS: dict[Kind, tuple[str, ...]] = {
    "regression": tuple(OUTPUT_ACTIVATIONS),
    "binary": ("identity", "sigmoid"),
    "multiclass": ("identity", *PROBABILITIES),
}
ROWS = 7


def loss_called(name: str) -> Loss:
    found: Loss = losses.huber(delta=0.3) if name == "huber" else getattr(losses, name)()
    return found


def batch(kind: Kind, in_shape: tuple[int, ...] = (4,)) -> Batch:
    generator = torch.Generator().manual_seed(1)
    x = 3 * torch.randn(ROWS, *in_shape, generator=generator, dtype=torch.float64)
    if kind == "regression":
        return Batch(x, torch.randn(ROWS, WIDTH[kind], generator=generator, dtype=torch.float64))
    y = torch.randint(max(2, WIDTH[kind]), (ROWS,), generator=generator)
    return Batch(x, y if kind == "multiclass" else y.double().unsqueeze(1))


def evaluation(
    kind: Kind, loss: str, activation: str, output: str, *, bias: bool = True, in_shape: tuple[int, ...] = (4,)
) -> Evaluation:
    torch.manual_seed(2)
    net = MLP(in_shape, WIDTH[kind], hidden=(5, 3), activation=activation, bias=bias, output_activation=output).double()
    return Evaluation(net, Task(kind, WIDTH[kind], output in PROBABILITIES), loss_called(loss), "64-true")


def by_autograd(found: Evaluation, rows: Batch, penalty: Penalty | None) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Returns the loss, the objective and its gradient."""
    parameters = list(found.net.parameters())
    loss = objective = found.loss(found.net(rows.x), rows.y, found.task)
    if penalty is not None:
        objective = loss + penalty(parameters)
    return loss.detach(), objective.detach(), list(torch.autograd.grad(objective, parameters))


def assert_agree(
    xp: ModuleType, found: Evaluation, rows: Batch, penalty: Penalty | None = None, size: int = 99
) -> None:
    expected_loss, expected, gradients = by_autograd(found, rows, penalty)
    loss, objective = ByHand(xp, found, penalty, size)(rows, 0)
    assert_allclose(objective, expected, rtol=1e-12)
    assert_allclose(loss, expected_loss, rtol=1e-12)
    for parameter, gradient in zip(found.net.parameters(), gradients, strict=True):
        assert parameter.grad is not None and parameter.grad.grad_fn is None
        assert parameter.grad.dtype == parameter.dtype and parameter.grad.shape == parameter.shape
        assert_allclose(parameter.grad, gradient, rtol=1e-9, atol=1e-13)


def combinations() -> Iterator[tuple[Kind, str, str]]:
    """Every task with each loss that fits it and each output activation that does."""
    for kind, names in LOSSES.items():
        yield from ((kind, *pair) for pair in itertools.product(("auto", *names), OUTPUTS[kind]))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_with_every_loss(activation: str, library: str) -> None:
    for kind, loss, output in combinations():
        assert_agree(LIBRARIES[library], evaluation(kind, loss, activation, output), batch(kind))
    for kind in LOSSES:
        assert_agree(LIBRARIES[library], evaluation(kind, "auto", activation, "identity", bias=False), batch(kind))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("hidden", [(), (1,), (4, 4, 4)])
def test_any_number_of_layers_and_images_made_flat(hidden: tuple[int, ...], library: str) -> None:
    torch.manual_seed(2)
    net = MLP((2, 3, 2), 2, hidden=hidden, activation="tanh").double()
    found = Evaluation(net, Task("regression", 2), losses.mse(), "64-true")
    assert_agree(LIBRARIES[library], found, batch("regression", (2, 3, 2)))


PENALTIES = {
    "l1": penalties.l1(weight=0.3),
    "l2": penalties.l2(weight=0.3),
    "elastic_net": penalties.elastic_net(weight=0.3, l1_ratio=0.25),
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", PENALTIES)
def test_penalties(name: str, library: str) -> None:
    found = evaluation("regression", "mse", "tanh", "identity")
    with torch.no_grad():
        next(found.net.parameters())[0, 0] = 0  # where |p| has no derivative
    assert_agree(LIBRARIES[library], found, batch("regression"), PENALTIES[name])


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("loss", ["mse", "sse"])
def test_a_batch_in_parts_is_the_whole_batch(loss: str, library: str) -> None:
    found = evaluation("regression", loss, "tanh", "identity")
    assert_agree(LIBRARIES[library], found, batch("regression"), PENALTIES["l2"], size=3)


OVERFLOWING: list[tuple[Kind, str]] = [("regression", "huber"), ("binary", "bce"), ("binary", "mae")]
OVERFLOWING += [("multiclass", "cross_entropy"), ("multiclass", "mse")]


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_large_numbers_do_not_overflow(activation: str, library: str) -> None:
    """Where exponents overflow, and where torch's softplus becomes a line."""
    for kind, loss in OVERFLOWING:
        rows, found = batch(kind), evaluation(kind, loss, activation, "identity")
        assert_agree(LIBRARIES[library], found, Batch(3000 * rows.x, rows.y))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_float32_stays_float32(activation: str, library: str) -> None:
    found, rows = evaluation("binary", "bce", activation, "identity"), batch("binary")
    found.net.float()
    loss, _ = ByHand(LIBRARIES[library], found, None, 99)(Batch(rows.x.float(), rows.y.float()), 0)
    assert loss.dtype == torch.float32
    assert {parameter.grad.dtype for parameter in found.net.parameters() if parameter.grad is not None} == {loss.dtype}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", BY_KIND)
def test_activations_stay_float32(kind: str, library: str) -> None:
    xp = LIBRARIES[library]
    layer, z = BY_KIND[kind](xp), array(xp, torch.linspace(-30, 30, 12).view(4, 3))
    assert layer.forward(z).dtype == z.dtype and layer.backward(z).dtype == z.dtype


class Wider(MLP):
    """Which may compute anything."""


def test_what_has_no_formulas_is_said() -> None:
    task = Task("regression", 2)
    net = MLP((4,), 2)

    def own(*_: object) -> Tensor:
        return torch.zeros(())

    for parts, penalty, said in (
        ((nn.Linear(4, 2), losses.mse(), "64-true"), None, "Linear is no multilayer perceptron, .*backprop=autograd"),
        ((Wider((4,), 2), losses.mse(), "64-true"), None, "Wider is no multilayer perceptron"),
        ((MLP((4,), 2, hidden=(3,), dropout=0.1), losses.mse(), "32-true"), None, "no dropout; take model.dropout=0"),
        ((net, losses.as_loss(own), "64-true"), None, "the loss own has no formulas .*backprop=autograd"),
        ((net, losses.mse(), "64-true"), own, "the penalty own has no formulas .*backprop=autograd"),
        ((net, losses.mse(), "bf16-mixed"), None, "trainer.precision=bf16-mixed; take 32-true or 64-true"),
    ):
        with pytest.raises(ValueError, match=said):
            ByHand(np, Evaluation(parts[0], task, parts[1], parts[2]), penalty, 8)
