"""Tables as people bring them, from the file to the run: what it was taken for is said, and can be said otherwise."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fulmen
from fulmen.cli.main import main
from fulmen.data.sets.table import Table
from fulmen.data.tables.advice import typed, word

MakeTable = Callable[..., Table]
Capture = pytest.CaptureFixture[str]
ROWS = 60
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=ROWS).round(3)
QUICK = ("figures=none", "logger=none", "trainer.max_epochs=1", "accelerator=cpu")


def texts(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., Path]:
    """Writes columns to a CSV file."""

    def to_file(name: str = "t.csv", /, *, sep: str = ",", **columns: Any) -> Path:
        pd.DataFrame(columns).to_csv(tmp_path / name, index=False, sep=sep)
        return tmp_path / name

    return to_file


@pytest.mark.parametrize("word", ["None", "NA", "null", "n/a", "nan", "-", "?"])
def test_a_class_may_be_called_like_a_missing_value(
    word: str, csv: Callable[..., Path], made: MakeTable, capsys: Capture
) -> None:
    path = csv(x=X, y=["mild", word, "severe"] * 20)
    table = made(path, "y")
    assert table.spec.target_names == tuple(sorted(["mild", word, "severe"]))
    assert sum(len(split.y) for split in table.load().values()) == ROWS
    assert f"y: {word!r} (20) taken for a text; for a missing value add" in capsys.readouterr().err
    again = made(csv("new.csv", x=X[:6], y=[word] * 6), "y", val_size=0, test_size=0)
    again.load_state_dict(table.state_dict())
    assert len(again.load()["train"].y) == 6, "where no other class tells that it is one"
    capsys.readouterr()
    table = made(path, "y", missing=[word])
    assert table.spec.task == "binary" and sum(len(split.y) for split in table.load().values()) == 40
    said = f"dropped 20 rows without a value of y; {word!r} (20) taken for a missing value, unless data.missing"
    assert said in capsys.readouterr().err


def test_a_target_of_values_loses_no_row_in_silence(csv: Callable[..., Path], made: MakeTable, capsys: Capture) -> None:
    made(csv(x=X, y=["NA", "?", ""] + [f"{value:.2f}" for value in X[3:]]), "y").load()
    said = "dropped 3 rows without a value of y; 'NA' (1), '?' (1) taken for a missing value, unless data.missing=[] is"
    assert said in capsys.readouterr().err


def test_a_scale_with_marks_is_a_number(csv: Callable[..., Path], made: MakeTable) -> None:
    scale = [str(1 + row % 10) for row in range(ROWS)]
    table = made(csv(x=X, a=[*scale[:-3], "?", "-", "NA"], y=["a", "b"] * 30), "y")
    assert table.spec.feature_names == ("x", "a")
    assert made(csv(x=X, a=[*scale[10:], *"?" * 10], y=["a", "b"] * 30), "y", missing=[]).spec.in_shape == (12,)


def test_what_each_column_was_taken_for_is_printed_unless_the_run_is_quiet(
    csv: Callable[..., Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    path = csv(
        x=[*X[:-2], "NA", "?"],
        rate=["5%", "7.5%", "1%"] * 20,
        city=["Ulm", "Bonn"] * 30,
        same=1,
        no=[""] * 60,
        y=X[::-1],
    )
    assert main(["data=table", f"data.path={path}", "data.target=y", "data.leave_out=[city]", *QUICK]) == 0
    found = [re.split(r"\s*│\s*", line.strip("│ ")) for line in capsys.readouterr().out.splitlines() if "│" in line]
    lines = {line[0]: line[1:] for line in found}
    assert lines["x"] == ["number", "1 'NA', 1 '?'"]
    assert lines["rate"] == ["number", "", "'7.5%' is 7.5"]
    assert lines["city"] == ["no feature, text"]
    assert lines["same"][0] == "left out: constant"
    assert lines["no"][:2] == ["left out: empty", "60 empty"]
    assert lines["y"] == ["target"]
    config = fulmen.compose(["data=table", f"data.path={path}", "data.target=y", *QUICK])
    fulmen.train(config, verbose=False)
    assert "taken for" not in capsys.readouterr().out


def test_of_a_wide_table_the_columns_with_remarks_are_shown(
    csv: Callable[..., Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    wide = {f"x{number}": RANDOM.normal(size=ROWS) for number in range(40)}
    path = csv(**wide, rate=["5%", "7.5%", "1%"] * 20, y=X)
    assert main(["data=table", f"data.path={path}", "data.target=y", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "rate" in out and "│ x18" in out and "│ x19" not in out and "and 22 more" in out


LEAKS: dict[str, tuple[dict[str, Any], str]] = {
    "row numbers": ({"Id": range(1, 61), "y": X}, "Id only counts the rows"),
    "row numbers backwards": ({"n": range(60, 0, -1), "y": X}, "n only counts the rows"),
    "row numbers shuffled": ({"n": np.random.default_rng(1).permutation(60), "y": X}, "n only counts the rows"),
    "an identifier": (
        {"customer_id": RANDOM.choice(10**6, 60, replace=False), "y": X},
        "customer_id has another number",
    ),
    "the target again": ({"again": X, "y": X}, "again gives the target away"),
    "the target in other units": ({"cm": 2.54 * X + 1, "y": X}, "cm gives the target away"),
    "the target in other units, rounded": ({"cm": (2.54 * X).round(2), "y": X}, "cm gives the target away"),
    "the class in words, some of them missing": (
        {"word": ["yes", "no", "", "no"] * 15, "y": [1, 0] * 30},
        "word gives the target away",
    ),
    "the class again": ({"code": [7, 3, 5] * 20, "y": ["a", "b", "c"] * 20}, "code gives the target away"),
    "the class in words": ({"word": ["yes", "no"] * 30, "y": [1, 0] * 30}, "word gives the target away"),
}


@pytest.mark.parametrize("case", LEAKS)
def test_columns_that_give_the_target_away_are_said(
    case: str, csv: Callable[..., Path], made: MakeTable, capsys: Capture
) -> None:
    columns, said = LEAKS[case]
    path = csv(x=X if columns["y"] is not X else RANDOM.normal(size=ROWS), **columns)
    made(path, "y").load()
    assert f"data=table: {said}" in capsys.readouterr().err
    made(path, "y", features=["x", next(iter(columns))]).load()
    assert said not in capsys.readouterr().err, "the user has named it"


def test_what_gives_nothing_away_is_not_suspected(csv: Callable[..., Path], made: MakeTable, capsys: Capture) -> None:
    made(
        csv(x=X, year=[1990 + row % 30 for row in range(60)], code=["a", "b", "a"] * 20, y=["u", "v"] * 30), "y"
    ).load()
    assert capsys.readouterr().err == ""
    made(csv(x=X, w=X + RANDOM.normal(size=ROWS) / 100, seen=["", 1, "", 2] * 15, y=X), "y").load()
    made(csv(x=X, dose=["", 1, "", 2] * 15, y=["u", "v"] * 30), "y").load()
    assert "gives the target away" not in capsys.readouterr().err.replace("x gives", "")


def test_row_numbers_of_rows_sorted_by_class_are_refused(csv: Callable[..., Path], made: MakeTable) -> None:
    path = csv(Id=range(60), x=X, y=["a"] * 20 + ["b"] * 20 + ["c"] * 20)
    with pytest.raises(ValueError, match=r"'Id' only counts the rows, .* leave it out with \"data.leave_out=\[Id\]\""):
        made(path, "y").load()
    for keys in ({"leave_out": ["Id"]}, {"features": ["Id", "x"]}, {"group": "Id"}):
        made(path, "y", **keys).load()


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;", "sep=;\r"])
def test_a_first_line_names_the_separator(first: str, tmp_path: Path, made: MakeTable) -> None:
    rows = (f"{x};{2 * x};{row % 2}" for row, x in enumerate(X))
    path = texts(tmp_path / "t.csv", first, "a;b;y", *rows)
    for keys in ({}, {"separator": ";"}):
        assert made(path, "y", **keys).spec.feature_names == ("a", "b")
    texts(tmp_path / "t.csv", first, "a;b;y", "1;2;3;4")
    with pytest.raises(ValueError, match="has 3 columns, and 4 in line"):
        _ = made(path, "y").spec


@pytest.mark.parametrize(
    ("units", "sentence"),
    [
        ("mm,kg,EUR", r"Row 1 holds 'mm', 'kg', 'EUR', where all other rows hold numbers: if these are units"),
        ("[m],[s],", r"Row 1 holds '\[m\]', '\[s\]'"),
        ("length,time,price", r"Row 1 holds 'length', 'time', 'price', .* or a second header, delete that line"),
    ],
)
def test_units_are_no_row(units: str, sentence: str, tmp_path: Path, made: MakeTable) -> None:
    rows = [f"{x},{x * x:.3f},{3 * x:.3f}" for x in X]
    with pytest.raises(ValueError, match=sentence) as caught:
        _ = made(texts(tmp_path / "t.csv", "a,b,y", units, *rows), "y").spec
    assert "leave" not in str(caught.value)


def test_numbers_are_names_of_columns(csv: Callable[..., Path], made: MakeTable, capsys: Capture) -> None:
    path = csv(**{"2015": X, "2016": X + RANDOM.normal(size=60), "1.5": RANDOM.normal(size=60), "2021": X**2})
    table = made(path, 2021, leave_out=[2015], features=None)
    assert table.spec.feature_names == ("2016", "1.5") and table.spec.target_names == ("2021",)
    config = fulmen.compose(["data=table", f"data.path={path}", "data.target=2021", "data.leave_out=[2015,1.5]"])
    assert made(path, config.data.target, leave_out=list(config.data.leave_out)).spec.feature_names == ("2016",)
    assert made(path, [2021, 1.5], time=2015).spec.feature_names == ("2016",)


def test_a_row_taken_for_the_header_is_said(tmp_path: Path, made: MakeTable, capsys: Capture) -> None:
    rows = [f"{x},{row},{x * x:.3f}" for row, x in enumerate(X)]
    made(texts(tmp_path / "t.csv", *rows), rows[0].split(",")[2]).load()
    assert "the first line is taken for names, though it holds numbers" in capsys.readouterr().err


@pytest.mark.parametrize("grades", [range(20), [1, 2, 3, 4, 5, 6], [0, 5, 10, 15]])
def test_grades_with_one_rare_are_sent_to_regression(grades: Any, csv: Callable[..., Path], made: MakeTable) -> None:
    rare, *others = grades
    path = csv(x=X, y=[rare, *np.resize(np.array(others), 59)])
    with pytest.raises(
        ValueError, match=rf"Class '{rare}' has 1 rows .* take them for values with data.task=regressio"
    ):
        _ = made(path, "y").spec
    assert made(path, "y", task="regression").spec.task == "regression"


def test_many_whole_numbers_are_values_and_that_is_said(
    csv: Callable[..., Path], made: MakeTable, capsys: Capture
) -> None:
    made(csv(x=X, y=[row % 21 for row in range(60)]), "y").load()
    said = (
        "data=table: the 21 different whole numbers of y are taken for values; for classes add data.task=multiclass\n"
    )
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("name", ["zip", "größe", "a b", "x: y", "种类", '5"', "2021", "007", "null", "true", "a\\"])
def test_the_advised_type_can_be_typed(name: str, csv: Callable[..., Path], made: MakeTable) -> None:
    (word,) = shlex.split(typed(name, "text"))
    types = fulmen.compose(["data=table", word]).data.types
    path = csv(**{name: ["01", "02"] * 30, "x": X, "y": X})
    table = made(path, "y", types=dict(types) if not isinstance(types, str) else types)
    assert table.spec.feature_names == (f"{name}=01", f"{name}=02", "x")


def test_dates_are_texts_if_the_user_says_so(csv: Callable[..., Path], made: MakeTable) -> None:
    days = ["2024-01-01", "2024-01-02"] * 30
    table = made(csv(x=X, day=days, y=X[::-1]), "y", types={"day": "text"})
    assert table.spec.feature_names == ("x", "day=2024-01-01", "day=2024-01-02")
    with pytest.raises(ValueError, match=r'keep them as classes with "data.types=\{y: text\}"'):
        made(csv(x=X, y=days), "y").load()
    assert made(csv(x=X, y=days), "y", types={"y": "text"}).spec.target_names == ("2024-01-01", "2024-01-02")


@pytest.mark.parametrize("seed", range(3))  # the last row may be in any split
def test_a_remark_below_numbers_is_found_in_every_split(seed: int, csv: Callable[..., Path], made: MakeTable) -> None:
    path = csv(x=[*X[:-1], "Source: the office"], y=["a", "b"] * 30)
    with pytest.raises(ValueError, match=r"'x' holds numbers, but 'Source: the office' in row 60"):
        made(path, "y", seed=seed).load()
    with pytest.raises(ValueError, match=r"The last row holds 'Total:' in column 'g'"):
        made(csv(g=[*["a", "b", "c"] * 19, "a", "b", "Total:"], x=X, y=X[::-1]), "y").load()


def test_a_name_in_two_lines_is_typed_in_one(tmp_path: Path, made: MakeTable) -> None:
    (tmp_path / "t.csv").write_bytes(b'"length\r\n(mm)",y\r\n' + b"".join(b"%g,%d\r\n" % (x, x > 0) for x in X))
    table = made(tmp_path / "t.csv", "y")
    assert table.spec.feature_names == ("length (mm)",)
    (tmp_path / "new.csv").write_text('"length\n(mm)"\n3\n')
    assert table.encode(table.read(str(tmp_path / "new.csv"))).tolist() == [[3]]


@pytest.mark.parametrize(
    "text", ["null", "true", "1e3", "1_0", "007", "NA", "it's", 'say "x"', "a\\", "a\\b", "n. a.", "?"]
)
def test_advised_words_can_be_typed(text: str) -> None:
    (argument,) = shlex.split(word("data.missing", [text]))
    assert [*fulmen.compose(["data=table", argument]).data.missing] == [text]


@pytest.mark.parametrize(
    ("classes", "kind", "names"),
    [
        (["01067", "10115"], "text", ("01067", "10115")),
        (["yes", "no"], "yes_no", ("False", "True")),
        (["1 kg", "2 kg"], "number", ("1", "2")),
        (["01", "x"], None, ("01", "x")),
    ],
)
def test_classes_are_read_again_as_in_training(
    classes: list[str], kind: str | None, names: tuple[str, ...], csv: Callable[..., Path], made: MakeTable
) -> None:
    keys = {"types": {"y": kind}} if kind else {}
    table = made(csv(x=X, y=classes * 30), "y", **keys)
    assert table.spec.target_names == names
    again = made(csv("new.csv", x=X[:6], y=classes[:1] * 6), "y", val_size=0, test_size=0, **keys)
    state = table.state_dict()
    earlier = {**state, "spec": {key: value for key, value in state["spec"].items() if key != "label_type"}}
    expected = names.index({"yes": "True", "1 kg": "1"}.get(classes[0], classes[0]))
    for each in (state, earlier):  # an earlier version told by the names
        again.load_state_dict(each)
        assert again.load()["train"].y.tolist() == [expected] * 6


def test_a_type_of_any_column_is_shown(
    csv: Callable[..., Path], capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    path = csv(**{"2021": [1, 2, 3] * 20, "y": X})
    words = ["data=table", f"data.path={path}", "data.target=y", *QUICK]
    assert main([*words, "data.types={2021: text}"]) == 0
    assert "2021: text" in capsys.readouterr().out
