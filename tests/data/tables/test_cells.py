"""Cells as people write them: missing values, numbers, yes and no, texts; each kind in several spellings."""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fulmen.data.tables.cells import Cells, Form, Texts
from fulmen.data.tables.numbers import Number
from fulmen.data.tables.reader import read_cells


@pytest.fixture
def column(tmp_path: Path) -> Callable[..., Cells]:
    """Reads cells as the column `a` of a file, beside others."""

    def make(cells: list[str], separator: str = ",", others: dict[str, list[str]] | None = None, **form: Any) -> Cells:
        path = tmp_path / "t.csv"
        pd.DataFrame({"a": cells, **(others or {"other": ["x"] * len(cells)})}).to_csv(
            path, index=False, sep=separator, encoding="utf-8"
        )
        return read_cells(path, separator=separator, form=Form(**form))["a"]

    return make


NUMBERS: dict[str, tuple[list[str], list[float]]] = {
    "percent": (["12.5%", "3 %", "-0.5%"], [12.5, 3, -0.5]),
    "per mille": (["12‰", "3‰"], [12, 3]),
    "dollars": (["$3,400", "$1,200.50", "-$7"], [3400, 1200.5, -7]),
    "euros behind": (["3.400,00 €", "12,50 €"], [3400, 12.5]),
    "codes of currencies": (["CHF 1'200.50", "CHF 7"], [1200.5, 7]),
    "a country's dollars": (["US$5", "US$1,234,567"], [5, 1234567]),
    "decimal commas": (["1,5", "22,75"], [1.5, 22.75]),
    "points between thousands": (["1.681,62", "983,75", "1.234.567,8"], [1681.62, 983.75, 1234567.8]),
    "commas between thousands": (["1,234,567", "12"], [1234567, 12]),
    "spaces between thousands": (["1 234,5", "12\u202f345", "7\xa0000"], [1234.5, 12345, 7000]),
    "lakhs": (["12,34,567", "1,00,000.5"], [1234567, 100000.5]),
    "scientific": (["1.5e3", "2E-2", "-1e0"], [1500, 0.02, -1]),
    "scientific with a comma": (["1,234e3", "2,5E-1"], [1234, 0.25]),
    "a true minus": (["−5", "–3.5", "2"], [-5, -3.5, 2]),
    "brackets for a minus": (["(1,250.00)", "17.5"], [-1250, 17.5]),
    "brackets beside a currency": (["$ (1,250.00)", "($7)", "$17.5"], [-1250, -7, 17.5]),
    "brackets before a currency": (["(1.250,00) €", "17,5 €"], [-1250, 17.5]),
    "rupees": (["Rs. 1,00,000.50", "Rs 7"], [100000.5, 7]),
    "digits of another script": (["٣", "१२", "４.5"], [3, 12, 4.5]),
    "marks of another script": (["١٬٢٣٤٫٥", "１２．５"], [1234.5, 12.5]),
    "blanks around": ([" 5", "7 ", "\xa08\u200b"], [5, 7, 8]),
    "no digit before the point": ([".5%", "5.%"], [0.5, 5]),
}


@pytest.mark.parametrize("case", NUMBERS)
def test_numbers_are_read_however_they_are_written(case: str, column: Callable[..., Cells]) -> None:
    written, expected = NUMBERS[case]
    found = column(written, separator="\t")
    assert not found.error
    assert_array_equal(found.values, expected)


def test_a_mark_that_may_be_either_is_decided_by_the_rest_of_the_file(column: Callable[..., Cells]) -> None:
    written = ["1,234", "56,789"]
    assert "1234 with a decimal point and 1.234 with a decimal comma" in column(written).error
    for others, expected in (
        ({"b": ["0.5", "7"]}, [1234, 56789]),
        ({"b": ["0,5", "7"]}, [1.234, 56.789]),
        ({"b": ["x", "y"], "c": ["2,50 €", "3 €"]}, [1.234, 56.789]),
    ):
        assert column(written, others=others).values.tolist() == expected
    assert column(written, decimal=",").values.tolist() == [1.234, 56.789]
    assert column(written, decimal=".").values.tolist() == [1234, 56789]
    both = column(written, others={"b": ["0.5", "7"], "c": ["0,5", "7"]})
    assert "1234 with a decimal point and 1.234 with a decimal comma" in both.error


