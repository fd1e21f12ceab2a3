"""Each recipe against its notebook, worked out anew with NumPy's global generator or scikit-learn."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_blobs, make_circles, make_moons, make_regression
from sklearn.linear_model import LinearRegression

from fulmen.data.source import Source, Split

MakeSource = Callable[..., Source]


def test_sine_boundary_is_that_of_notebook_000(source: MakeSource) -> None:
    np.random.seed(47)
    x1, x2 = ([round(np.random.uniform(-1 + 1e-5, 1 - 1e-5), 2) for _ in range(1000)] for _ in range(2))
    train = source("sine_boundary").load()["train"]
    assert_array_equal(train.x, list(zip(x1, x2, strict=True)))
    assert_array_equal(train.y, [b >= -1 / 4 + 3 / 4 * np.sin(a * np.pi) for a, b in zip(x1, x2, strict=True)])


def test_linear_1d_is_that_of_notebook_001(source: MakeSource) -> None:
    np.random.seed(42)
    x = np.random.rand(100, 1)
    _assert_shuffled_and_cut(x, 1 + 2 * x + 0.1 * np.random.randn(100, 1), source("linear_1d").load())


def test_linear_5d_is_that_of_notebook_001(source: MakeSource) -> None:
    np.random.seed(42)
    x = np.random.randn(100, 5)
    y = np.dot(x, np.array([1, 0.5, 0.1, 0, 0])) + 1 + np.random.randn(100)
    _assert_shuffled_and_cut(x, y[:, None], source("linear_5d").load())


@pytest.mark.parametrize(("name", "mse"), [("linear_1d", 0.008658), ("linear_5d", 1.712)])
def test_validation_error_of_least_squares(source: MakeSource, name: str, mse: float) -> None:
    """As measured apart from this project."""
    splits = source(name).load()
    model = LinearRegression().fit(*splits["train"])
    assert_allclose(np.mean((model.predict(splits["val"].x) - splits["val"].y) ** 2), mse, rtol=5e-4)


@pytest.mark.parametrize(
    ("name", "weights", "bias"),
    [("linear_1d", [2], 1), ("linear_5d", [1, 0.5, 0.1, 0, 0], 1)],
)
def test_linear_test_rows_follow_the_same_law(source: MakeSource, name: str, weights: list[float], bias: float) -> None:
    model = LinearRegression().fit(*source(name, test_size=40_000).load()["test"])
    assert_allclose(model.coef_[0], weights, atol=0.03)
    assert_allclose(model.intercept_, bias, atol=0.03)


@pytest.mark.parametrize(
    ("name", "weights", "bias"),
    [("regression_1d", [45.50], -0.77), ("regression_3d", [0.43, 0.62, 55.99], 11.14)],
)
def test_regression_is_that_of_notebook_003(source: MakeSource, name: str, weights: list[float], bias: float) -> None:
    """Weights and bias as the notebook prints them for scikit-learn."""
    train = source(name).load()["train"]
    x, y = make_regression(n_samples=500, n_features=len(weights), random_state=0, noise=10.0)
    assert_array_equal(train.x, x)
    assert_array_equal(train.y, y[:, None])
    model = LinearRegression().fit(*train)
    found = sorted([*model.coef_[0], *model.intercept_])
    assert_allclose(found, sorted([*weights, bias]), atol=0.005)


@pytest.mark.parametrize("name", ["regression_1d", "regression_3d"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_regression_shares_coefficients_but_no_noise(source: MakeSource, name: str, split: str) -> None:
    splits = source(name, val_size=20_000, test_size=20_000).load()
    train, held_out = (LinearRegression().fit(*splits[which]) for which in ("train", split))
    assert_allclose(held_out.coef_, train.coef_, atol=2)  # train's own error is about 10 / sqrt(500)
    residuals = splits[split].y - held_out.predict(splits[split].x)
    assert_allclose(residuals.std(), 10, rtol=0.03)
    assert not np.isin(residuals, splits["train"].y - train.predict(splits["train"].x)).any()


def test_wiggle_is_that_of_notebook_003(source: MakeSource) -> None:
    np.random.seed(2020)
    x = np.sort(np.random.randn(500))
    splits = source("wiggle").load()
    assert_array_equal(splits["train"].x[:, 0], x)
    for split in splits.values():
        assert_allclose(split.y, split.x**2 + 15 * np.sin(split.x) ** 3)


def test_circles_are_those_of_notebook_003(source: MakeSource) -> None:
    train = source("circles").load()["train"]
    x, y = make_circles(n_samples=300, factor=0.5, noise=0.1, random_state=2020)
    assert_array_equal(train.x, x)
    assert_array_equal(train.y, y)
    assert source("circles").spec.target_names[train.y[np.abs(train.x).sum(axis=1).argmin()]] == "inner"


def test_moons_are_those_of_scikit_learn(source: MakeSource) -> None:
    train = source("moons").load()["train"]
    x, y = make_moons(n_samples=300, noise=0.1, random_state=0)
    assert_array_equal(train.x, x)
    assert_array_equal(train.y, y)
    assert source("moons").spec.target_names[train.y[train.x[:, 1].argmax()]] == "upper"


def test_spirals_wind_out_half_a_turn_apart(source: MakeSource) -> None:
    for x, y in source("spirals", noise=0).load().values():
        radius, angle = np.hypot(*x.T), np.arctan2(x[:, 1], x[:, 0])
        assert np.all((radius >= 0.1) & (radius <= 1))
        assert_allclose(np.cos(angle - 1.5 * 2 * np.pi * radius - np.pi * y), 1)
        assert_array_equal(np.bincount(y), [250, 250])


def test_blobs_are_those_of_notebook_004(source: MakeSource) -> None:
    train = source("blobs").load()["train"]
    x, y = make_blobs(n_samples=200, centers=4, center_box=(-1.2, 1.2), cluster_std=[0.15] * 4, random_state=12345)
    assert_array_equal(train.x, x)
    assert_array_equal(train.y, y)


def test_blobs_binary_are_those_of_notebook_002(source: MakeSource) -> None:
    train = source("blobs_binary", seed=5).load()["train"]
    x, y = make_blobs(n_samples=40, n_features=2, cluster_std=1.5, shuffle=True, random_state=5)
    assert_array_equal(train.x, x)
    assert_array_equal(train.y, y > 0)


@pytest.mark.parametrize("name", ["blobs", "blobs_binary"])
def test_all_splits_share_the_centres(source: MakeSource, name: str) -> None:
    """The mean of 1500 points is within 0.2 of its centre; other centres would be a unit or more away."""
    train, val, test = source(name, train_size=6000, val_size=6000, test_size=6000).load().values()
    for label in np.unique(train.y):
        center = train.x[train.y == label].mean(axis=0)
        for split in (val, test):
            assert_allclose(split.x[split.y == label].mean(axis=0), center, atol=0.2)


def test_gaussian_is_standard_normal(source: MakeSource) -> None:
    for split in source("gaussian").load().values():
        for values in split:
            assert_allclose([values.mean(), values.std()], [0, 1], atol=0.04)
        assert np.abs(np.corrcoef(np.hstack(split).T) - np.eye(58)).max() < 0.2


def test_iris_petals_are_two_halves_of_two_species(source: MakeSource) -> None:
    flowers, species = load_iris(return_X_y=True)
    splits = {name: np.hstack(split) for name, split in source("iris_petals").load().items()}
    assert splits.keys() == {"train", "val"}
    _assert_same_rows(np.concatenate([*splits.values()]), flowers[species > 0])
    species_of = {tuple(flower): label for flower, label in zip(flowers, species, strict=True)}
    for rows in splits.values():
        assert_array_equal(np.bincount([species_of[tuple(row)] for row in rows]), [0, 25, 25])


def test_iris_species_is_cut_60_20_20_in_each_species(source: MakeSource) -> None:
    flowers, species = load_iris(return_X_y=True)
    splits = source("iris_species").load()
    found = np.concatenate([np.column_stack(split) for split in splits.values()])
    _assert_same_rows(found, np.column_stack([flowers, species]))
    for name, rows in (("train", 30), ("val", 10), ("test", 10)):
        assert_array_equal(np.bincount(splits[name].y), [rows] * 3)


def test_iris_names_are_those_of_scikit_learn(source: MakeSource) -> None:
    iris, petals, species = load_iris(), source("iris_petals").spec, source("iris_species").spec
    assert [*petals.feature_names, *petals.target_names] == iris.feature_names
    assert list(species.feature_names) == iris.feature_names
    assert list(species.target_names) == iris.target_names.tolist()


def _assert_shuffled_and_cut(x: np.ndarray, y: np.ndarray, splits: dict[str, Split]) -> None:
    """As notebook 001 does, from the place at which the global generator stands: the first 80 rows are train."""
    order = np.arange(100)
    np.random.shuffle(order)
    for name, rows in (("train", order[:80]), ("val", order[80:])):
        assert_array_equal(splits[name].x, x[rows])
        assert_array_equal(splits[name].y, y[rows])


def _assert_same_rows(found: np.ndarray, expected: np.ndarray) -> None:
    """In any order; a row as often as there."""
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))
