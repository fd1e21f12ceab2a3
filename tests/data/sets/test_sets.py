"""What holds for every data set of `conf/data/`: the directory listing is the list of cases."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hydra.errors import InstantiationException
from hydra.utils import get_class
from omegaconf import OmegaConf

from fulmen.data.sets.synthetic import Sized
from fulmen.data.source import Source, Split

MakeSource = Callable[..., Source]
CONF = Path(__file__).parents[3] / "conf" / "data"
NAMES = sorted(path.stem for path in CONF.glob("*.yaml") if path.stem not in ("arrays", "images", "table"))
SIZED = [name for name in NAMES if issubclass(get_class(OmegaConf.load(CONF / f"{name}.yaml")._target_), Sized)]
EQUAL_ROWS = {
    "sine_boundary",  # coordinates are rounded to two decimals
    "iris_petals",  # some flowers have equal lengths
    "iris_species",
}
"""Data sets in which different rows may be equal."""
FEW = {"mnist": {"train_size": 2000, "val_size": 500, "test_size": 500}}
"""Reading all of MNIST takes long, and test_mnist.py does."""


@pytest.mark.parametrize("name", NAMES)
def test_arrays_are_as_the_joint_says(source: MakeSource, name: str) -> None:
    made = source(name, **FEW.get(name, {}))
    spec, splits = made.spec, made.load()
    assert "train" in splits and set(splits) <= {"train", "val", "test"}
    for x, y in splits.values():
        assert x.shape == (len(y), *spec.in_shape)
        assert np.issubdtype(x.dtype, np.floating) and np.isfinite(x).all()
        if spec.task == "regression":
            assert np.issubdtype(y.dtype, np.floating) and y.shape == (len(x), spec.out_features)
            assert len(spec.target_names) == spec.out_features
        else:
            assert np.issubdtype(y.dtype, np.integer)
            assert np.array_equal(np.unique(y), np.arange(len(spec.target_names))), "a class is missing or unnamed"
            assert spec.out_features == (1 if spec.task == "binary" else len(spec.target_names))
    assert len(spec.feature_names) in (0, spec.in_shape[0])
    assert bool(spec.feature_names) == (len(spec.in_shape) == 1)


@pytest.mark.parametrize("name", NAMES)
def test_every_load_gives_the_same_and_another_seed_something_else(source: MakeSource, name: str) -> None:
    first, again, other = (source(name, **FEW.get(name, {}), **seed).load() for seed in ({}, {}, {"seed": 99}))
    assert first.keys() == again.keys() == other.keys()
    for split in first:
        assert np.array_equal(first[split].x, again[split].x) and np.array_equal(first[split].y, again[split].y)
        assert not np.array_equal(first[split].x, other[split].x)


@pytest.mark.parametrize("name", sorted(set(NAMES) - EQUAL_ROWS))
def test_no_row_is_in_two_splits(source: MakeSource, name: str) -> None:
    for one, other in combinations(map(_rows, source(name, **FEW.get(name, {})).load().values()), 2):
        assert not one & other


def test_few_points_of_the_sine_boundary_fall_together(source: MakeSource) -> None:
    """Of 1000 points on a grid of 200 by 200, about 25 fall on one of another 1000."""
    for one, other in combinations(map(_rows, source("sine_boundary").load().values()), 2):
        assert len(one & other) < 60


@pytest.mark.parametrize("name", SIZED)
def test_a_split_of_size_0_is_absent(source: MakeSource, name: str) -> None:
    assert source(name, val_size=0).load().keys() == {"train", "test"}
    assert source(name, test_size=0).load().keys() == {"train", "val"}
    train = source(name, val_size=0, test_size=0, train_size=30).load()
    assert train.keys() == {"train"} and len(train["train"].x) == 30


@pytest.mark.parametrize(
    ("name", "keys", "sentence"),
    [
        (
            "wiggle",
            {"train_size": 0},
            "data.train_size is 0, but must be a whole number of at least 1 and at most 10000000",
        ),
        (
            "gaussian",
            {"train_size": 2 * 10**9},
            "data.train_size is 2000000000, but must be a whole number of at least 1 and at most 10000000",
        ),
        (
            "wiggle",
            {"val_size": -1},
            "data.val_size is -1, but must be a whole number of at least 0 and at most 10000000",
        ),
        (
            "wiggle",
            {"test_size": 0.5},
            "data.test_size is 0.5, but must be a whole number of at least 0 and at most 10000000",
        ),
        (
            "wiggle",
            {"train_size": "many"},
            "data.train_size is 'many', but must be a whole number of at least 1 and at most 10000000",
        ),
        ("mnist_5k", {"seed": -3}, "data.seed is -3, but must be a whole number of at least 0 and at most 4294967295"),
        ("regression_1d", {"noise": -1.0}, "data.noise is -1.0, but must be a number in [0, inf)"),
        ("spirals", {"noise": float("inf")}, "data.noise is inf, but must be a number in [0, inf)"),
        ("circles", {"factor": 1.0}, "data.factor is 1.0, but must be a number in (0, 1)"),
        (
            "circles",
            {"noise": 0},
            "data.noise is 0, but must be a number in (0, inf); with 0, all splits would contain the same points",
        ),
        (
            "moons",
            {"noise": float("nan")},
            "data.noise is nan, but must be a number in (0, inf); with 0, all splits would contain the same points",
        ),
        (
            "blobs",
            {"std": 0.0},
            "data.std is 0.0, but must be a number in (0, inf); with 0, all splits would contain the same points",
        ),
        (
            "mnist_5k",
            {"train_size": 4500, "val_size": 600},
            "data.train_size=4500, data.val_size=600, data.test_size=500 need more than the 5000 digits available: "
            "reduce them.",
        ),
        (
            "mnist",
            {"train_size": 55001},
            "data.train_size=55001, data.val_size=5000 need more than the 60000 digits available: reduce them.",
        ),
        ("mnist", {"test_size": 10001}, "data.test_size=10001 need more than the 10000 digits available: reduce them."),
        (
            "mnist",
            {"mirrors": "http://x.org"},
            "data.mirrors is 'http://x.org': give a list, data.mirrors=[http://x.org].",
        ),
    ],
)
def test_a_wrong_key_is_refused_in_a_sentence(
    source: MakeSource, name: str, keys: dict[str, object], sentence: str
) -> None:
    with pytest.raises(InstantiationException) as caught:
        source(name, **keys)
    assert isinstance(caught.value.__cause__, ValueError)
    assert str(caught.value.__cause__) == sentence


def _rows(split: Split) -> set[int]:
    """A number for each row, by its values."""
    return {hash(row.tobytes()) for row in split.x}
