"""What is wrong with a user's own table, each in a sentence with the way out."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fulmen.data.sets.table import Table

MakeTable = Callable[..., Table]
Write = Callable[..., Path]


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
        r"data.target is 'Y1', but .*csv has no such column; did you mean y\? the columns are x, y, v\.$",
    ),
    "a target nearly there": (
        holding(price=1.5),
        {"target": "prize"},
        r"'prize', .*; did you mean price\? the columns",
    ),
    "one of several targets": (holding(), {"target": ["v", "w"]}, r"data.target is 'w', but .* no such column"),
    "a feature": (holding(), {"features": ["z"]}, r"data.features is 'z', but .* no such column"),
    "a column left out": (holding(), {"leave_out": ["z"]}, r"data.leave_out is 'z', but .* no such column"),
    "a time": (holding(), {"time": "z"}, r"data.time is 'z', but .* no such column"),
    "a group": (holding(), {"group": "z"}, r"data.group is 'z', but .* no such column"),
    "the target as feature": (
        holding(),
        {"features": ["x", "y"]},
        r"data.features names 'y', which is data.target already",
    ),
    "the target left out": (holding(), {"leave_out": ["y"]}, r"data.leave_out names 'y', which is data.target already"),
    "the target as time": (holding(), {"target": "v", "time": "v"}, r"names 'v', which is data.\w+ already"),
    "nothing but the target": ((pd.DataFrame({"y": [1, 2] * 50})), {}, r"to be a feature: it needs one with a name"),
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
    "... and a row before it without any": (
        holding(v=[0.5, None, *marked(np.inf)[2:]]),
        {"target": "v"},
        r"Column 'v' holds 'inf' in row 6",
    ),
    "dates as target": (
        holding(y=pd.date_range("2024-01-01", periods=100).astype(str)),
        {},
        r"data.target 'y' holds values such as '2024-01-01', which are neither numbers nor classes",
    ),
    "a target in two readings": (
        pd.DataFrame({"x": range(100), "y": [f"{number},125" for number in range(1, 101)]}),
        {},
        r"""Column 'y' holds '1,125', which is 1125 with a decimal point and 1\.125 with a decimal comma: """
        r"""add "data\.decimal='\.'" or "data\.decimal=','"\.$""",
    ),
    "a mark in the target": (
        holding(y=marked("much", 7)),
        {},
        r"""Column 'y' holds numbers, but 'much' in row 7: if it stands for a missing value, add """
        r""""data.missing=\[much\]"; else correct it, or keep all as classes with "data.types=\{y: text\}"\.$""",
    ),
    # features
    "names": (
        holding(who=TEXTS),
        {},
        r"""Column 'who' holds \d+ different texts in 70 training rows, such as '.*': if they only tell rows apart, """
        r"""leave it out with "data.leave_out=\[who\]"; if they are written in words, """
        r"""add "data.types=\{who: words\}"; else make them fewer\.$""",
    ),
    "dates": (
        holding(day=pd.date_range("2024-01-01", periods=100).strftime("%d.%m.%Y")),
        {},
        r"""'day' holds dates, such as '.*': leave it out with "data.leave_out=\[day\]", to .* add data.time=day, or """
        r"""make features of them with "data.types=\{day: date\}"\.$""",
    ),
    "times": (holding(day=pd.date_range("2024-01-01", periods=100, freq="h").astype(str)), {}, r"'day' holds dates"),
    "two readings": (
        pd.DataFrame({"w": ["1,125", "2,250"] * 50, "y": ["a", "b"] * 50}),
        {},
        r"'w' holds '1,125', which",
    ),
    "two decimal points": (
        holding(w=["1.5", "2,25"] * 50),
        {},
        r"'w' holds '1.5' with a decimal point and '2,25' with a decimal comma: write all in one way, or keep them as "
        r"texts with \"data.types=\{w: text\}\"\.$",
    ),
    "two currencies": (holding(w=["$5", "€7"] * 50), {}, r"'w' holds '\$5' and '€7', which have different units"),
    "percent and shares": (holding(w=["12%", "0.12"] * 50), {}, r"'w' holds '12%' and '0.12', which have different"),
    "a comma where points were promised": (
        holding(w=["1,5", "2,25"] * 50),
        {"decimal": "."},
        r"'w' holds '1,5' in row 1: it must hold numbers with a decimal point\.$",
    ),
    "a word among numbers": (
        holding(w=marked("much", 2)),
        {"val_size": 0, "test_size": 0},
        r"""'w' holds numbers, but 'much' in row 2: if it stands for a missing value, add "data.missing=\[much\]"; """
        r"""else correct it, or leave it out with "data.leave_out=\[w\]"\.$""",
    ),
    "no number where one must be": (
        holding(w=["1", "two"] * 50),
        {"types": {"w": "number"}},
        r"'w' holds 'two' in row 2: it must hold finite numbers; if .* add \"data.missing=\[two\]\"\.$",
    ),
    "neither yes nor no": (
        holding(w=["yes", "no", "maybe", "no"] * 25),
        {"types": {"w": "yes_no"}},
        r"'w' holds 'maybe' in row 3: it must hold yes or no\.$",
    ),
    "a type of no column": (holding(), {"types": {"z": "text"}}, r"data.types is 'z', but .* no such column"),
    "numbers with units, too many to be texts": (
        holding(w=[f"{number} kg" for number in range(100)]),
        {},
        r"""'w' holds \d+ different texts .*: if they are numbers, add "data.types=\{w: number\}"; if they only tell""",
    ),
    "an infinite number": (
        holding(w=marked(-np.inf)),
        {},
        r"Column 'w' holds '-inf' in row 6: it must hold finite numbers",
    ),
    "an infinite number among words": (
        holding(w=["1.5", "-inf", "NA", "2"] * 25),
        {},
        r"Column 'w' holds '-inf' in row 2: it must hold finite numbers",
    ),
    "a line of totals": (
        holding(w=[*["a", "b"] * 49, "c", "Total"]),
        {},
        r"The last row holds 'Total' in column 'w': if it sums up the others, delete that line; if not, add \"data.ty",
    ),
    "nothing that differs": (holding(x=1, v=None), {}, r"Every column of .*csv is constant"),
    # divisions
    "too much held out": (
        holding(),
        {"val_size": 60, "test_size": 0.5},
        r"There are 100 rows, of which data.val_size=60 takes 60 and data.test_size=0.5 takes 50: none is left",
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
    "... and a row before it without a target": (
        holding(w=marked(None), y=[None, *"ab" * 49, "a"]),
        {"group": "w"},
        r"data.group 'w' is empty in row 6\.$",
    ),
    "no time, and a row before it without a target": (
        holding(w=marked(None), y=[None, *"ab" * 49, "a"]),
        {"time": "w"},
        r"data.time 'w' is empty in row 6:",
    ),
    "two groups": (
        holding(w=["a", "b"] * 50),
        {"group": "w"},
        r"There are 2 groups, of which data.val_size=0.15 takes 1 and",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_table_is_refused_in_a_sentence(write: Write, made: MakeTable, case: str) -> None:
    whole, keys, sentence = BAD[case]
    named = {"target": "y", **keys}
    table = made(write(whole), named.pop("target"), **named)
    with pytest.raises(ValueError, match=sentence) as caught:
        _ = table.spec
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
def test_columns_that_only_parquet_holds(write: Write, made: MakeTable, column: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        _ = made(write(holding(w=column), "parquet"), "y").spec


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"val_size": 1.5}, "data.val_size is 1.5, but must be a share below 1, or a whole number of rows"),
        ({"test_size": -1}, "data.test_size is -1, but must be a share below 1, or a whole number of rows"),
        ({"val_size": True}, "data.val_size is True, but must be a share below 1, or a whole number of rows"),
        ({"val_size": float("nan")}, "data.val_size is nan, but must be a share below 1, or a whole number of rows"),
        ({"separator": "::"}, "data.separator is '::': give one character, or tab."),
        ({"separator": ""}, "data.separator is '': give one character, or tab."),
        ({"decimal": ";"}, "data.decimal is ';': give '.' or ','."),
        ({"types": "{a: text"}, "data.types is '{a: text', but must be names with values, as {name: value}"),
        ({"types": ["a"]}, "data.types is ['a'], but must be names with values, as {name: value}"),
        (
            {"types": {"a": "numbers"}},
            "data.types of a is 'numbers', but must be one of number, text, yes_no, words, characters, date; "
            "did you mean number?",
        ),
        ({"time": "a", "group": "b"}, "data.time=a and data.group=b cannot be combined: set only one."),
    ],
)
def test_a_wrong_key_is_refused_before_the_file_is_read(
    made: MakeTable, keys: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        made("no such file.csv", "y", **keys)


def test_texts_are_no_numbers_whatever_their_type_says(write: Write, made: MakeTable) -> None:
    path = write(pd.DataFrame({"x": range(60), "flag": ["yes", "no"] * 30, "y": ["a", "b"] * 30}))
    said = "Column 'flag' holds 'yes' in row 1: it must hold numbers, and none of its cells does."
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        made(path, "y", types={"flag": "number"}).load()


def test_new_rows_that_lack_a_column_or_hold_a_text_are_refused(write: Write, made: MakeTable) -> None:
    table = made(write(holding()), "y")
    with pytest.raises(ValueError, match=r"The rows have no column 'v'; the columns are x\."):
        table.encode(holding()[["x"]])
    with pytest.raises(ValueError, match=r"Column 'v' holds 'much' in row 3"):
        table.encode(holding(v=["1", "2", "much", *"4" * 97]))


def test_what_another_source_learned_is_no_table(made: MakeTable) -> None:
    with pytest.raises(ValueError, match=re.escape("the schema of the table is damaged: 'spec'; train again")):
        made().load_state_dict({})