def test_a_point_is_a_decimal_point_unless_the_file_speaks_against_it(column: Callable[..., Cells]) -> None:
    written = ["1.234", "56.789"]
    assert column(written).values.tolist() == [1.234, 56.789]
    assert column(written, separator=";", others={"b": ["0,5", "1,25"]}).values.tolist() == [1234, 56789]
    assert column(written, separator=";", others={"b": ["0.5", "1.25"]}).values.tolist() == [1.234, 56.789]
    assert "which is 1.234 with a decimal point and 1234" in column(written, separator=";").error


MISSING: dict[str, tuple[list[str], list[float | str | bool | None], dict[str, int]]] = {
    "among numbers": (["1", "NA", "None", "2.5", "n/a"], [1, None, None, 2.5, None], {"NA": 1, "None": 1, "n/a": 1}),
    "marks": (["5", "?", "-", "7", "?"], [5, None, None, 7, None], {"?": 2, "-": 1}),
    "small and large letters": (["Null", "NONE", "4"], [None, None, 4], {"Null": 1, "NONE": 1}),
    "among yes and no": (["True", "null", "False"], [True, None, False], {"null": 1}),
    "among dates": (["2024-01-01", "NA"], ["2024-01-01", None], {"NA": 1}),
    "among texts": (["None", "Mild", "NA", "nan"], ["None", "Mild", "NA", "nan"], {}),
    "errors of spreadsheets among texts": (["x", "#N/A", " ", "y"], ["x", None, None, "y"], {"#N/A": 1, "": 1}),
    "percent": (["5%", "--", "."], [5, None, None], {"--": 1, ".": 1}),
    "failed formulas": (
        ["5", "#DIV/0!", "#WERT!", "#¡VALOR!"],
        [5, None, None, None],
        dict.fromkeys(["#DIV/0!", "#WERT!", "#¡VALOR!"], 1),
    ),
    "failed formulas among texts": (["x", "#tag!", "#REF!", "#NV"], ["x", "#tag!", None, None], {"#REF!": 1, "#NV": 1}),
    "with points": (["5", "n.a.", "N. A."], [5, None, None], {"n.a.": 1, "N. A.": 1}),
}


@pytest.mark.parametrize("case", MISSING)
def test_words_are_missing_values_where_the_others_are_no_texts(case: str, column: Callable[..., Cells]) -> None:
    written, expected, words = MISSING[case]
    found = column(written)
    assert [None if value != value else value for value in found.values.tolist()] == expected
    assert found.missing == words
    for word in {"None", "NA", "nan"} & set(written) if case == "among texts" else ():
        assert f"{word!r} (1)" in found.remark and "data.missing=[" in found.remark


def test_the_user_says_what_is_missing(column: Callable[..., Cells]) -> None:
    assert column(["a", "None", "b"], missing=["None"]).missing == {"None": 1}
    assert column(["1", "x", "2"], missing=["x"]).values.dropna().tolist() == [1, 2]
    for written in (["5", "-999", "7"], ["5.5", "-999.0", "7"], ["5,5", "-999", "7"]):
        found = column(written, separator=";", missing=["-999"])
        assert found.values.isna().tolist() == [False, True, False] and found.missing == {written[1]: 1}
    assert column(["5", "?", "7"], missing=[]).values.tolist() == ["5", "?", "7"]
    assert column(["5", "?", "x"], missing=["x"]).values.dropna().tolist() == [5], "the usual words stay"
    assert column(["a", "#N/A", "x"], missing=["x"]).values.dropna().tolist() == ["a"]
    assert "data.missing=[x,NA]" in column(["a", "NA", "x"], missing=["x"]).remark


