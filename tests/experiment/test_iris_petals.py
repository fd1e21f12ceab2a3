"""The notebooks' experiments: medians over five seeds, in the ranges that a plain loop was measured to have."""

import functools
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import fulmen
from fulmen.experiment.load import Run

SEEDS = range(5)
RANGES = {
    "iris_petals_autograd": {"train/loss": (39.8, 63.9), "val/loss": (50.7, 97.4)},
    "iris_petals_nn": {"train/loss": (34.9, 51.1), "val/loss": (37.5, 61.8)},
    "iris_petals_adam": {"train/loss": (34.0, 50.3), "val/loss": (37.3, 63.5)},
}
"""5th and 95th percentile over 40 seeds, with the recipe of the notebook but features scaled on the training rows."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiments")


@functools.cache
def runs(name: str, folder: Path, seeds: range = SEEDS) -> list[Run]:
    """One for each seed."""
    config, found = fulmen.compose([f"experiment={name}", "logger=none", "figures=none", "accelerator=cpu"]), []
    for seed in seeds:
        config.seed = seed  # and with it the seed of the division, which refers to it
        found.append(fulmen.train(config, folder=folder / f"{name}_{seed}", verbose=False))
    return found


@pytest.mark.parametrize(("name", "figure"), [(name, figure) for name, ranges in RANGES.items() for figure in ranges])
def test_medians_are_in_range(name: str, figure: str, folder: Path) -> None:
    low, high = RANGES[name][figure]
    assert low <= np.median([run.metrics[figure] for run in runs(name, folder)]) <= high


@pytest.mark.parametrize("name", ["iris_petals_numpy", "iris_petals_tensors"])
def test_the_gradient_by_hand_leads_where_autograd_does(name: str, folder: Path) -> None:
    """And so into its range."""
    (found,), expected = runs(name, folder, range(1)), runs("iris_petals_autograd", folder)[0]
    for one, other in zip(found.model.parameters(), expected.model.parameters(), strict=True):
        assert_allclose(one.detach(), other.detach(), rtol=0, atol=1e-10)
    assert found.metrics["val/loss"] == pytest.approx(expected.metrics["val/loss"], rel=1e-8)


def test_seeds_divide_the_flowers_differently(folder: Path) -> None:
    assert len({run.metrics["val/loss"] for run in runs("iris_petals_nn", folder)}) == len(SEEDS)
    config = fulmen.compose(["experiment=iris_petals_numpy", "seed=7"])
    assert config.data.seed == 7
