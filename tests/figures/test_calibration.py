"""The calibration error, against torchmetrics and closed forms."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

import fulmen
from fulmen.config.validate import check
from fulmen.data.tensors import tensors
from fulmen.experiment.load import Run
from fulmen.figures import calibration
from fulmen.figures.calibration import expected_calibration_error, in_bins
from fulmen.figures.context import RunContext

Train = Callable[..., Run]
RANDOM = np.random.RandomState(0)


def test_the_error_of_one_probability_is_its_distance_from_the_frequency() -> None:
    bins = in_bins(np.full(50, 0.8), np.arange(50) < 30)
    assert expected_calibration_error(bins) == pytest.approx(0.2)
    assert bins.rows.tolist() == [0] * 11 + [50] + [0] * 3 and np.isnan(bins.fractions[0])
    assert bins.fractions[11] == 0.6 and bins.probabilities[11] == pytest.approx(0.8)


def test_the_ends_are_in_the_first_and_the_last_bin_and_an_edge_in_the_lower() -> None:
    assert np.flatnonzero(in_bins(np.array([0.0, 1.0, 1 / 3]), np.ones(3, bool)).rows).tolist() == [0, 4, 14]


def test_perfect_probabilities_have_no_error() -> None:
    chances = np.repeat((np.arange(15) + 0.5) / 15, 300)
    outcomes = np.arange(300) < (np.arange(15)[:, None] + 0.5) * 20
    assert expected_calibration_error(in_bins(chances, outcomes.ravel())) == pytest.approx(0)


@pytest.mark.parametrize("data", ["circles", "blobs"])
def test_a_run_has_the_error_of_torchmetrics(data: str, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (f"data={data}", "data.test_size=120")
    run = train(*words, max_epochs=2)
    spec = run.predictor.spec
    test = check(fulmen.compose(words)).load()["test"]
    rows = tensors(run.predictor.scaling(test), spec.task, run.predictor.dtype)
    chances, true = torch.from_numpy(run.predictor.scores_of(test.x)), torch.from_numpy(test.y)
    if data == "circles":
        wanted = binary_calibration_error(chances[:, 1].contiguous(), true, n_bins=15)
    else:
        wanted = multiclass_calibration_error(chances, true, chances.shape[1], n_bins=15)
    context = RunContext(run.predictor, {"train": rows, "test": rows}, run.metrics, [])
    figure = calibration.calibration(context)
    assert figure is not None
    upper, lower = figure.axes
    assert f"test: expected error {wanted:.3f} (120 rows)" in upper.get_title()
    assert sum(bar.get_height() for bar in lower.patches if isinstance(bar, Rectangle)) == 120
    assert ("inner" in upper.get_ylabel()) == (data == "circles")
    monkeypatch.setattr(calibration, "ROWS", 50)
    some = calibration.calibration(context)
    assert some is not None and "(50 rows)" in some.axes[0].get_title()


def test_a_regression_has_none(train: Train) -> None:
    assert calibration.calibration(RunContext(train("data=wiggle", max_epochs=1).predictor, {}, {}, [])) is None