def test_texts_that_differ_in_case_alone_are_said(column: Callable[..., Cells]) -> None:
    for one, other in (("Bonn", "bonn"), ("köln", "KÖLN"), ("straße", "STRASSE")):
        assert "differ in small and large letters alone" in column([one, other, "Ulm"]).remark
    assert column(["yes", "no", "No", "YES"]).remark.startswith("'yes', 'YES' differ in")
    assert not column(["Bonn", "Ulm"]).remark


def test_the_user_says_what_a_column_holds(column: Callable[..., Cells]) -> None:
    assert column(["01234", "80331"], types={"a": "text"}).values.tolist() == ["01234", "80331"]
    assert "'01234' is 1234" in column(["01234", "80331"]).remark
    assert column(["12 kg", "7.5 kg"], types={"a": "number"}).values.tolist() == [12, 7.5]
    for written in (["12 kg", "7 kg"], ["5 °C", "-7.5°C"], ["5'", "7'"], ["5″", "7″"]):
        assert "numbers with a unit" in column(written).remark
        assert column(written, types={"a": "number"}).values.dtype.kind in "if"
    assert column(["yes", "N", "1", "off"], types={"a": "yes_no"}).values.tolist() == [True, False, True, False]
    assert "must hold finite numbers" in column(["1", "one"], types={"a": "number"}).error


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Köln", "Ko\u0308ln"),
        ("Bonn", "Bonn "),
        ("Ulm", "\xa0Ulm"),
        ("é", "e\u0301\u200b"),
        ("New York", "New\xa0 York"),
        ("New York", "New\r\nYork"),
        ("각", "\u1100\u1161\u11a8"),
    ],
)
def test_texts_that_look_alike_are_one(one: str, other: str, column: Callable[..., Cells]) -> None:
    assert column([one, "x", other]).values.tolist() == [one, "x", one]


@pytest.mark.parametrize(
    "texts",
    [
        ["12A", "7B"],
        ["1-3", "4-6"],
        ["2024", "Q1"],
        ["1.2.3", "1.2.4"],
        ["+49 30 1", "12:30"],
        ["1,2,3", "4,5"],
        ["1)", "5 (2)"],
        ["(5", "5)"],
        ["$", "€"],
    ],
)
def test_what_is_no_number_stays_a_text(texts: list[str], column: Callable[..., Cells]) -> None:
    assert column(texts).values.tolist() == texts


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(
    value=st.decimals(-(10**9), 10**9, places=2),
    style=st.sampled_from([(".", ","), (".", "'"), (".", " "), (",", "."), (",", "\u202f"), (".", ""), (",", "")]),
    sign=st.sampled_from(["", "%", "$", "€", "CHF "]),
    minus=st.sampled_from(["-", "−"]),
)
def test_every_number_has_its_value_among_its_readings(
    value: Any, style: tuple[str, str], sign: str, minus: str
) -> None:
    point, mark = style
    shown = f"{abs(value):,.2f}".replace(",", "\0").replace(".", point).replace("\0", mark)
    text = f"{minus * (value < 0)}{'' if sign == '%' else sign}{shown}{sign if sign == '%' else ''}"
    number = Number.of(text)
    assert number is not None and float(number.values[point]) == float(value)
    assert number.shows == point, "two digits behind the point are no thousands"


@settings(max_examples=60, deadline=None, database=None, derandomize=True)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8), min_size=1, max_size=8))
def test_no_cell_is_lost(cells: list[str]) -> None:
    """Each is a text without blanks at its ends, a number, yes or no, or said to be missing."""
    texts = Texts(pd.Series([cell or None for cell in cells], dtype="str", name="a"), Form())
    found = texts.decide(texts.shown)
    assert len(found.values) == len(cells)
    assert found.values.isna().sum() == sum(found.missing.values())
    for cell, value in zip(cells, found.values, strict=True):
        if isinstance(value, str):
            assert value in unicodedata.normalize("NFC", cell)
