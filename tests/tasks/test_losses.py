"""Losses against their formulas, written with NumPy in double precision."""

import functools
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from torch import Tensor

import fulmen
from fulmen.data import source
from fulmen.data.tensors import Batch
from fulmen.tasks import losses, names
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.losses import Loss
from fulmen.tasks.task import Task
from fulmen.training.step import Step

Array = NDArray[Any]
B, K = 12, 4
DELTA = 0.3
RANDOM = np.random.RandomState(0)
VALUES, TARGETS = RANDOM.randn(B, 2), RANDOM.randn(B, 2)
LOGIT, BIT = 3 * RANDOM.randn(B, 1), RANDOM.randint(0, 2, (B, 1))
LOGITS, CLASS = 3 * RANDOM.randn(B, K), RANDOM.randint(0, K, B)

KINDS: tuple[source.TaskKind, ...] = ("regression", "binary", "multiclass")
OUT = {"regression": VALUES, "binary": LOGIT, "multiclass": LOGITS}
Y = {"regression": TARGETS, "binary": BIT.astype(float), "multiclass": CLASS}


def sigmoid(x: Array) -> Array:
    probability: Array = 1 / (1 + np.exp(-x))
    return probability


def softmax(x: Array) -> Array:
    probability: Array = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    return probability


COMPARED = {
    "regression": (VALUES, TARGETS),
    "binary": (sigmoid(LOGIT), BIT),
    "multiclass": (softmax(LOGITS), np.eye(K)[CLASS]),
}
"""What the errors are taken of: values, or probabilities and the classes as 0 and 1."""


def huber(error: Array) -> Array:
    return np.where(np.abs(error) <= DELTA, error**2 / 2, DELTA * (np.abs(error) - DELTA / 2))


ERRORS = {
    "mse": lambda e: (e**2).mean(),
    "sse": lambda e: (e**2).sum(),
    "mae": lambda e: np.abs(e).mean(),
    "huber": lambda e: huber(e).mean(),
}


@functools.cache
def loss(name: str) -> Loss:
    words = [f"loss={name}", *([f"loss.delta={DELTA}"] if name == "huber" else [])]
    made: Loss = instantiate(fulmen.compose(words).loss)
    return made


def task(kind: source.TaskKind, *, gives_probabilities: bool = False) -> Task:
    return Task(kind, OUT[kind].shape[1], gives_probabilities)


