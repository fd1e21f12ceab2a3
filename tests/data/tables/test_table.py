"""A user's own table: its features are scikit-learn's, its splits share nothing, and what is wrong is said."""

import io
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

from fulmen.data.sets.table import Table
from fulmen.training.packs import DataModule

MakeTable = Callable[..., Table]
Write = Callable[..., Path]
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
def path(write: Write, request: pytest.FixtureRequest) -> Path:
    """The table above in a file of each format."""
    return write(frame(), request.param)


def rows_of(table: Table) -> dict[str, list[int]]:
    """Which rows of the file are in each split, by the feature `row`."""
    place = table.spec.feature_names.index("row")
    return {name: split.x[:, place].astype(int).tolist() for name, split in table.load().items()}


def objects(table: pd.DataFrame) -> pd.DataFrame:
    """Two columns with None where nothing is, as scikit-learn's imputer wants them."""
    some = table[["color", "ripe"]].astype(object)
    return some.where(some.notna(), None)


@pytest.mark.parametrize("seed", range(4))
def test_features_are_those_of_scikit_learn_fitted_on_train(path: Path, made: MakeTable, seed: int) -> None:
    table, whole = made(path, "kind", leave_out=OTHERS, seed=seed), frame()
    rows = rows_of(table)
    train = whole.iloc[rows["train"]]
    numbers = SimpleImputer(strategy="median").fit(train[["row", "length"]])
    texts = SimpleImputer(strategy="most_frequent", missing_values=None).fit(objects(train))
    colors = OneHotEncoder(sparse_output=False).fit(texts.transform(objects(train))[:, :1])
    names = ("row", "length", "color=blue", "color=green", "color=red", "ripe", "weight")
    assert table.spec.feature_names == names
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


def test_what_validation_and_test_hold_teaches_nothing(write: Write, made: MakeTable) -> None:
    """With every other value of those rows changed, the training rows are the same, and so are the columns."""
    whole = frame()
    rows = rows_of(made(write(whole), "weight", leave_out=OTHERS))
    changed = whole.copy()
    held_out = rows["val"] + rows["test"]
    changed.loc[held_out, "length"] = 1e6
    changed.loc[held_out, "color"] = "purple"
    before = made(write(whole), "weight", leave_out=OTHERS)
    learned, x = before.state_dict(), before.load()["train"].x
    after = made(write(changed), "weight", leave_out=OTHERS)
    assert after.state_dict() == learned
    assert_array_equal(after.load()["train"].x, x)


