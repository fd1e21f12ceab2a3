"""Metrics by name are those of scikit-learn or torchmetrics; which way each is better, stands in its name."""

import numpy as np
import pytest
import torch
import torchmetrics
from numpy.testing import assert_allclose
from sklearn import metrics
from torch import Tensor
from torchmetrics import classification, regression

from fulmen.data.source import TaskKind
from fulmen.errors import ConfigurationError
from fulmen.tasks.further_metrics import as_metric
from fulmen.tasks.names import FURTHER, mode
from fulmen.tasks.task import Task

TASKS: dict[TaskKind, Task] = {
    "regression": Task("regression", 2, mean=(5.0, 6.0), std=(1.0, 2.0)),
    "binary": Task("binary", 1),
    "multiclass": Task("multiclass", 6),
}


def drawn(task: Task) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    out = torch.randn(200, task.out_features, generator=generator)
    if task.kind == "multiclass":
        return out, torch.randint(0, 5, (200,), generator=generator)  # the last class does not occur
    if task.kind == "binary":
        return out, (out + torch.randn(200, 1, generator=generator) > 0).float()
    return out, out + torch.randn(200, 2, generator=generator) / 2


@pytest.mark.parametrize("kind", FURTHER)
def test_every_name_gives_a_number(kind: TaskKind) -> None:
    out, y = drawn(TASKS[kind])
    for name in FURTHER[kind]:
        metric = as_metric(name, name)
        metric.check(TASKS[kind])
        assert np.isfinite(metric(out, y, TASKS[kind])), name


def test_scikit_learn_agrees() -> None:
    task = TASKS["multiclass"]
    out, y = drawn(task)
    predicted, true, probabilities = out.argmax(1).numpy(), y.numpy(), out.softmax(1).numpy()
    with pytest.warns(UserWarning, match="y_pred contains classes"):
        balanced = metrics.balanced_accuracy_score(true, predicted)
    expected = {
        "balanced_accuracy": balanced,
        "cohen_kappa": metrics.cohen_kappa_score(true, predicted),
        "matthews_corrcoef": metrics.matthews_corrcoef(true, predicted),
        "top3": metrics.top_k_accuracy_score(true, probabilities, k=3, labels=range(6)),
    }
    for name, value in expected.items():
        assert_allclose(as_metric(name, name)(out, y, task), value, rtol=1e-5, err_msg=name)


def test_errors_are_in_the_units_of_the_targets() -> None:
    task = TASKS["regression"]
    out, y = drawn(task)
    predicted, true = (scaled.double().numpy() * [1, 2] + [5, 6] for scaled in (out, y))
    expected = metrics.mean_absolute_percentage_error(true, predicted)
    assert_allclose(
        as_metric("mean_absolute_percentage_error", "mean_absolute_percentage_error")(out, y, task), expected, rtol=1e-5
    )


def test_which_way_is_better_is_torchmetrics_own() -> None:
    for kind, names in FURTHER.items():
        homes = [(regression, "")] if kind == "regression" else [(classification, "Binary")]
        for name in names:
            camel = "".join(map(str.capitalize, name.split("_"))).replace("Corrcoef", "CorrCoef")
            found = next((getattr(home, start + camel, None) for home, start in homes), None)
            better = None if found is None else found.higher_is_better
            assert found is None or issubclass(found, torchmetrics.Metric)
            if better is not None:
                assert mode(f"val/{name}") == ("max" if better else "min"), name
    assert [mode(name) for name in ("val/top5", "val/rmse", "val/profit_score", "val/cost_error", "val/r2")] == [
        "max",
        "min",
        "max",
        "min",
        "max",
    ]


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (lambda: 0.0, "takes 0 positional arguments"),
        (lambda prediction: 0.0, "takes 1 positional argument"),
        (lambda prediction, target: None, "returned None"),
        (lambda prediction, target: prediction, r"returned a tensor of shape \(3,\)"),
        (lambda prediction, target: prediction @ prediction[None].T.T.T.T, "failed with"),
    ],
)
def test_an_own_metric_that_is_wrong_is_shown_its_signature(own: object, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{said}.*metric\(prediction, target, \*\*keys\)"):
        as_metric(own, "own_score").check(TASKS["binary"])


def test_an_own_metric_may_change_what_it_is_given() -> None:
    task = TASKS["multiclass"]
    out, y = drawn(task)
    before = out.clone(), y.clone()

    def own(prediction: Tensor, target: Tensor) -> Tensor:
        return prediction.zero_().sum() + target.zero_().sum()

    assert as_metric(own, "own_error")(out, y, task) == 0
    assert out.equal(before[0]) and y.equal(before[1])
