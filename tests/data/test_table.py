"""A user's own table: its features are scikit-learn's, its splits share nothing, and what is wrong is said."""

import io
import re
from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.impute import SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import OneHotEncoder

from fulmen.data.module import DataModule
from fulmen.data.table import Table

MakeTable = Callable[..., Table]
ROWS = 200


def frame() -> pd.DataFrame:
    """Columns of every kind, some with holes; `row` tells the rows apart."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "row": np.arange(ROWS),
            "length": random.normal(10, 3, ROWS),
            "color": random.choice(["red", "blue", "green"], ROWS, p=[0.5, 0.3, 0.2]),
            "ripe": random.random(ROWS) < 0.3,
            "day": pd.date_range("2024-01-01", periods=ROWS).astype(str),
            "farm": random.choice(list("abcdefghijkl"), ROWS),
            "kind": random.choice(["apple", "pear", "quince"], ROWS, p=[0.6, 0.3, 0.1]),
            "weight": random.normal(100, 20, ROWS),
        }
    )
    table.loc[random.choice(ROWS, 30, replace=False), "length"] = np.nan
    table.loc[random.choice(ROWS, 30, replace=False), "color"] = None
    table["ripe"] = table["ripe"].astype(object)
    table.loc[random.choice(ROWS, 30, replace=False), "ripe"] = None
    return table


OTHERS = ("day", "farm")
"""Columns that are no features unless a test says so."""


@pytest.fixture(params=["csv", "parquet"])
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The table above in a file of each format."""
    return write(tmp_path, frame(), request.param)


def write(folder: Path, table: pd.DataFrame, ending: str = "csv") -> Path:
    path = folder / f"table.{ending}"
    if ending == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    return path


def rows_of(table: Table) -> dict[str, list[int]]:
    """Which rows of the file are in each split, by the feature `row`."""
    place = table.joint.feature_names.index("row")
    return {name: split.x[:, place].astype(int).tolist() for name, split in table.load().items()}


def objects(table: pd.DataFrame) -> pd.DataFrame:
    """Two columns with None where nothing is, as scikit-learn's imputer wants them."""
    some = table[["color", "ripe"]].astype(object)
    return some.where(some.notna(), None)


def test_features_are_those_of_scikit_learn_fitted_on_train(path: Path, made: MakeTable) -> None:
    table, whole = made(path, "kind", leave_out=OTHERS), frame()
    rows = rows_of(table)
    train = whole.iloc[rows["train"]]
    numbers = SimpleImputer(strategy="median").fit(train[["row", "length"]])
    texts = SimpleImputer(strategy="most_frequent", missing_values=None).fit(objects(train))
    colors = OneHotEncoder(sparse_output=False).fit(texts.transform(objects(train))[:, :1])
    names = ("row", "length", "color=blue", "color=green", "color=red", "ripe", "weight")
    assert table.joint.feature_names == names
    for name, split in table.load().items():
        part = whole.iloc[rows[name]]
        filled = texts.transform(objects(part))
        expected = [
            numbers.transform(part[["row", "length"]]),
            colors.transform(filled[:, :1]),
            filled[:, 1:].astype(float),
            part[["weight"]],
        ]
        assert_allclose(split.x, np.concatenate(expected, axis=1))


def test_what_validation_and_test_hold_teaches_nothing(tmp_path: Path, made: MakeTable) -> None:
    """With every other value of those rows changed, the training rows are the same, and so are the columns."""
    whole = frame()
    rows = rows_of(made(write(tmp_path, whole), "weight", leave_out=OTHERS))
    changed = whole.copy()
    held_out = rows["val"] + rows["test"]
    changed.loc[held_out, "length"] = 1e6
    changed.loc[held_out, "color"] = "purple"
    before = made(write(tmp_path, whole), "weight", leave_out=OTHERS)
    learned, x = before.learned(), before.load()["train"].x
    after = made(write(tmp_path, changed), "weight", leave_out=OTHERS)
    assert after.learned() == learned
    assert_array_equal(after.load()["train"].x, x)


def test_values_are_the_targets_of_regression(path: Path, made: MakeTable) -> None:
    table, whole = made(path, ["weight", "length"], leave_out=OTHERS), frame()
    assert (table.joint.task, table.joint.out_features, table.joint.target_names) == (
        "regression",
        2,
        ("weight", "length"),
    )
    rows = rows_of(table)
    assert sorted(chain(*rows.values())) == np.flatnonzero(whole["length"].notna()).tolist(), "rows with both targets"
    for name, split in table.load().items():
        assert_allclose(split.y, whole[["weight", "length"]].iloc[rows[name]])


