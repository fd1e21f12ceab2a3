"""Scaling against scikit-learn's, and what a checkpoint keeps of it."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import StandardScaler

from fulmen.data.scaling import Scaling, Standardizer
from fulmen.data.source import DataSpec, Split


def draw(rows: int = 20) -> Split:
    random = np.random.RandomState(0)
    return Split(random.rand(rows, 3) * 7, random.rand(rows, 2) + 5)


@pytest.mark.parametrize("scale", ["none", "features", "both"])
def test_scaling_is_fitted_on_training_rows_alone(scale: str) -> None:
    splits = {"train": draw(20), "val": draw(30)}
    scaling = Scaling.fit(splits["train"], scale, "regression")
    found = {name: scaling(split) for name, split in splits.items()}
    x, y = StandardScaler().fit(splits["train"].x), StandardScaler().fit(splits["train"].y)
    for name, split in splits.items():
        assert_allclose(found[name].x, split.x if scale == "none" else x.transform(split.x))
        assert_allclose(found[name].y, y.transform(split.y) if scale == "both" else split.y)


def test_channels_are_scaled_as_a_whole() -> None:
    images = np.random.RandomState(0).rand(30, 2, 4, 5) * np.array([1, 9]).reshape(2, 1, 1)
    split = Split(images, np.zeros(30))
    found = Scaling.fit(split, "channels", "binary")(split).x
    for channel in (0, 1):
        values = images[:, channel]
        assert_allclose(found[:, channel], (values - values.mean()) / values.std())


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 0.7, 1e6 + 0.1])
@pytest.mark.parametrize("rows", [80, 90])
def test_what_is_constant_is_only_centred(value: float, rows: int) -> None:
    """0.1 is no binary fraction: the mean of 80 of them, and so their deviation, is not quite right."""
    found = Standardizer.fit(np.full((rows, 1), value), (0,))(np.array([[value], [value + 1]]))
    assert_array_equal(np.round(found, 6), [[0], [1]])


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_classes_are_never_scaled(task: str) -> None:
    split = Split(draw().x, np.arange(20) % 2)
    assert_array_equal(Scaling.fit(split, "both", task)(split).y, split.y)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", ["none", "features", "both"])
def test_a_scaling_written_down_is_the_same_to_the_last_bit(scale: str, dtype: type[np.floating]) -> None:
    split = Split(*(values.astype(dtype) for values in draw()))
    scaling = Scaling.fit(split, scale, "regression")
    spec = DataSpec(split.x.shape[1:], split.y.shape[1], "regression", (), ("y",) * split.y.shape[1])
    again = Scaling.of(json.loads(json.dumps(scaling.plain())), spec)
    for one, other in zip(scaling(split), again(split), strict=True):
        assert one.dtype == other.dtype and (one == other).all()
