"""Figures added up chunk by chunk are those of all rows at once."""

import itertools

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn import metrics
from torch import Tensor

from fulmen.data import source
from fulmen.tasks import losses
from fulmen.tasks import metrics as tally
from fulmen.tasks.losses import Loss
from fulmen.tasks.metrics import AUROC, StreamingMetrics
from fulmen.tasks.names import METRICS
from fulmen.tasks.task import Task

ROWS = 1000
CUTS = [0, 1, 300, 301, 888, ROWS]


def drawn(kind: source.TaskKind, dtype: torch.dtype) -> tuple[Task, Tensor, Tensor]:
    """Scores that say something of the targets; some of those of two classes are equal."""
    generator = torch.Generator().manual_seed(0)
    if kind == "regression":
        y = 100 + torch.randn(ROWS, 3, generator=generator) * torch.tensor([1.0, 10.0, 0.1])
        task = Task(kind, 3, mean=(0.0,) * 3, std=(1.0, 2.0, 7.0))
        return task, (y + torch.randn(ROWS, 3, generator=generator)).to(dtype), y.to(dtype)
    task = Task(kind, 1 if kind == "binary" else 4)
    classes = torch.randint(0, max(2, task.out_features), (ROWS,), generator=generator)
    out = torch.randn(ROWS, task.out_features, generator=generator)
    if kind == "binary":
        return task, (out.round(decimals=1) + classes[:, None]).to(dtype), classes[:, None].to(dtype)
    return task, (out + torch.eye(4)[classes]).to(dtype), classes


OWN = losses.auto()


class OwnSum:
    """A loss of the user's own."""

    reduction = "sum"

    def __call__(self, out: Tensor, y: Tensor, task: Task) -> Tensor:
        return losses.summed_squared_error(out, y, task)


def added_up(task: Task, out: Tensor, y: Tensor, loss: Loss = OWN) -> StreamingMetrics:
    found = StreamingMetrics(task, loss, len(y))
    for start, stop in itertools.pairwise(CUTS):
        found.add(out[start:stop], y[start:stop])
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "loss", [losses.auto(), losses.sse(), losses.mae(), losses.as_loss(OwnSum())], ids=lambda loss: loss.name
)
@pytest.mark.parametrize("kind", METRICS)
def test_they_are_those_of_all_rows_at_once(kind: source.TaskKind, loss: Loss, dtype: torch.dtype) -> None:
    task, out, y = drawn(kind, dtype)
    found, expected = added_up(task, out, y, loss).figures(METRICS[kind]), task.metrics(out, y, METRICS[kind])
    assert_allclose(found["loss"], loss(out, y, task).item(), rtol=1e-6)
    for name in METRICS[kind]:
        assert_allclose(found[name], expected[name], rtol=2e-6)


def test_scikit_learn_agrees() -> None:
    task, out, y = drawn("regression", torch.float64)
    std = torch.tensor([1.0, 2.0, 7.0])
    found = added_up(task, out, y).figures(["r2", "mse"])
    assert_allclose(found["r2"], metrics.r2_score(y, out), rtol=1e-12)
    assert_allclose(found["mse"], metrics.mean_squared_error(y * std, out * std), rtol=1e-12)
    task, out, y = drawn("multiclass", torch.float64)
    counted = added_up(task, out, y)
    found = counted.figures(["f1", "auroc"])
    assert_allclose(found["f1"], metrics.f1_score(y, out.argmax(1), average="macro"), rtol=1e-12)
    assert_allclose(found["auroc"], metrics.roc_auc_score(y, out.softmax(1), multi_class="ovr"), rtol=1e-12)
    assert counted.confusion() == metrics.confusion_matrix(y, out.argmax(1)).tolist()


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_a_class_without_rows(kind: source.TaskKind) -> None:
    """Leaves the area undefined, and F1 as it is for all rows at once."""
    task, out, y = drawn(kind, torch.float64)
    y = torch.zeros_like(y) if kind == "binary" else y.clamp(max=2)
    out = out if kind == "binary" else out - torch.tensor([0.0, 0.0, 0.0, 9.0])
    found, expected = added_up(task, out, y).figures(METRICS[kind]), task.metrics(out, y, METRICS[kind])
    assert found.keys() == {"loss", *METRICS[kind]} - {"auroc"}
    assert_allclose([found["accuracy"], found["f1"]], [expected["accuracy"], expected["f1"]], rtol=1e-6)
    predicted = out.flatten() > 0 if kind == "binary" else out.argmax(1)
    kinds = {"average": "macro"} if kind == "multiclass" else {"zero_division": 0.0}
    assert_allclose(found["f1"], metrics.f1_score(y.flatten(), predicted, **kinds), rtol=1e-12)


def test_of_a_constant_target_r2_is_as_at_once() -> None:
    task, out, y = drawn("regression", torch.float64)
    y[:, 1] = 5
    for prediction in (out, torch.cat([out[:, :1], y[:, 1:2], out[:, 2:]], 1)):
        expected = task.metrics(prediction, y, ["r2"])["r2"]
        assert_allclose(added_up(task, prediction, y).figures(["r2"])["r2"], expected, rtol=1e-6)


def test_of_a_large_mean_little_is_lost() -> None:
    task, out, y = drawn("regression", torch.float64)
    found = added_up(task, out + 1e8, y + 1e8).figures(["r2"])["r2"]
    assert_allclose(found, metrics.r2_score(y, out), rtol=1e-6)


def test_of_very_many_probabilities_the_area_is_that_of_every_nth_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "RANKED", 4 * (ROWS // 3 + 1))
    task, out, y = drawn("multiclass", torch.float64)
    expected = metrics.roc_auc_score(y[::3], out[::3].softmax(1), multi_class="ovr")
    assert_allclose(added_up(task, out, y).figures(["auroc"])["auroc"], expected, rtol=1e-12)


def test_equal_probabilities_count_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "AT_ONCE", 3)
    random = np.random.default_rng(0)
    probabilities, true = random.integers(0, 5, 50) / 4, random.random(50) < 0.3
    area = AUROC(60)
    area.add(probabilities[:20], true[:20])
    area.add(probabilities[20:], true[20:])
    assert_allclose(area.value(), metrics.roc_auc_score(true, probabilities), rtol=1e-12)


def test_what_is_no_number_gives_none() -> None:
    task, out, y = drawn("binary", torch.float64)
    out[7] = torch.nan
    assert "auroc" not in added_up(task, out, y).figures(["auroc"])
    task, out, y = drawn("regression", torch.float64)
    out[7] = torch.inf
    assert added_up(task, out, y).figures(["mse", "mae", "r2"]).keys() == {"loss"}