def test_classes_are_numbered_in_the_order_of_their_names(path: Path, made: MakeTable) -> None:
    table, whole = made(path, "kind", leave_out=OTHERS), frame()
    assert table.joint.target_names == ("apple", "pear", "quince")
    for name, rows in rows_of(table).items():
        labels = np.array(table.joint.target_names)[table.load()[name].y]
        assert_array_equal(labels, whole["kind"].iloc[rows])


CLASSES = {"binary": ["apple", "pear"], "multiclass": ["apple", "pear", "quince"]}


@pytest.mark.parametrize("sizes", [{}, {"val_size": 30, "test_size": 0.25}, {"val_size": 0.1, "test_size": 40}])
def test_each_split_has_its_size_and_equal_parts_of_each_class(
    path: Path, made: MakeTable, sizes: dict[str, float]
) -> None:
    table, whole = made(path, "kind", leave_out=OTHERS, **sizes), frame()
    rows = rows_of(table)
    for name in ("val", "test"):
        size = {"val_size": 0.15, "test_size": 0.15, **sizes}[f"{name}_size"]
        assert len(rows[name]) == (size if size >= 1 else round(size * ROWS))
    shares = whole["kind"].value_counts(normalize=True)
    for part in rows.values():
        assert (abs(whole["kind"].iloc[part].value_counts() - shares * len(part)) < 1.5).all()
    test = train_test_split(np.arange(ROWS), test_size=len(rows["test"]), stratify=whole["kind"], random_state=0)[1]
    assert_array_equal(rows["test"], test)


@pytest.mark.parametrize("target", ["kind", "weight"])
@pytest.mark.parametrize("way", [{}, {"time": "day"}, {"group": "farm"}])
def test_splits_share_no_row_and_leave_none_out(path: Path, made: MakeTable, target: str, way: dict[str, str]) -> None:
    rows = rows_of(made(path, target, **{"leave_out": [name for name in OTHERS if name not in way.values()], **way}))
    assert rows.keys() == {"train", "val", "test"}
    assert sorted(chain(*rows.values())) == list(range(ROWS))


def test_a_size_of_0_is_no_split(path: Path, made: MakeTable) -> None:
    assert rows_of(made(path, "kind", leave_out=OTHERS, val_size=0)).keys() == {"train", "test"}
    assert rows_of(made(path, "kind", leave_out=OTHERS, test_size=0)).keys() == {"train", "val"}
    assert rows_of(made(path, "weight", leave_out=OTHERS, test_size=0, val_size=0))["train"] == list(range(ROWS))


