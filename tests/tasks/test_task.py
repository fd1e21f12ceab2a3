"""Metrics against scikit-learn's."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn import metrics
from torch import Tensor

from fulmen.data import source
from fulmen.tasks import names as vocabulary
from fulmen.tasks.task import METRICS, Task

ROWS = 300
CLASSES = Task("multiclass", 4)
TWO = Task("binary", 1)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def classes(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Logits that say something of the class."""
    y = torch.randint(0, 4, (ROWS,), generator=generator)
    return torch.randn(ROWS, 4, generator=generator) + 1.5 * torch.eye(4)[y], y


def two_classes(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    y = torch.randint(0, 2, (ROWS, 1), generator=generator).float()
    return torch.randn(ROWS, 1, generator=generator) + y - 0.3, y


def softmax(out: Tensor) -> Tensor:
    return out.exp() / out.exp().sum(1, keepdim=True)


@pytest.mark.parametrize("targets", [1, 3])
def test_regression(generator: torch.Generator, targets: int) -> None:
    y = torch.randn(ROWS, targets, generator=generator) * torch.tensor([1.0, 10.0, 100.0])[:targets]
    out = y + torch.randn(ROWS, targets, generator=generator)
    assert_allclose(
        list(Task("regression", targets).metrics(out, y, ["mse", "mae", "r2"]).values()),
        [f(y, out) for f in (metrics.mean_squared_error, metrics.mean_absolute_error, metrics.r2_score)],
        rtol=1e-5,
    )


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1e-5), (0.0, 1e-3), (1e4, 1.0), (-300.0, 0.1)])
def test_r2_does_not_depend_on_the_targets_unit(generator: torch.Generator, offset: float, scale: float) -> None:
    y = offset + scale * torch.randn(ROWS, 1, generator=generator)
    out = y + scale * torch.randn(ROWS, 1, generator=generator)
    found = Task("regression", 1).metrics(out, y, ["r2"])["r2"]
    assert_allclose(found, metrics.r2_score(y.double(), out.double()), atol=1e-3)


def test_binary(generator: torch.Generator) -> None:
    out, y = two_classes(generator)
    predicted = out > 0
    found = TWO.metrics(out, y, ["accuracy", "f1", "auroc"])
    assert_allclose(found["accuracy"], metrics.accuracy_score(y, predicted), rtol=1e-6)
    assert_allclose(found["f1"], metrics.f1_score(y, predicted), rtol=1e-6)
    assert_allclose(found["auroc"], metrics.roc_auc_score(y, out), rtol=1e-6)
    assert TWO.confusion(out, y) == metrics.confusion_matrix(y, predicted).tolist()


def test_multiclass(generator: torch.Generator) -> None:
    out, y = classes(generator)
    predicted = out.argmax(1)
    found = CLASSES.metrics(out, y, ["accuracy", "f1", "auroc"])
    assert_allclose(found["accuracy"], metrics.accuracy_score(y, predicted), rtol=1e-6)
    assert_allclose(found["f1"], metrics.f1_score(y, predicted, average="macro"), rtol=1e-6)
    expected = metrics.roc_auc_score(y, softmax(out.double()), multi_class="ovr")
    assert_allclose(found["auroc"], expected, rtol=1e-5)
    assert CLASSES.confusion(out, y) == metrics.confusion_matrix(y, predicted).tolist()


def test_accuracy_of_rows_in_unequal_classes_counts_rows(generator: torch.Generator) -> None:
    out, y = classes(generator)
    chosen = torch.cat([torch.nonzero(y == 0).flatten(), torch.nonzero(y == 1).flatten()[:5]])
    out, y = out[chosen], y[chosen]
    assert_allclose(CLASSES.metrics(out, y, ["accuracy"])["accuracy"], (out.argmax(1) == y).float().mean())


def test_a_model_that_gives_probabilities_is_measured_alike(generator: torch.Generator) -> None:
    names = ("accuracy", "f1", "auroc")
    out, y = two_classes(generator)
    own = Task("binary", 1, gives_probabilities=True)
    assert own.metrics(out.sigmoid(), y, names) == TWO.metrics(out, y, names)
    assert own.confusion(out.sigmoid(), y) == TWO.confusion(out, y)
    out, y = classes(generator)
    own = Task("multiclass", 4, gives_probabilities=True)
    found, expected = own.metrics(softmax(out), y, names), CLASSES.metrics(out, y, names)
    assert_allclose([found[name] for name in names], [expected[name] for name in names], rtol=1e-5)
    assert own.confusion(softmax(out), y) == CLASSES.confusion(out, y)


def test_probabilities_sum_to_one(generator: torch.Generator) -> None:
    out = torch.randn(ROWS, 4, generator=generator)
    own = Task("multiclass", 4, gives_probabilities=True)
    for found in (CLASSES.probabilities(out), own.probabilities(out.sigmoid())):
        assert_allclose(found.sum(1), np.ones(ROWS), rtol=1e-6)
    assert_allclose(CLASSES.probabilities(out), softmax(out), rtol=1e-5)
    assert_allclose(CLASSES.log_probabilities(out), softmax(out).log(), rtol=1e-4)
    assert_allclose(TWO.probabilities(out), 1 / (1 + (-out).exp()), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "out", "y", "left_out"),
    [
        ("regression", torch.ones(1, 1), torch.zeros(1, 1), "r2"),
        ("binary", torch.randn(5, 1), torch.ones(5, 1), "auroc"),
        ("binary", torch.randn(1, 1), torch.zeros(1, 1), "auroc"),
        ("multiclass", torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]), "auroc"),
        ("multiclass", torch.randn(1, 4), torch.tensor([3]), "auroc"),
        ("binary", torch.tensor([[0.3], [torch.nan], [0.1]]), torch.tensor([[1.0], [0], [0]]), "auroc"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_undefined_is_left_out(kind: source.TaskKind, out: Tensor, y: Tensor, left_out: str) -> None:
    """The area under the curve, where a class has no rows or a score is none; R², where there is one row."""
    found = Task(kind, out.shape[1]).metrics(out, y, vocabulary.METRICS[kind])
    assert found.keys() == set(vocabulary.METRICS[kind]) - {left_out}


def test_a_metric_that_is_not_finite_is_left_out() -> None:
    found = Task("regression", 1).metrics(torch.full((3, 1), torch.inf), torch.zeros(3, 1), ["mse", "mae"])
    assert found == {}


def test_metrics_go_by_the_names_of_the_vocabulary() -> None:
    assert {kind: tuple(found) for kind, found in METRICS.items()} == vocabulary.METRICS


@pytest.mark.parametrize(
    ("score", "mode"),
    [("val/loss", "min"), ("val/mae", "min"), ("val/mse", "min"), ("train/loss", "min")]
    + [(f"val/{name}", "max") for name in ("accuracy", "f1", "auroc", "r2")],
)
def test_losses_and_errors_are_minimized_and_the_rest_maximized(score: str, mode: str) -> None:
    assert vocabulary.mode(score) == mode
