"""Figures added up chunk by chunk are those of all rows at once."""

import itertools
from collections.abc import Sequence

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
from fulmen.tasks.metrics import AUROC, Classes, StreamingMetrics
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


def added_up(
    task: Task, out: Tensor, y: Tensor, loss: Loss = OWN, cuts: Sequence[int] = CUTS
) -> tuple[dict[str, float], StreamingMetrics]:
    """The loss and metrics of rows that come in chunks."""
    found = StreamingMetrics(task, loss, len(y))
    for start, stop in itertools.pairwise(cuts):
        found.add(out[None, start:stop], y[None, start:stop])
    return found.results()[0], found


def at_once(task: Task, out: Tensor, y: Tensor, loss: Loss = OWN) -> dict[str, float]:
    return added_up(task, out, y, loss, [0, ROWS])[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "loss", [losses.auto(), losses.sse(), losses.mae(), losses.as_loss(OwnSum())], ids=lambda loss: loss.name
)
@pytest.mark.parametrize("kind", METRICS)
def test_they_are_those_of_all_rows_at_once(kind: source.TaskKind, loss: Loss, dtype: torch.dtype) -> None:
    task, out, y = drawn(kind, dtype)
    found, expected = added_up(task, out, y, loss)[0], at_once(task, out, y, loss)
    assert_allclose(found["loss"], loss(out, y, task).item(), rtol=1e-6)
    for name in METRICS[kind]:
        assert_allclose(found[name], expected[name], rtol=2e-6)


def test_scikit_learn_agrees() -> None:
    task, out, y = drawn("regression", torch.float64)
    std = torch.tensor([1.0, 2.0, 7.0])
    found, _ = added_up(task, out, y)
    assert_allclose(found["r2"], metrics.r2_score(y, out), rtol=1e-12)
    assert_allclose(found["mse"], metrics.mean_squared_error(y * std, out * std), rtol=1e-12)
    task, out, y = drawn("multiclass", torch.float64)
    found, counted = added_up(task, out, y)
    assert_allclose(found["f1"], metrics.f1_score(y, out.argmax(1), average="macro"), rtol=1e-12)
    assert_allclose(found["auroc"], metrics.roc_auc_score(y, out.softmax(1), multi_class="ovr"), rtol=1e-12)
    assert isinstance(counted.metrics, Classes)
    assert counted.metrics.counts[0].tolist() == metrics.confusion_matrix(y, out.argmax(1)).tolist()


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_a_class_without_rows(kind: source.TaskKind) -> None:
    """Leaves the area undefined; F1 of two classes only where it is the second that has none."""
    task, out, y = drawn(kind, torch.float64)
    y = torch.ones_like(y) if kind == "binary" else y.clamp(max=2)
    out = out if kind == "binary" else out - torch.tensor([0.0, 0.0, 0.0, 9.0])
    found = added_up(task, out, y)[0]
    assert found.keys() == {"loss", "accuracy", "f1"}
    predicted = out.flatten() > 0 if kind == "binary" else out.argmax(1)
    average = "macro" if kind == "multiclass" else "binary"
    assert_allclose(found["f1"], metrics.f1_score(y.flatten(), predicted, average=average), rtol=1e-12)
    assert_allclose(found["accuracy"], metrics.accuracy_score(y.flatten(), predicted), rtol=1e-12)
    if kind == "binary":
        assert added_up(task, out, torch.zeros_like(y))[0].keys() == {"loss", "accuracy"}


def test_r2_of_rows_in_the_order_of_their_targets() -> None:
    """The first chunk, whose spread is the unit, says little of the others."""
    task, out, y = drawn("regression", torch.float64)
    order = y[:, 0].argsort()
    out, y = out[order], y[order]
    assert_allclose(added_up(task, out, y)[0]["r2"], metrics.r2_score(y, out), rtol=1e-9)
    y[:300, 1] = 5
    assert_allclose(added_up(task, out, y)[0]["r2"], metrics.r2_score(y, out), rtol=1e-9)
    y[300:, 1] = 5 + 1e-4 * torch.rand(ROWS - 300, dtype=torch.float64)
    out[:, 1] = 5
    assert_allclose(added_up(task, out, y)[0]["r2"], metrics.r2_score(y, out), rtol=1e-6)
    y[:, 1] = 5
    assert "r2" not in added_up(task, out, y)[0]


def test_of_a_large_mean_little_is_lost() -> None:
    task, out, y = drawn("regression", torch.float64)
    found = added_up(task, out + 1e8, y + 1e8)[0]["r2"]
    assert_allclose(found, metrics.r2_score(y, out), rtol=1e-6)


def test_of_very_many_probabilities_the_area_is_that_of_every_nth_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "RANKED", 4 * (ROWS // 3 + 1))
    task, out, y = drawn("multiclass", torch.float64)
    expected = metrics.roc_auc_score(y[::3], out[::3].softmax(1), multi_class="ovr")
    assert_allclose(added_up(task, out, y)[0]["auroc"], expected, rtol=1e-12)


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
    assert "auroc" not in added_up(task, out, y)[0]
    task, out, y = drawn("regression", torch.float64)
    out[7] = torch.inf
    assert not added_up(task, out, y)[0].keys() & {"mse", "rmse", "mae", "r2"}
