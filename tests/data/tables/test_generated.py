"""A hundred tables as people's programs write them: each is read to what it was made from, or refused in a sentence."""

import csv
import io
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from fulmen.data.tables.cells import Cells
from fulmen.data.tables.reader import read_cells

NAMES = ["größe", "вес", "种类", "الاسم", "prix (€)", "2015", "a b", "σ", "naïve", "x_1", "N°", "ケース"]
TEXTS = [
    "Köln",
    "東京",
    "São Paulo",
    "Łódź",
    "red",
    "Αθήνα",
    "O'Neill",
    "a, b",
    "c; d",
    'say "so"',
    "e | f",
    "None",
    "NA",
]
MISSING = ["", "NA", "NaN", "n/a", "null", "None", "?", "-"]
ENCODINGS = ["utf-8"] * 12 + ["utf-8-sig"] * 3 + ["utf-16", "utf-16-le", "latin-1"]


class Made(NamedTuple):
    """A table, and what it was made from."""

    content: bytes
    separator: str
    encoding: str
    columns: dict[str, tuple[str, list[Any]]]
    """The type and the values of each column by name; None is missing."""
    words: set[str]
    """The words that stand for missing values."""


def grouped(digits: str, mark: str) -> str:
    """1234567 as 1,234,567."""
    return re.sub(r"(?<=\d)(?=(?:\d{3})+$)", lambda _: mark, digits)


def draw(seed: int) -> Made:
    """Draws a table: separator, decimal point, groups, encoding, quotes, words for missing values, types, scripts."""
    random = np.random.default_rng(seed)
    encoding = str(random.choice(ENCODINGS))
    names, texts = (
        [text for text in every if encoding != "latin-1" or text.encode(encoding, "ignore").decode(encoding) == text]
        for every in (NAMES, TEXTS)
    )
    separator = random.choice([",", ";", "\t", "|"])
    decimal = "," if random.random() < 0.4 else "."
    mark = random.choice(["", "", ".,"[decimal == "."], " ", "\xa0", "'"])
    rows, columns = int(random.integers(3, 40)), dict[str, tuple[str, list[Any]]]()
    words = set(random.choice(MISSING, int(random.integers(1, 3))).tolist()) if random.random() < 0.6 else set()
    cells: list[list[str]] = []
    for name in random.choice(names, int(random.integers(2, 6)), replace=False).tolist():
        kind = str(random.choice(["bool", "int", "float", "percent", "money", "scientific", "text", "date"]))
        values: list[Any] = []
        written: list[str] = []
        digits = int(random.integers(1, 5))
        minus = str(random.choice(["-", "-" if encoding == "latin-1" else "−"]))
        for _ in range(rows):
            if words and random.random() < 0.1:
                values.append(None)
                written.append(str(random.choice(sorted(words))))
                continue
            if kind == "bool":
                values.append(bool(random.random() < 0.5))
                written.append(str(values[-1]))
            elif kind == "text":
                values.append(str(random.choice(texts)))
                written.append(values[-1] + str(random.choice(["", " "])))
            elif kind == "date":
                values.append(f"2024-{random.integers(1, 13):02}-{random.integers(1, 29):02}")
                written.append(values[-1])
            elif kind == "scientific":
                text = f"{random.normal() * 10.0 ** random.integers(-9, 9):.3e}"
                values.append(float(text))
                written.append(text.replace(".", decimal))
            else:
                size = random.choice([10, 1000, 1_000_000])
                text = f"{random.normal() * size:.{0 if kind == 'int' else digits}f}"
                text = text.replace("-0", "0") if float(text) == 0 else text
                values.append(float(text))
                whole, _, fraction = text.lstrip("-").partition(".")
                shown = grouped(whole, mark) + (decimal + fraction if fraction else "")
                sign = minus if text.startswith("-") else ""
                money = {"percent": f"{sign}{shown}%", "money": f"{sign}£{shown}"}
                written.append(money.get(kind, sign + shown))
        columns[name] = (kind, values)
        cells.append(written)
    file = io.StringIO(newline="")
    dialect = random.choice(["excel", "unix"])  # which has everything in quotes
    writer = csv.writer(file, str(dialect), delimiter=separator, lineterminator=str(random.choice(["\n", "\r\n"])))
    writer.writerows([list(columns), *zip(*cells, strict=True)])
    return Made(file.getvalue().encode(encoding), separator, encoding, columns, words)


def outcome(path: Path, made: Made) -> str:
    """Reads a table, follows the advice on its separator, and compares every column with what it was made from."""
    path.write_bytes(made.content)
    try:
        made.content.decode("utf-8-sig")
        is_readable = made.encoding != "utf-16-le"
    except UnicodeDecodeError:
        is_readable = False
    if not is_readable:
        with pytest.raises(ValueError, match=r"t\.csv is not encoded in UTF-8"):
            read_cells(path, separator=made.separator)
        return "refused"
    if made.separator != ",":
        with pytest.raises(ValueError, match=r'add "data.separator=|every line must have as many as the header'):
            read_cells(path)
    found = read_cells(path, separator=made.separator)
    assert list(found) == list(made.columns)
    return ",".join(compare(found[name], *made.columns[name], made.words) for name in found)


def compare(cells: Cells, kind: str, values: list[Any], words: set[str]) -> str:
    """Compares a column, cell by cell."""
    if cells.error:
        assert re.search(r"which is .* with a decimal point and .* with a decimal comma", cells.error)
        return "ambiguous"
    read = [None if cell != cell else cell for cell in cells.values.tolist()]
    if all(value is None for value in values):
        assert all(value is None or value in words for value in read)
        return "empty"
    for value, expected in zip(read, values, strict=True):
        if kind == "text" and expected is None and value is not None:
            assert value in words and repr(value) in cells.remark, "a text among texts, and that is said"
        elif expected is None or isinstance(expected, (str, bool)):
            assert value == expected and type(value) is type(expected)
        else:
            assert value is not None and math.isclose(float(value), expected, rel_tol=1e-15), (value, expected)
    missing = sum(value is None for value in read)
    assert missing == sum(cells.missing.values())
    return "read"


def test_a_hundred_tables_are_read_rightly_or_refused(tmp_path: Path) -> None:
    counts = Counter[str]()
    for seed in range(100):
        made = draw(seed)
        try:
            counts.update(outcome(tmp_path / "t.csv", made).split(","))
        except AssertionError as error:
            raise AssertionError(f"table {seed}: {error}") from error
    assert counts["read"] > 200 and counts["refused"] > 10 and counts["ambiguous"] < 10, counts
