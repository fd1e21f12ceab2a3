"""New rows are read as the training rows were: by their types, their points and signs, their words for yes and no."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from fulmen.cli.main import main
from fulmen.data.sets.table import Table

HEADER = "member,code,size,city"
TRAINING = pd.DataFrame(
    {
        "member": [True, False] * 30,
        "code": [1, 2, 3] * 20,
        "size": np.arange(60) / 8 + 0.25,
        "city": ["Köln", "Bonn", "01"] * 20,
        "y": np.arange(60) / 3,
    }
)
ROW: list[float] = [1, 2, 10.5, 0, 1, 0]
"""True, 2, 10.5 and Bonn."""


@pytest.fixture
def trained(write: Callable[..., Path], made: Callable[..., Table]) -> Table:
    table = made(write(TRAINING), "y")
    table.load()
    assert table.spec.feature_names == ("member", "code", "size", "city=01", "city=Bonn", "city=Köln")
    return table


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., str]:
    def to_file(*lines: str) -> str:
        (tmp_path / "new.csv").write_text("\n".join(lines) + "\n", "utf-8")
        return str(tmp_path / "new.csv")

    return to_file


GOOD: dict[str, tuple[tuple[str, ...], dict[str, Any], list[float]]] = {
    "as before": ((HEADER, "True,2,10.5,Bonn"), {}, ROW),
    "another order": (("city,size,code,member,more", "Bonn,10.5,2,True,x"), {}, ROW),
    "yes": ((HEADER, "yes,2,10.5,Bonn"), {}, ROW),
    "y": ((HEADER, "Y,2,10.5,Bonn"), {}, ROW),
    "1": ((HEADER, "1,2,10.5,Bonn"), {}, ROW),
    "no": ((HEADER, "no,2,10.5,Bonn"), {}, [0, *ROW[1:]]),
    "blanks": ((HEADER, "True , 2,10.5 ,Bonn "), {}, ROW),
    "letters in two parts": ((HEADER, "True,2,10.5,Ko\u0308ln"), {}, [*ROW[:3], 0, 0, 1]),
    "a code with a zero": ((HEADER, "True,2,10.5,01"), {}, [*ROW[:3], 1, 0, 0]),
    "a word for a missing number": ((HEADER, "True,?,10.5,Bonn"), {}, [1, 2, *ROW[2:]]),
    "its own word for a missing number": ((HEADER, "True,n.d.,10.5,Bonn"), {"missing": ["n.d."]}, [1, 2, *ROW[2:]]),
    "thousands with a point": ((HEADER, 'True,2,"1,010.5",Bonn'), {}, [1, 2, 1010.5, *ROW[3:]]),
    "semicolons and commas": ((HEADER.replace(",", ";"), "True;2;10,5;Bonn"), {"separator": ";", "decimal": ","}, ROW),
    "a line that names the separator": (("sep=;", HEADER.replace(",", ";"), "True;2;10.5;Bonn"), {}, ROW),
    "thousands that are promised": ((HEADER, 'True,2,"1,010",Bonn'), {"decimal": "."}, [1, 2, 1010, *ROW[3:]]),
}


@pytest.mark.parametrize("case", GOOD)
def test_new_rows_are_read_as_the_training_rows(case: str, trained: Table, rows: Callable[..., str]) -> None:
    lines, options, expected = GOOD[case]
    assert_allclose(trained.encode(trained.read(rows(*lines), **options))[0], expected)


BAD: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "decimal commas": (
        (HEADER, 'True,2,"10,5",Bonn'),
        {},
        r"'size' holds '10,5', and its training rows have a decimal point: if .* comma, add \"decimal=','\"\.$",
    ),
    "two readings": (
        (HEADER, 'True,2,"1,010",Bonn'),
        {},
        r"'1,010', which is 1010 with a decimal point and 1\.010 with a decimal comma: add \"decimal='\.'\" or",
    ),
    "a promise that is not kept": (
        (HEADER, "True,2,10.5,Bonn"),
        {"decimal": ","},
        r"'10.5' in row 1: it must hold numbers with a decimal comma",
    ),
    "percent": ((HEADER, "True,2,10.5%,Bonn"), {}, r"'10.5%', and its training rows have no unit: write them alike"),
    "neither yes nor no": ((HEADER, "maybe,2,10.5,Bonn"), {}, r"'member' holds 'maybe' in row 1: it must hold yes or"),
    "two for true": ((HEADER, "2,2,10.5,Bonn"), {}, r"'member' holds '2' in row 1: it must hold yes or no"),
    "a text for a number": (
        (HEADER, "True,two,10.5,Bonn"),
        {},
        r"'code' holds 'two' in row 1: .* missing value, add \"missing=\[two\]\"\.$",
    ),
    "semicolons": ((HEADER.replace(",", ";"), "True;2;10.5;Bonn"), {}, r"add \"separator=';'\"\.$"),
    "a column less": (("member,code,size", "True,2,10.5"), {}, r"The rows have no column 'city'"),
}


@pytest.mark.parametrize("case", BAD)
def test_other_rows_are_refused_with_words_that_predict_takes(
    case: str, trained: Table, rows: Callable[..., str]
) -> None:
    lines, options, sentence = BAD[case]
    with pytest.raises(ValueError, match=sentence) as caught:
        trained.encode(trained.read(rows(*lines), **options))
    assert "data." not in str(caught.value)


def test_percent_and_thousands_are_read_as_in_training(made: Callable[..., Table], rows: Callable[..., str]) -> None:
    lines = [f'{row % 9}.5%,"{row},{row % 7}00",{row}.25' for row in range(1, 61)]
    table = made(rows("rate,income,y", *lines), "y")
    table.load()
    new = table.read(rows("rate,income", '7%,"3,400"', '.5%,"2,100"'))
    assert_allclose(table.encode(new), [[7.0, 3400.0], [0.5, 2100.0]])
    with pytest.raises(ValueError, match=r"'0.07', and its training rows have '%': write them alike"):
        table.read(rows("rate,income", '0.07,"3,400"'))


def test_the_type_that_was_given_is_that_of_new_rows(made: Callable[..., Table], rows: Callable[..., str]) -> None:
    lines = [f"0{row % 3},{row % 5} kg,{row}.25" for row in range(60)]
    table = made(rows("zip,mass,y", *lines), "y", types={"zip": "text", "mass": "number"})
    table.load()
    assert table.spec.feature_names == ("zip=00", "zip=01", "zip=02", "mass")
    assert_allclose(table.encode(table.read(rows("zip,mass", "01,7 kg"))), [[0, 1, 0, 7]])
    assert_allclose(table.encode(table.read(rows("zip,mass", "01,7"))), [[0, 1, 0, 7]])
    with pytest.raises(ValueError, match=r"'7 lb', and its training rows have 'kg': write them alike"):
        table.read(rows("zip,mass", "01,7 lb"))


def test_other_money_than_in_training_is_refused(made: Callable[..., Table], rows: Callable[..., str]) -> None:
    table = made(rows("price,size,y", *(f"${row % 9}.50,{row % 7},{row}.25" for row in range(60))), "y")
    table.load()
    assert_allclose(table.encode(table.read(rows("price,size", "$ 2,1", "3,1"))), [[2, 1], [3, 1]])
    with pytest.raises(ValueError, match=r"'€2', and its training rows have '\$': write them alike"):
        table.read(rows("price,size", "€2,1"))
    with pytest.raises(ValueError, match=r"'1.5k', and its training rows have no unit: write them alike"):
        table.read(rows("price,size", "$2,1.5k"))


def test_predict_takes_the_separator_that_it_advises(
    rows: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    TRAINING.to_csv("train.csv", index=False)
    quick = ("trainer.max_epochs=1", "figures=none", "logger=none", "accelerator=cpu", "run_dir=run")
    assert main(["data=table", "data.path=train.csv", "data.target=y", *quick]) == 0
    assert main(["predict", "run", f"input={rows(HEADER, 'True,2,10.5,Bonn')}"]) == 0
    capsys.readouterr()
    assert main(["predict", "run", f"input={rows(HEADER, 'True,2,10.5,Bonn')}"]) == 0
    expected = capsys.readouterr().out
    new = rows(HEADER.replace(",", ";"), "True;2;10,5;Bonn")
    words: list[str] = []
    for _ in range(2):  # the separator, then the decimal point
        assert main(["predict", "run", f"input={new}", *words]) == 1
        advised = re.search(r'add "(\w+=\S+)"\.', capsys.readouterr().err)
        assert advised
        words.append(advised[1])
    assert main(["predict", "run", f"input={new}", *words, "missing=['n.d.',x]"]) == 0
    assert capsys.readouterr().out == expected
