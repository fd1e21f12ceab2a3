"""Metrics against scikit-learn's."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn import metrics
from torch import Tensor

from fulmen.data import source
from fulmen.data.tensors import Batch
from fulmen.tasks import losses
from fulmen.tasks import names as vocabulary
from fulmen.tasks.metrics import Classes, StreamingMetrics, undefined
from fulmen.tasks.task import Task

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


def measured(task: Task, out: Tensor, y: Tensor) -> dict[str, float]:
    """The metrics of all rows, given at once."""
    found = StreamingMetrics(task, losses.auto(), len(y))
    found.add(out.unsqueeze(0), y.unsqueeze(0))
    return {name: value for name, value in found.results()[0].items() if name != "loss"}


def confusion(task: Task, out: Tensor, y: Tensor) -> list[list[int]]:
    found = Classes(task, len(y), 1)
    found.add(out.unsqueeze(0), y.unsqueeze(0))
    counts: list[list[int]] = found.counts[0].tolist()
    return counts


def softmax(out: Tensor) -> Tensor:
    return out.exp() / out.exp().sum(1, keepdim=True)


@pytest.mark.parametrize("targets", [1, 3])
def test_regression(generator: torch.Generator, targets: int) -> None:
    y = torch.randn(ROWS, targets, generator=generator) * torch.tensor([1.0, 10.0, 100.0])[:targets]
    out = y + torch.randn(ROWS, targets, generator=generator)
    expected = {
        "mse": metrics.mean_squared_error(y, out),
        "rmse": metrics.root_mean_squared_error(y.flatten(), out.flatten()),  # over all targets at once
        "mae": metrics.mean_absolute_error(y, out),
        "r2": metrics.r2_score(y, out),
    }
    found = measured(Task("regression", targets), out, y)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1e-5), (0.0, 1e-3), (1e4, 1.0), (-300.0, 0.1)])
def test_r2_does_not_depend_on_the_targets_unit(generator: torch.Generator, offset: float, scale: float) -> None:
    y = offset + scale * torch.randn(ROWS, 1, generator=generator)
    out = y + scale * torch.randn(ROWS, 1, generator=generator)
    found = measured(Task("regression", 1), out, y)["r2"]
    assert_allclose(found, metrics.r2_score(y.double(), out.double()), atol=1e-3)


def test_binary(generator: torch.Generator) -> None:
    out, y = two_classes(generator)
    predicted = out > 0
    found = measured(TWO, out, y)
    assert_allclose(found["accuracy"], metrics.accuracy_score(y, predicted), rtol=1e-6)
    assert_allclose(found["f1"], metrics.f1_score(y, predicted), rtol=1e-6)
    assert_allclose(found["auroc"], metrics.roc_auc_score(y, out), rtol=1e-6)
    assert confusion(TWO, out, y) == metrics.confusion_matrix(y, predicted).tolist()


def test_multiclass(generator: torch.Generator) -> None:
    out, y = classes(generator)
    predicted = out.argmax(1)
    found = measured(CLASSES, out, y)
    assert_allclose(found["accuracy"], metrics.accuracy_score(y, predicted), rtol=1e-6)
    assert_allclose(found["f1"], metrics.f1_score(y, predicted, average="macro"), rtol=1e-6)
    expected = metrics.roc_auc_score(y, softmax(out.double()), multi_class="ovr")
    assert_allclose(found["auroc"], expected, rtol=1e-5)
    assert confusion(CLASSES, out, y) == metrics.confusion_matrix(y, predicted).tolist()


def test_accuracy_of_rows_in_unequal_classes_counts_rows(generator: torch.Generator) -> None:
    out, y = classes(generator)
    chosen = torch.cat([torch.nonzero(y == 0).flatten(), torch.nonzero(y == 1).flatten()[:5]])
    out, y = out[chosen], y[chosen]
    assert_allclose(measured(CLASSES, out, y)["accuracy"], (out.argmax(1) == y).float().mean())


def test_a_model_that_gives_probabilities_is_measured_alike(generator: torch.Generator) -> None:
    out, y = two_classes(generator)
    own = Task("binary", 1, gives_probabilities=True)
    assert measured(own, out.sigmoid(), y) == measured(TWO, out, y)
    assert confusion(own, out.sigmoid(), y) == confusion(TWO, out, y)
    out, y = classes(generator)
    own = Task("multiclass", 4, gives_probabilities=True)
    found, expected = measured(own, softmax(out), y), measured(CLASSES, out, y)
    assert_allclose(list(found.values()), list(expected.values()), rtol=1e-5)
    assert confusion(own, softmax(out), y) == confusion(CLASSES, out, y)


def test_probabilities_sum_to_one(generator: torch.Generator) -> None:
    out = torch.randn(ROWS, 4, generator=generator)
    own = Task("multiclass", 4, gives_probabilities=True)
    for found in (CLASSES.probabilities(out), own.probabilities(out.sigmoid())):
        assert_allclose(found.sum(1), np.ones(ROWS), rtol=1e-6)
    assert_allclose(CLASSES.probabilities(out), softmax(out), rtol=1e-5)
    assert_allclose(TWO.probabilities(out), 1 / (1 + (-out).exp()), rtol=1e-5)


@pytest.mark.parametrize(
    ("kind", "out", "y", "left_out"),
    [
        ("regression", torch.ones(1, 1), torch.zeros(1, 1), {"r2"}),
        ("regression", torch.randn(9, 2), torch.randn(9, 2) * torch.tensor([1.0, 0.0]) + 7, {"r2"}),
        ("regression", torch.full((9, 1), 7.0), torch.full((9, 1), 7.0), {"r2"}),
        ("binary", torch.randn(5, 1), torch.ones(5, 1), {"auroc"}),
        ("binary", torch.randn(1, 1), torch.zeros(1, 1), {"auroc", "f1"}),
        ("multiclass", torch.randn(6, 4), torch.tensor([0, 1, 2, 0, 1, 2]), {"auroc"}),
        ("multiclass", torch.randn(1, 4), torch.tensor([3]), {"auroc"}),
        ("binary", torch.tensor([[0.3], [torch.nan], [0.1]]), torch.tensor([[1.0], [0], [0]]), {"auroc"}),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_undefined_is_left_out(kind: source.TaskKind, out: Tensor, y: Tensor, left_out: set[str]) -> None:
    """The area under the curve, where a class has no rows or a score is NaN; R², where a target is constant."""
    assert measured(Task(kind, out.shape[1]), out, y).keys() == set(vocabulary.METRICS[kind]) - left_out
    if not out.isnan().any():
        names = tuple(map(str, range(max(2, out.shape[1]))))
        spec = source.DataSpec((1,), out.shape[1], kind, ("x",), names)
        assert undefined(spec, Batch(out, y)).keys() == left_out, "which the rows alone say, too"


def test_a_metric_that_is_not_finite_is_left_out() -> None:
    assert measured(Task("regression", 1), torch.full((3, 1), torch.inf), torch.zeros(3, 1)) == {}


@pytest.mark.parametrize(
    ("score", "mode"),
    [("val/loss", "min"), ("val/mae", "min"), ("val/mse", "min"), ("train/loss", "min")]
    + [(f"val/{name}", "max") for name in ("accuracy", "f1", "auroc", "r2")],
)
def test_losses_and_errors_are_minimized_and_the_rest_maximized(score: str, mode: str) -> None:
    assert vocabulary.mode(score) == mode
