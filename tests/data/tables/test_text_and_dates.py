"""Texts and dates as features: fitted on the training rows, restored from plain values, the same for new rows."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from fulmen.cli.main import main
from fulmen.data.sets.table import Table
from fulmen.data.tables import dates

MakeTable = Callable[..., Table]
GOOD, BAD = ("lovely", "great", "warm"), ("awful", "cold", "broken")


def reviews(rows: int = 120) -> pd.DataFrame:
    """Reviews that are good or bad by their words, on days that rise by 31 hours."""
    random = np.random.RandomState(0)
    stars = random.randint(0, 2, rows)
    texts = [
        f"A {random.choice(GOOD if star else BAD)} place, not {random.choice(BAD if star else GOOD)}: number {row}"
        for row, star in enumerate(stars)
    ]
    days = pd.date_range("2023-11-05 06:30", periods=rows, freq="31h")
    return pd.DataFrame({"review": texts, "day": days, "price": random.rand(rows).round(3), "stars": stars})


@pytest.fixture
def csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    reviews().to_csv("reviews.csv", index=False)
    return Path("reviews.csv")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("words", {"ngram_range": (1, 2), "token_pattern": r"\b\w+\b"}),
        ("characters", {"analyzer": "char_wb", "ngram_range": (2, 4)}),
    ],
)
def test_texts_are_counted_as_scikit_learn_does(
    csv: Path, made: MakeTable, kind: str, options: dict[str, object]
) -> None:
    table = made(csv, "stars", types={"review": kind}, features=["review"])
    rows, splits = reviews(), table.load()
    train = rows["review"].iloc[table._contents.indices["train"]]
    vectorizer = CountVectorizer(**options, min_df=2, max_features=1000).fit(train)
    names = [f"review={gram}" for gram in vectorizer.get_feature_names_out()]
    assert list(table.spec.feature_names) == names
    expected = normalize(vectorizer.transform(rows["review"].iloc[table._contents.indices["val"]])).toarray()
    assert_allclose(splits["val"].x, expected)
    again = made(None, "stars")
    again.load_state_dict(json.loads(json.dumps(table.state_dict())))  # plain values
    new = pd.DataFrame({"review": [rows["review"][3], None, "of none of these"]})
    found = again.encode(new)
    assert_allclose(found[0], table.encode(rows[["review"]])[3])
    assert not found[1].any()


def test_dates_become_days_and_waves(csv: Path, made: MakeTable) -> None:
    table = made(csv, "stars", types={"day": "date"}, features=["day"])
    days = reviews()["day"]
    names = [name.removeprefix("day=") for name in table.spec.feature_names]
    found = dict(zip(names, table.encode(reviews()[["day"]]).T, strict=True))
    assert_allclose(found["days"], (days - pd.Timestamp(0)) / pd.Timedelta(days=1), rtol=1e-9)
    time = days.dt.hour / 24 + days.dt.minute / 1440
    since_thursday = days.dt.day_of_week - 3 + time  # 1970 began on a Thursday
    assert_allclose(found["week_sin"], np.sin(2 * np.pi * since_thursday / 7), atol=1e-6)
    assert_allclose(found["day_cos"], np.cos(2 * np.pi * time), atol=1e-6)
    year = np.arctan2(found["year_sin"], found["year_cos"]) / (2 * np.pi) * 365.2425 % 365.2425
    assert (abs(year - days.dt.day_of_year) < 3).mean() > 0.97  # leap years, and the turn of the year
    with pytest.raises(ValueError, match="Column 'day' holds '3/4/2024' in row 2: it must hold dates, such as"):
        table.encode(pd.DataFrame({"day": ["2024-04-03", "3/4/2024"]}))  # which day, no training row tells
    missing = table.encode(pd.DataFrame({"day": [None]}))
    train = np.median(found["days"][table._contents.indices["train"]])
    assert missing[0, 0] == train


@pytest.mark.parametrize(
    ("first", "others"),
    [
        ("2024-01-31", ["2024-02-01", "2024/2/3"]),
        ("31.01.2024", ["1.2.2024", "03.02.24"]),
        ("1/31/2024", ["2/1/2024", "02/03/24"]),
        ("31 Jan 2024", ["1-feb-2024", "3 February 24"]),
        ("Jan 31, 2024", ["February 1st 2024", "Sat, 3 Feb. 2024"]),
        (" 31.01.2024 ", ["1.2.2024\u00a0", "\t03.02.24"]),
        ("20240131", ["20240201", "20240203"]),
    ],
)
def test_dates_are_read_as_they_are_written(made: MakeTable, tmp_path: Path, first: str, others: list[str]) -> None:
    path = tmp_path / "days.csv"
    pd.DataFrame({"day": [first, *others] * 20, "y": ["a", "b", "a"] * 20}).to_csv(path, index=False)
    table = made(path, "y", types={"day": "date"})
    assert table.spec.feature_names == ("day=days", "day=year_sin", "day=year_cos", "day=week_sin", "day=week_cos")
    x = table.encode(table.read(str(path)))
    began = (pd.Timestamp("2024-01-31") - pd.Timestamp(0)).days
    assert x[:3, 0].tolist() == [began, began + 1, began + 3]


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("2024-01-31 10:00+02", "2024-01-31 10:00"),  # zones are left aside
        ("2024-01-31T10:00Z", "2024-01-31 10:00"),
        ("Wed, 31 Jan 2024 10:00:00 GMT", "2024-01-31 10:00"),
        ("1/31/2024 1:45 PM", "2024-01-31 13:45"),
        ("2024-01-31 10:00:00.25", "2024-01-31 10:00:00.25"),
        ("2024-01-31T10:00:00,25+0100", "2024-01-31 10:00:00.25"),
        (" 31.1.2024\u00a0", "2024-01-31"),  # as a frame may hold them
        ("1901-01-31", "1901-01-31"),
        ("31 Junk 2024", None),
        ("31 Mai 2024", None),
        ("2024-01-31-10:00", None),  # a zone without a time is no date, or an hour
        ("2023-02-29", None),
        ("2024-01-31 24:00", None),
    ],
)
def test_times_zones_and_months_are_read_rightly_or_refused(text: str, right: str | None) -> None:
    column = pd.Series([text], name="day")
    if right is None:
        with pytest.raises(ValueError, match=re.escape(f"{text!r} in row 1: it must hold dates, such as 2024-01-31")):
            dates.days(column, dates.order(column))
        return
    expected = (pd.Timestamp(right) - pd.Timestamp(0)) / pd.Timedelta(days=1)
    assert_allclose(dates.days(column, dates.order(column)), [expected], rtol=0, atol=1e-9)


def test_a_table_with_text_and_dates_trains_and_predicts(csv: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=table", "data.path=reviews.csv", "data.target=stars", "data.types={review: words, day: date}"]
    run = ["model=linear", "trainer.max_epochs=30", "logger=none", "figures=none", "run_dir=run"]
    assert main([*words, *run]) == 0
    said = capsys.readouterr().out
    assert "words," in said and "date, 7 features" in said
    assert json.loads(Path("run/metrics.json").read_text())["test/accuracy"] > 0.9
    new = reviews().assign(review="a lovely place", day="2025-03-01").drop(columns="stars")
    new["review"] = new["review"].where(new.index > 0, "zzz")
    new.to_csv("new.csv", index=False)
    assert main(["predict", "run", "input=new.csv", "output=out.csv"]) == 0
    assert "'review' has 1 row with none of the words" in capsys.readouterr().err
    assert len(pd.read_csv("out.csv")) == len(new)
    Path("reviews.csv").rename("moved.csv")
    assert main(["evaluate", "run", "data.path=moved.csv", "split=all"]) == 0
    assert main(["export", "run", "input=new.csv"]) == 0


TABLES = {
    "target": ({"y": "words"}, ["a", "b"] * 30, "data.types makes words of data.target 'y'"),
    "no words": ({"w": "words"}, [f"x{row}" for row in range(60)], "has no words that 2 training rows have in common"),
    "no date": ({"w": "date"}, ["2024-01-31", "soon"] * 30, "holds 'soon' in row .*: it must hold dates, such as"),
    "no such day": ({"w": "date"}, ["2024-01-31", "2024-02-30"] * 30, "holds '2024-02-30' in row"),
    "either way round": ({"w": "date"}, ["1/2/2024", "3/4/2024"] * 30, "day and month may be either way round"),
    "both ways round": (
        {"w": "date"},
        ["31/1/2024", "1/31/2024"] * 30,
        "holds '31/1/2024' in row .*the month before the day",
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_wrong_columns_are_refused(made: MakeTable, tmp_path: Path, case: str) -> None:
    types, column, sentence = TABLES[case]
    path = tmp_path / "table.csv"
    pd.DataFrame({"w": column, "x": range(60), "y": ["a", "b"] * 30}).to_csv(path, index=False)
    with pytest.raises(ValueError, match=sentence):
        _ = made(path, "y", types=types).spec


def test_a_damaged_vocabulary_is_refused(csv: Path, made: MakeTable) -> None:
    table = made(csv, "stars", types={"review": "words", "day": "date"})
    for column, values in ((0, [1]), (1, ["code"])):
        state = table.state_dict()
        state["columns"][column]["values"] = values
        with pytest.raises(ValueError, match=re.escape("the schema of the table is damaged")):
            made(None, "stars").load_state_dict(state)