def test_another_seed_divides_otherwise_and_the_same_alike(path: Path, made: MakeTable) -> None:
    first, again, other = (rows_of(made(path, "kind", leave_out=OTHERS, seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("as_what", ["dates", "texts", "numbers"])
def test_by_time_the_earliest_rows_train_and_the_latest_test(tmp_path: Path, made: MakeTable, as_what: str) -> None:
    whole = frame().sample(frac=1, random_state=0)
    whole["day"] = {"dates": pd.to_datetime(whole["day"]), "texts": whole["day"], "numbers": whole["row"] / 7}[as_what]
    table = made(write(tmp_path, whole, "parquet"), "weight", time="day", leave_out=["farm"])
    assert rows_of(table) == {"train": [*range(140)], "val": [*range(140, 170)], "test": [*range(170, 200)]}
    assert "day" not in "".join(table.joint.feature_names)


def test_by_group_rows_of_one_group_stay_together(path: Path, made: MakeTable) -> None:
    table, farms = made(path, "weight", group="farm", leave_out=["day"]), frame()["farm"]
    found = [set(farms.iloc[rows]) for rows in rows_of(table).values()]
    assert not any(one & other for one, other in combinations(found, 2))
    assert [len(one) for one in found] == [8, 2, 2], "0.15 of 12 groups each"
    assert "farm" not in "".join(table.joint.feature_names)


TASKS: dict[str, tuple[list[object], str, str, tuple[str, ...]]] = {
    "two texts": (["b", "a"], "auto", "binary", ("a", "b")),
    "three texts": (["b", "a", "c"], "auto", "multiclass", ("a", "b", "c")),
    "yes and no": ([True, False], "auto", "binary", ("False", "True")),
    "two whole numbers": ([3, 1], "auto", "binary", ("1", "3")),
    "ten whole numbers": ([10, *range(9)], "auto", "multiclass", (*map(str, range(9)), "10")),
    "whole numbers with a point": ([1.0, 2.0, 0.0], "auto", "multiclass", ("0", "1", "2")),
    "21 whole numbers": ([*range(21)], "auto", "regression", ("y",)),
    "fractions": ([0.5, 1, 2], "auto", "regression", ("y",)),
    "whole numbers as values": ([3, 1], "regression", "regression", ("y",)),
    "yes and no as values": ([True, False], "regression", "regression", ("y",)),
    "21 whole numbers as classes": ([*range(21)], "multiclass", "multiclass", tuple(map(str, range(21)))),
    "fractions as classes": ([0.5, 1, 2], "multiclass", "multiclass", ("0.5", "1.0", "2.0")),
    "two texts as many": (["b", "a"], "multiclass", "multiclass", ("a", "b")),
}


@pytest.mark.parametrize("case", TASKS)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_task_is_what_the_target_holds(tmp_path: Path, made: MakeTable, case: str, ending: str) -> None:
    values, wanted, task, names = TASKS[case]
    count = 12 * len(values)
    whole = pd.DataFrame({"x": np.random.default_rng(0).normal(size=count), "y": values * 12})
    table = made(write(tmp_path, whole, ending), "y", task=wanted, test_size=0.25, val_size=0.25)
    assert (table.joint.task, table.joint.target_names) == (task, names)
    assert table.joint.out_features == (1 if task in ("binary", "regression") else len(names))
    y = table.load()["train"].y
    assert y.shape == (count // 2, 1) if task == "regression" else y.shape == (count // 2,)
    assert set(np.unique(y)) == (set(map(float, values)) if task == "regression" else {*range(len(names))})  # type: ignore[arg-type]


def test_categories_of_parquet_are_texts_and_keep_the_order_of_numbers(tmp_path: Path, made: MakeTable) -> None:
    whole = frame()[["row", "color"]].assign(size=pd.Categorical([10, 9, 8, 7] * 50))
    whole["color"] = whole["color"].astype("category")
    table = made(write(tmp_path, whole, "parquet"), "size")
    assert table.joint.feature_names == ("row", "color=blue", "color=green", "color=red")
    assert table.joint.target_names == ("7", "8", "9", "10")


def test_columns_and_leave_out_choose_features(path: Path, made: MakeTable) -> None:
    assert made(path, "kind", columns=["weight", "row"]).joint.feature_names == ("weight", "row")
    assert made(path, "kind", columns=["weight", "row"], leave_out=["row"]).joint.feature_names == ("weight",)


def test_what_was_done_is_said_once_on_stderr(
    tmp_path: Path, made: MakeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = frame()[["row", "length"]].assign(empty=np.nan, same="x", grade=[1, 2, 3, 4] * 50)
    whole["grade"] = whole["grade"].where(whole["row"] >= 3)
    whole.to_csv(tmp_path / "t.csv")  # with row numbers
    table = made(tmp_path / "t.csv", "grade", val_size=0, test_size=0)
    assert table.joint.feature_names == ("row", "length")
    assert capsys.readouterr().err == "", "preflight asks for the sizes without a word"
    table.load()
    holes = whole["length"].iloc[3:].isna().sum()
    assert capsys.readouterr().err.splitlines() == [
        "data=table: left out, without a name in the header: 1 of the columns",
        "data=table: left out, 3 rows without a value of grade",
        "data=table: left out, for training rows have no value there: empty",
        "data=table: left out, for all training rows have the same value there: same",
        f"data=table: training rows without a value get the median or the most frequent value: length ({holes})",
        "data=table: the 4 whole numbers of grade are taken for classes; for values add data.task=regression",
    ]
    table.load()
    assert capsys.readouterr().err == ""


def test_classes_that_no_training_row_has_are_said(
    tmp_path: Path, made: MakeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = pd.DataFrame({"x": range(30), "day": range(30), "y": ["a"] * 10 + ["b"] * 10 + ["c"] * 10})
    made(write(tmp_path, whole), "y", time="day", val_size=5, test_size=5).load()
    assert "data=table: no training row has the class c\n" in capsys.readouterr().err


def test_new_rows_need_what_was_learned_and_not_the_file(
    path: Path, made: MakeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    table = made(path, "kind", leave_out=OTHERS)
    rows, splits, file = rows_of(table), table.load(), io.BytesIO()
    torch.save(table.learned(), file)
    file.seek(0)
    path.unlink()

    anew = made("no such file", "kind", leave_out=OTHERS)
    anew.recall(torch.load(file, weights_only=True))
    assert anew.joint == table.joint and anew.learned() == table.learned()
    new = frame().iloc[rows["test"]].sample(frac=1, axis=1, random_state=0).drop(columns="kind")
    assert_allclose(anew.features(new), splits["test"].x)
    assert_allclose(anew.features(splits["test"].x), splits["test"].x, err_msg="an array holds features already")

    capsys.readouterr()
    unknown = anew.features(new.assign(color=["purple"] * 2 + ["red"] * (len(new) - 2)))
    colors = [anew.joint.feature_names.index(f"color={value}") for value in ("blue", "green", "red")]
    assert_array_equal(unknown[:3, colors], [[0, 0, 0], [0, 0, 0], [0, 0, 1]])
    said = "data=table: column 'color' has values that no training row has, read as none: 'purple' (2)\n"
    assert capsys.readouterr().err == said


def test_new_rows_of_few_values_are_read_as_the_training_rows_were(tmp_path: Path, made: MakeTable) -> None:
    """A file with a single row may make numbers of texts, and of numbers with a hole others."""
    whole = pd.DataFrame({"code": ["1", "2a", "3"] * 20, "good": [True, False, None] * 20, "y": [0.5, 1, 2] * 20})
    table = made(write(tmp_path, whole), "y")
    assert table.joint.feature_names == ("code=1", "code=2a", "code=3", "good")
    new = pd.DataFrame({"code": [1.0, 3.0, np.nan], "good": [1, 0, np.nan]})
    assert_array_equal(table.features(new)[:2], [[1, 0, 0, 1], [0, 0, 1, 0]])


def test_recalled_columns_read_the_file_too(path: Path, made: MakeTable, tmp_path: Path) -> None:
    table = made(path, "kind", leave_out=OTHERS)
    learned, x = table.learned(), table.load()["test"].x
    again = made(path, "kind", leave_out=OTHERS)
    learned["columns"][1]["missing"] = -1.0
    again.recall(learned)
    y = again.load()["test"].x
    assert (y[:, 1] == -1).sum() == frame()["length"].iloc[x[:, 0].astype(int)].isna().sum()
    other = made(write(tmp_path, frame().assign(kind="fig", row=1)), "weight", leave_out=OTHERS)
    other.recall(learned)
    with pytest.raises(ValueError, match=r"holds other targets than were learned: those were apple, pear, quince\."):
        other.load()


def test_classes_are_never_scaled(path: Path, made: MakeTable) -> None:
    """`scale: both` is for features, and for targets that are values."""
    for target in ("kind", "weight"):
        data = DataModule(made(path, target, leave_out=OTHERS), dtype=torch.float64, seed=0, pack=1)
        data.load()
        x, y = data.splits["train"]
        assert_allclose(x.mean(0), 0, atol=1e-12)
        if target == "kind":
            assert y.dtype == torch.int64 and set(y.tolist()) == {0, 1, 2}
        else:
            assert_allclose([y.mean(), y.std(correction=0)], [0, 1], atol=1e-12)


def holding(**columns: object) -> pd.DataFrame:
    """100 rows with a good feature, two classes and values, and further columns or others."""
    random = np.random.default_rng(0)
    return pd.DataFrame({"x": random.normal(size=100), "y": ["a", "b"] * 50, "v": random.normal(size=100)} | columns)


def marked(value: object, row: int = 6) -> list[object]:
    """100 numbers, but for one row."""
    return [value if number == row - 1 else number for number in range(100)]


TEXTS = [f"name {number}" for number in range(100)]
BAD: dict[str, tuple[pd.DataFrame, dict[str, object], str]] = {
    # keys
    "no target": (holding(), {"target": None}, r"data.target is not given: say which column to predict, of x, y, v\.$"),
    "an empty list": (holding(), {"target": []}, r"data.target is not given"),
    "a target that is not there": (
        holding(),
        {"target": "Y1"},
        r"data.target is 'Y1', and .*csv has no such column: the columns are x, y, v\.$",
    ),
    "a target nearly there": (
        holding(price=1.5),
        {"target": "prize"},
        r"'prize', .*; did you mean price\? the columns",
    ),
    "one of several targets": (holding(), {"target": ["v", "w"]}, r"data.target is 'w', and .* no such column"),
    "a feature": (holding(), {"columns": ["z"]}, r"data.columns is 'z', and .* no such column"),
    "a column left out": (holding(), {"leave_out": ["z"]}, r"data.leave_out is 'z', and .* no such column"),
    "a time": (holding(), {"time": "z"}, r"data.time is 'z', and .* no such column"),
    "a group": (holding(), {"group": "z"}, r"data.group is 'z', and .* no such column"),
    "the target as feature": (
        holding(),
        {"columns": ["x", "y"]},
        r"data.columns names 'y', which is data.target already",
    ),
    "the target left out": (holding(), {"leave_out": ["y"]}, r"data.leave_out names 'y', which is data.target already"),
    "the target as time": (holding(), {"target": "v", "time": "v"}, r"names 'v', which is data.\w+ already"),
    "nothing left": (
        holding(),
        {"leave_out": ["x", "v"]},
        r"No column of .*csv is left to be a feature: leave out fewer",
    ),
    # the target
    "no value at all": (holding(y=None), {}, r"No row of .*csv has a value of data.target=y\.$"),
    "one value": (holding(y="a"), {}, r"data.target 'y' is 'a' in every row: there is nothing to learn\.$"),
    "one number": (holding(v=2.5), {"target": "v"}, r"data.target 'v' is '2.5' in every row"),
    "texts as values": (
        holding(),
        {"task": "regression"},
        r"'y' holds texts, such as 'a', and the values of data.task=regression must be numbers: take data.task=auto\.$",
    ),
    "texts among several": (
        holding(),
        {"target": ["v", "y"]},
        r"'y' holds texts, .* several targets must be numbers: name one",
    ),
    "several as classes": (
        holding(),
        {"target": ["x", "v"], "task": "binary"},
        r"data.task is binary, which has one target",
    ),
    "three as two": (
        holding(y=["a", "b", "c", "a"] * 25),
        {"task": "binary"},
        r"'y' has 3 different values: it must have 2\.$",
    ),
    "names as classes": (
        holding(y=TEXTS),
        {},
        r"has 100 different values in 100 rows, too many for classes: name another",
    ),
    "values as classes": (
        holding(),
        {"target": "v", "task": "multiclass"},
        r"too many for classes: take data.task=regression",
    ),
    "a rare class": (
        holding(y=["a"] * 98 + ["b"] * 2),
        {},
        r"Class 'b' has 2 rows to divide, and each split needs some",
    ),
    "an infinite target": (holding(v=marked(np.inf)), {"target": "v"}, r"Column 'v' holds 'inf' in row 6"),
    "dates as target": (
        holding(y=pd.date_range("2024-01-01", periods=100).astype(str)),
        {},
        r"data.target 'y' holds values such as '2024-01-01', which are neither numbers nor classes",
    ),
    "decimal commas in the target": (
        holding(y=[f"{number},5" for number in range(100)]),
        {},
        r"""Column 'y' holds numbers with a decimal comma, such as '0,5': add "data.decimal=','",""",
    ),
    # features
    "names": (
        holding(who=TEXTS),
        {},
        r"""Column 'who' holds \d+ different texts in 70 training rows, such as '.*': if they only tell rows apart, """
        r"""leave it out with "data.leave_out=\[who\]"; else make them fewer\.$""",
    ),
    "dates": (
        holding(day=pd.date_range("2024-01-01", periods=100).strftime("%d.%m.%Y")),
        {},
        r"""'day' holds dates, such as '.*': leave it out with "data.leave_out=\[day\]", to .* add data.time=day, or""",
    ),
    "times": (holding(day=pd.date_range("2024-01-01", periods=100, freq="h").astype(str)), {}, r"'day' holds dates"),
    "decimal commas": (
        holding(w=["1,5", "2,25"] * 50),
        {},
        r"""'w' holds numbers with a decimal comma, such as '\d,\d+'""",
    ),
    "a mark among numbers": (
        holding(w=marked("?", 1)),
        {"val_size": 0, "test_size": 0},
        r"'w' holds numbers, but '\?' in row 1",
    ),
    "an infinite number": (
        holding(w=marked(-np.inf)),
        {},
        r"Column 'w' holds '-inf' in row 6: it must hold finite numbers",
    ),
    "nothing that differs": (holding(x=1, v=None), {}, r"No column of .*csv differs from row to row"),
    # divisions
    "too much held out": (
        holding(),
        {"val_size": 60, "test_size": 0.5},
        r"has 100 rows, of which data.val_size=60 takes 60 and data.test_size=0.5 takes 50: none is left for training",
    ),
    "fewer rows than classes": (
        holding(y=list("abcde") * 20),
        {"val_size": 3},
        r"A split has 3 rows, too few for 5 classes: change data.val_size and data.test_size\.$",
    ),
    "no time": (holding(w=marked(None)), {"time": "w"}, r"data.time 'w' is empty in row 6: every row needs"),
    "no such time": (
        holding(w="soon"),
        {"time": "w"},
        r"data.time 'w' holds 'soon' in row 1: .* written as 2024-01-31",
    ),
    "a day or a month": (holding(w="03/04/2024"), {"time": "w"}, r"data.time 'w' holds '03/04/2024' in row 1"),
    "no group": (holding(w=marked(None)), {"group": "w"}, r"data.group 'w' is empty in row 6\.$"),
    "two groups": (
        holding(w=["a", "b"] * 50),
        {"group": "w"},
        r"has 2 groups, of which data.val_size=0.15 takes 1 and",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_table_is_refused_in_a_sentence(tmp_path: Path, made: MakeTable, case: str) -> None:
    whole, keys, sentence = BAD[case]
    named = {"target": "y", **keys}
    table = made(write(tmp_path, whole), named.pop("target"), **named)
    with pytest.raises(ValueError, match=sentence) as caught:
        _ = table.joint
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ([[1, 2]] * 100, r"Column 'w' holds values of the type ndarray, such as .*: leave it out"),
        ([b"x", b"y"] * 50, r"Column 'w' holds values of the type bytes"),
        (pd.date_range("2024-01-01", periods=100), r"Column 'w' holds dates, such as '2024-0"),
        (pd.to_timedelta(range(100), unit="h"), r"Column 'w' holds dates"),
        (list(pd.date_range("2024-01-01", periods=100).date), r"Column 'w' holds dates"),
    ],
)
def test_columns_that_only_parquet_holds(tmp_path: Path, made: MakeTable, column: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        _ = made(write(tmp_path, holding(w=column), "parquet"), "y").joint


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"val_size": 1.5}, "data.val_size is 1.5: give a share below 1, or a whole number of rows."),
        ({"test_size": -1}, "data.test_size is -1: give a share below 1, or a whole number of rows."),
        ({"val_size": True}, "data.val_size is True: give a share below 1, or a whole number of rows."),
        ({"val_size": float("nan")}, "data.val_size is nan: give a share below 1, or a whole number of rows."),
        ({"separator": "::"}, "data.separator is '::': give one character, or tab."),
        ({"separator": ""}, "data.separator is '': give one character, or tab."),
        ({"decimal": ";"}, "data.decimal is ';': give '.' or ',', and another data.separator."),
        ({"decimal": ",", "separator": ","}, "data.decimal is ',': give '.' or ',', and another data.separator."),
        ({"time": "a", "group": "b"}, "data.time=a and data.group=b are two ways to divide: give one."),
    ],
)
def test_a_wrong_key_is_refused_before_the_file_is_read(
    made: MakeTable, keys: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        made("no such file.csv", "y", **keys)


def test_new_rows_that_lack_a_column_or_hold_a_text_are_refused(tmp_path: Path, made: MakeTable) -> None:
    table = made(write(tmp_path, holding()), "y")
    with pytest.raises(ValueError, match=r"The rows have no column 'v': the columns are x\."):
        table.features(holding()[["x"]])
    with pytest.raises(ValueError, match=r"Column 'v' holds 'much' in row 3"):
        table.features(holding(v=["1", "2", "much", *"4" * 97]))


def test_what_another_source_learned_is_no_table(made: MakeTable) -> None:
    with pytest.raises(ValueError, match=re.escape("There is no 'in_shape' in what was learned (nothing), so")):
        made().recall({})