def test_values_are_the_targets_of_regression(path: Path, made: MakeTable) -> None:
    table, whole = made(path, ["weight", "length"], leave_out=OTHERS), frame()
    assert (table.spec.task, table.spec.out_features, table.spec.target_names) == (
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
    assert table.spec.target_names == ("apple", "pear", "quince")
    for name, rows in rows_of(table).items():
        labels = np.array(table.spec.target_names)[table.load()[name].y]
        assert_array_equal(labels, whole["kind"].iloc[rows])


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
def test_by_time_the_earliest_rows_train_and_the_latest_test(write: Write, made: MakeTable, as_what: str) -> None:
    whole = frame().sample(frac=1, random_state=0)
    whole["day"] = {"dates": pd.to_datetime(whole["day"]), "texts": whole["day"], "numbers": whole["row"] / 7}[as_what]
    table = made(write(whole, "parquet"), "weight", time="day", leave_out=["farm"])
    assert rows_of(table) == {"train": [*range(140)], "val": [*range(140, 170)], "test": [*range(170, 200)]}
    assert "day" not in "".join(table.spec.feature_names)


def test_by_group_rows_of_one_group_stay_together(path: Path, made: MakeTable) -> None:
    table, farms = made(path, "weight", group="farm", leave_out=["day"]), frame()["farm"]
    found = [set(farms.iloc[rows]) for rows in rows_of(table).values()]
    assert not any(one & other for one, other in combinations(found, 2))
    assert [len(one) for one in found] == [8, 2, 2], "0.15 of 12 groups each"
    assert "farm" not in "".join(table.spec.feature_names)


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
def test_the_task_is_what_the_target_holds(write: Write, made: MakeTable, case: str, ending: str) -> None:
    values, wanted, task, names = TASKS[case]
    count = 12 * len(values)
    whole = pd.DataFrame({"x": np.random.default_rng(0).normal(size=count), "y": values * 12})
    table = made(write(whole, ending), "y", task=wanted, test_size=0.25, val_size=0.25)
    assert (table.spec.task, table.spec.target_names) == (task, names)
    assert table.spec.out_features == (1 if task in ("binary", "regression") else len(names))
    y = table.load()["train"].y
    assert y.shape == (count // 2, 1) if task == "regression" else y.shape == (count // 2,)
    assert set(np.unique(y)) == (set(map(float, values)) if task == "regression" else {*range(len(names))})  # type: ignore[arg-type]


def test_categories_of_parquet_are_texts_or_numbers(write: Write, made: MakeTable) -> None:
    whole = frame()[["row", "color"]].assign(size=pd.Categorical([10, 9, 8, 7] * 50))
    whole["color"] = whole["color"].astype("category")
    table = made(write(whole, "parquet"), "size")
    assert made(write(whole, "parquet"), "color").spec.target_names == ("blue", "green", "red")
    assert table.spec.feature_names == ("row", "color=blue", "color=green", "color=red")
    assert table.spec.target_names == ("7", "8", "9", "10")


def test_columns_and_leave_out_choose_features(path: Path, made: MakeTable) -> None:
    assert made(path, "kind", features=["weight", "row"]).spec.feature_names == ("weight", "row")
    assert made(path, "kind", features=["weight", "row"], leave_out=["row"]).spec.feature_names == ("weight",)


def test_what_was_done_is_said_once_on_stderr(
    tmp_path: Path, made: MakeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = frame()[["row", "length"]].assign(empty=np.nan, same="x", grade=[1, 2, 3, 4] * 50)
    whole["grade"] = whole["grade"].where(whole["row"] >= 3)
    whole.to_csv(tmp_path / "t.csv")  # with row numbers
    table = made(tmp_path / "t.csv", "grade", val_size=0, test_size=0)
    assert table.spec.feature_names == ("row", "length")
    assert capsys.readouterr().err == "", "preflight asks for the sizes without a word"
    table.load()
    holes = whole["length"].iloc[3:].isna().sum()
    assert capsys.readouterr().err.splitlines() == [
        "data=table: dropped 1 column without a name in the header",
        "data=table: dropped 3 rows without a value of grade",
        "data=table: left out, for training rows have no value there: empty",
        "data=table: left out, for training rows have a single value there: same",
        f"data=table: training rows without a value get the median or the most frequent value: length ({holes})",
        "data=table: the 4 whole numbers of grade are taken for classes; for values add data.task=regression",
        'data=table: row only counts the rows: leave it out with "data.leave_out=[row]"',
    ]
    table.load()
    assert capsys.readouterr().err == ""
    made(tmp_path / "t.csv", "grade", features=["row"], task="multiclass").load()
    assert "grade are taken for classes" not in capsys.readouterr().err, "what was asked for is not explained"


def test_classes_that_no_training_row_has_are_said(
    write: Write, made: MakeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = pd.DataFrame({"x": range(30), "day": range(30), "y": ["a"] * 10 + ["b"] * 10 + ["c"] * 10})
    made(write(whole), "y", time="day", val_size=5, test_size=5).load()
    assert "data=table: no training row has class c\n" in capsys.readouterr().err


def test_new_rows_need_what_was_learned_and_not_the_file(
    path: Path, made: MakeTable, capsys: pytest.CaptureFixture[str]
) -> None:
    table = made(path, "kind", leave_out=OTHERS)
    rows, splits, file = rows_of(table), table.load(), io.BytesIO()
    torch.save(table.state_dict(), file)
    file.seek(0)
    path.unlink()

    anew = made("no such file", "kind", leave_out=OTHERS)
    anew.load_state_dict(torch.load(file, weights_only=True))
    assert anew.spec == table.spec and anew.state_dict() == table.state_dict()
    new = frame().iloc[rows["test"]].sample(frac=1, axis=1, random_state=0).drop(columns="kind")
    assert_allclose(anew.encode(new), splits["test"].x)
    assert_allclose(anew.encode(splits["test"].x), splits["test"].x, err_msg="an array holds features already")

    indexed = new.set_index(pd.Index([7] * len(new)))
    assert_allclose(anew.encode(indexed), splits["test"].x, err_msg="whatever the index")

    capsys.readouterr()
    unknown = anew.encode(new.assign(color=["purple"] * 2 + ["red"] * (len(new) - 2)))
    colors = [anew.spec.feature_names.index(f"color={value}") for value in ("blue", "green", "red")]
    assert_array_equal(unknown[:3, colors], [[0, 0, 0], [0, 0, 0], [0, 0, 1]])
    said = "data=table: column 'color' has values that no training row has, read as none: 'purple' (2)\n"
    assert capsys.readouterr().err == said


def test_new_rows_of_few_values_are_read_as_the_training_rows_were(write: Write, made: MakeTable) -> None:
    """A file with a single row may make numbers of texts, and of numbers with a hole others."""
    whole = pd.DataFrame({"code": ["1", "2a", "3"] * 20, "good": [True, False, None] * 20, "y": [0.5, 1, 2] * 20})
    table = made(write(whole), "y")
    assert table.spec.feature_names == ("code=1", "code=2a", "code=3", "good")
    new = pd.DataFrame({"code": [1.0, 3.0, np.nan], "good": [1, 0, np.nan]})
    assert_array_equal(table.encode(new)[:2], [[1, 0, 0, 1], [0, 0, 1, 0]])


def test_recalled_columns_read_the_file_too(path: Path, made: MakeTable, write: Write) -> None:
    table = made(path, "kind", leave_out=OTHERS)
    learned, x = table.state_dict(), table.load()["test"].x
    again = made(path, "kind", leave_out=OTHERS)
    again.load()
    learned["columns"][1]["missing"] = -1.0
    again.load_state_dict(learned)
    y = again.load()["test"].x
    assert (y[:, 1] == -1).sum() == frame()["length"].iloc[x[:, 0].astype(int)].isna().sum()
    other = made(write(frame().assign(kind="fig", row=1)), "weight", leave_out=OTHERS)
    other.load_state_dict(learned)
    with pytest.raises(ValueError, match=r"The class '36.*' was not learned; those were apple, pear, quince\."):
        other.load()


def test_classes_are_never_scaled(path: Path, made: MakeTable) -> None:
    """`scale: both` is for features, and for targets that are values."""
    for target in ("kind", "weight"):
        data = DataModule(made(path, target, leave_out=OTHERS), dtype=torch.float64, seed=0, pack=1)
        data.load()
        x, y = data.splits["train"].take(slice(None))
        assert_allclose(x.mean(0), 0, atol=1e-12)
        if target == "kind":
            assert y.dtype == torch.int64 and set(y.tolist()) == {0, 1, 2}
        else:
            assert_allclose([y.mean(), y.std(correction=0)], [0, 1], atol=1e-12)


@pytest.mark.parametrize("values", [[2**53, 2**53 + 1, 2**53 + 2], [2**63, 2**63 + 5000, 2**64 - 1], [1, 2, 3]])
def test_large_whole_numbers_stay_apart(values: list[int], made: MakeTable, write: Write) -> None:
    table = pd.DataFrame({"x": np.arange(60.0), "y": values * 20})
    assert made(write(table), "y").spec.target_names == tuple(map(str, values))