def tensors(kind: source.TaskKind, out: Array | None = None) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(OUT[kind] if out is None else out), torch.from_numpy(Y[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, kind: source.TaskKind) -> None:
    prediction, target = COMPARED[kind]
    assert_allclose(loss(name)(*tensors(kind), task(kind)), ERRORS[name](prediction - target))


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("name", ERRORS)
def test_errors_of_probabilities_that_the_model_gives(name: str, kind: source.TaskKind) -> None:
    prediction, target = COMPARED[kind]
    found = loss(name)(*tensors(kind, prediction), task(kind, gives_probabilities=True))
    assert_allclose(found, ERRORS[name](prediction - target))


def binary_cross_entropy(p: Array) -> Array:
    found: Array = -(BIT * np.log(p) + (1 - BIT) * np.log(1 - p)).mean()
    return found


@pytest.mark.parametrize("name", ["bce", "auto"])
def test_binary_cross_entropy_of_logits_and_of_probabilities(name: str) -> None:
    expected = binary_cross_entropy(sigmoid(LOGIT))
    assert_allclose(loss(name)(*tensors("binary"), task("binary")), expected)
    found = loss(name)(*tensors("binary", sigmoid(LOGIT)), task("binary", gives_probabilities=True))
    assert_allclose(found, expected)


@pytest.mark.parametrize("name", ["cross_entropy", "auto"])
def test_cross_entropy_of_logits_and_of_probabilities(name: str) -> None:
    expected = -np.log(softmax(LOGITS)[np.arange(B), CLASS]).mean()
    assert_allclose(loss(name)(*tensors("multiclass"), task("multiclass")), expected)
    found = loss(name)(*tensors("multiclass", softmax(LOGITS)), task("multiclass", gives_probabilities=True))
    assert_allclose(found, expected)


def test_cross_entropy_normalises_the_sigmoids_of_a_perceptron() -> None:
    p = sigmoid(LOGITS)
    expected = -np.log((p / p.sum(1, keepdims=True))[np.arange(B), CLASS]).mean()
    found = loss("cross_entropy")(*tensors("multiclass", p), task("multiclass", gives_probabilities=True))
    assert_allclose(found, expected)


def test_the_tasks_own_for_values_is_the_squared_error() -> None:
    assert_allclose(loss("auto")(*tensors("regression"), task("regression")), ((VALUES - TARGETS) ** 2).mean())


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("name", ["auto", *ERRORS])
def test_losses_are_finite_where_probabilities_round_to_zero(name: str, kind: source.TaskKind) -> None:
    """All wrong, as surely as can be: so are all gradients."""
    wrong = 1 - Y[kind] if kind == "binary" else np.eye(K)[(CLASS + 1) % K]
    for scores, gives in ((1000 * (2 * wrong - 1), False), (wrong, True)):
        out = torch.tensor(scores, dtype=torch.float32, requires_grad=True)
        y = torch.from_numpy(Y[kind])
        value = loss(name)(out, y.float() if kind == "binary" else y, task(kind, gives_probabilities=gives))
        torch.autograd.backward(value)
        assert value.isfinite() and out.grad is not None and out.grad.isfinite().all()


@pytest.mark.parametrize("name", ["auto", "mse", "sse", "mae", "huber", "bce", "cross_entropy"])
def test_only_sse_is_a_sum(name: str) -> None:
    function = loss(name)
    assert function.reduction == ("sum" if name == "sse" else "mean")
    kind: source.TaskKind = {"bce": KINDS[1], "cross_entropy": KINDS[2]}.get(name, KINDS[0])
    out, y = tensors(kind)
    twice = function(torch.cat([out, out]), torch.cat([y, y]), task(kind))
    assert_allclose(twice, function(out, y, task(kind)) * (2 if name == "sse" else 1))


def test_every_task_has_its_own_loss_and_names_it_first() -> None:
    for kind in KINDS:
        assert losses.OWN[kind] is getattr(losses, names.LOSSES[kind][0])().function


def added_up(out: Tensor, y: Tensor, task: Task, *, factor: float = 1.0) -> Tensor:
    """A sum of the user's own."""
    return factor * losses.summed_squared_error(out, y, task)


added_up.reduction = "sum"  # type: ignore[attr-defined]


def averaged(out: Tensor, y: Tensor, task: Task, *, factor: float = 1.0) -> Tensor:
    """A mean of the user's own."""
    return factor * losses.squared_error(out, y, task)


@pytest.mark.parametrize("own", [added_up, averaged, functools.partial(added_up, factor=2), torch.nn.MSELoss()])
def test_a_loss_of_ones_own_says_whether_it_is_a_sum(own: losses.Function) -> None:
    assert losses.as_loss(own).reduction == ("sum" if getattr(own, "func", own) is added_up else "mean")


@pytest.mark.parametrize("own", [added_up, averaged, functools.partial(added_up, factor=2)])
def test_a_loss_of_ones_own_is_the_same_in_parts(own: losses.Function) -> None:
    """As under trainer.accumulate, with parts of unequal size."""
    random = torch.Generator().manual_seed(0)
    batch = Batch(torch.randn(10, 3, generator=random), torch.randn(10, 2, generator=random))
    found = []
    for size in (10, 4):
        torch.manual_seed(0)
        net = torch.nn.Linear(3, 2)
        evaluation = Evaluation(net, Task("regression", 2), losses.as_loss(own), "32-true")
        step = Step(evaluation, penalty=None, by_hand=None, gradient_clip=None, batch_size=size, batch_rows=10, seed=0)
        loss = step.plain(torch.optim.SGD(net.parameters(), lr=0.1))(batch, 0)
        assert net.weight.grad is not None
        found.append((loss.item(), net.weight.grad))
    assert_allclose(found[1][0], found[0][0], rtol=1e-6)
    assert_allclose(found[1][1], found[0][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("gives_probabilities", [False, True])
def test_class_weights_weigh_the_rows_of_each_class(gives_probabilities: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 3, (50,), generator=generator)
    probabilities, weights = out.softmax(1).numpy(), np.array([0.5, 2.0, 0.0])
    expected = np.mean(weights[y] * -np.log(probabilities[np.arange(50), y]))
    given = out.softmax(1) if gives_probabilities else out
    found = losses.cross_entropy(class_weights=weights.tolist())(given, y, Task("multiclass", 3, gives_probabilities))
    assert_allclose(found, expected, rtol=1e-6)
    one, two = out[:, :1], (y > 0).double().unsqueeze(1)
    p, true = one.sigmoid().numpy(), two.numpy()
    expected = np.mean(np.where(true == 1, -3 * np.log(p), -0.5 * np.log(1 - p)))
    given = one.sigmoid() if gives_probabilities else one
    found = losses.bce(class_weights=[0.5, 3.0])(given, two, Task("binary", 1, gives_probabilities))
    assert_allclose(found, expected, rtol=1e-6)
