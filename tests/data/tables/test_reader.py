"""Files as tables: what pandas reads is what is read, and each way to be wrong has its sentence."""

import builtins
import gzip
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from pandas.testing import assert_frame_equal

import fulmen
from fulmen.data.sets.table import Table
from fulmen.data.tables.cells import Form
from fulmen.data.tables.reader import MOST, read

TABLE = pd.DataFrame(
    {
        "a number": [1.5, np.nan, -3e5],
        "count": [1, 2, 3],
        "word": ["x, y", 'say "so"', "two\nlines"],
        "yes": [True, False, True],
        "last": [np.nan, 2.0, 3.0],
    }
)
READ = TABLE.assign(word=["x, y", 'say "so"', "two lines"])


def write(folder: Path, name: str) -> Path:
    """The table above in a file of that kind."""
    path = folder / name
    if path.suffix in (".parquet", ".pq"):
        TABLE.to_parquet(path)
    else:
        TABLE.to_csv(path, index=False, sep="\t" if ".tsv" in name else ",")
    return path


@pytest.mark.parametrize("name", ["t.csv", "T.CSV", "t.txt", "t.tsv", "t.csv.gz", "t.tsv.gz", "t.parquet", "t.pq"])
def test_every_kind_of_file_gives_the_same_table(tmp_path: Path, name: str) -> None:
    assert_frame_equal(read(write(tmp_path, name)), READ)


def test_separator_and_decimal_are_those_given(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    TABLE.to_csv(path, index=False, sep=";", decimal=",")
    assert_frame_equal(read(path, separator=";", form=Form(decimal=",")), READ)
    assert_frame_equal(read(path, separator=";"), READ)


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y\n",
        "\ufeffa,b\r\n1,x\r\n2,y\r\n",  # as Excel writes it
        "a, b \n1, x\n2, y\n",
        "\na,b\n\n1,x\n2,y\n\n",
        '"a","b"\n"1","x"\n"2","y"\n',
        "a,b\n1,x,\n2,y,\n",  # a separator behind each row
    ],
)
def test_ways_to_write_a_table(tmp_path: Path, content: str) -> None:
    (tmp_path / "t.csv").write_bytes(content.encode())
    assert_frame_equal(read(tmp_path / "t.csv"), pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))


def test_a_separator_behind_each_row_hides_no_missing_value(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,x,\n2,,\n")
    assert_frame_equal(read(tmp_path / "t.csv"), pd.DataFrame({"a": [1, 2], "b": ["x", np.nan]}))


def test_row_numbers_that_pandas_puts_into_parquet_are_no_column(tmp_path: Path) -> None:
    TABLE.iloc[[2, 0, 1]].to_parquet(tmp_path / "t.parquet")
    assert list(read(tmp_path / "t.parquet").columns) == list(TABLE.columns)
    TABLE.set_index("word").to_parquet(tmp_path / "t.parquet")
    assert "word" in read(tmp_path / "t.parquet")


def test_a_home_is_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path, "t.csv")
    assert len(read("~/t.csv")) == 3


GOOD = b"a,b\n1,2\n3,4\n"
BAD: dict[str, tuple[str, bytes, str]] = {
    "unknown ending": ("t.xlsx", GOOD, r"t.xlsx does not end as a table does: \.csv, \.tsv"),
    "no ending": ("t", GOOD, r"t does not end as a table does"),
    "no bytes": ("t.csv", b"", r"t.csv is empty\.$"),
    "blank lines": ("t.csv", b"\n\n\n", r"t.csv is empty\.$"),
    "spaces": ("t.csv", b"  \n", r"t.csv is empty\.$"),
    "gzip of nothing": ("t.csv.gz", gzip.compress(b""), r"t.csv.gz is empty\.$"),
    "header alone": ("t.csv", b"a,b\n", r"t.csv has columns, but no rows\.$"),
    "header without line end": ("t.csv", b"a,b", r"t.csv has columns, but no rows\.$"),
    "one name twice": ("t.csv", b"a,b,a\n1,2,3\n", r"has two columns with the name 'a'"),
    "one name twice but for spaces": ("t.csv", b"a,b,a \n1,2,3\n", r"has two columns with the name 'a'"),
    "no header": ("t.csv", b"5,3,5\n1,2,3\n", r"two columns with the name '5': the first line must be a header"),
    "latin-1 in the header": ("t.csv", "größe,b\n1,2\n".encode("latin-1"), r"not encoded in UTF-8 \(it has .* 0xf6\)"),
    "latin-1 in a row": ("t.csv", b"a,b\n1,2\n" + b"1,2\n" * 9999 + b"1,\xe9\n", r"not encoded in UTF-8 .*0xe9"),
    "utf-16": ("t.csv", "a,b\n1,2\n".encode("utf-16"), r"not encoded in UTF-8 .*: save it as UTF-8\.$"),
    "first row too long": ("t.csv", b"a,b\n1,2,3\n4,5\n", r"t.csv has 2 columns, and 3 in line 2: every line must"),
    "all rows too long": ("t.csv", b"a,b\n1,2,3\n4,5,6\n", r"2 columns, and 3 in line 2"),
    "a later row too long": ("t.csv", b"a,b\n1,2\n3,4\n5,6,7\n", r"2 columns, and 3 in line 4"),
    "a row too short": ("t.csv", b"a,b,c\n1,2,3\n4,5\n", r"3 columns, and 2 in line 3"),
    "a quote that stays open": ("t.csv", b'a,b\n1,"2\n3,4\n', r"t.csv cannot be read: .*EOF inside string"),
    "cut gzip": ("t.csv.gz", gzip.compress(GOOD * 999)[:-9], r"t.csv.gz cannot be read: Compressed file ended"),
    "no gzip": ("t.csv.gz", GOOD, r"t.csv.gz cannot be read: Not a gzipped file"),
    "semicolons": (
        "t.csv",
        b"a;b;c\n1;2;3\n",
        r"""has one column, 'a;b;c'; if it is separated by ';', add "data\.separator=';'"\.$""",
    ),
    "tabs": ("t.csv", b"a\tb\n1\t2\n", r"""separated by '\\t', add "data\.separator=tab"\.$"""),
    "bars": ("t.csv", b"a|b\n1|2\n", r"""separated by '\|', add "data\.separator='\|'"\.$"""),
    "commas in tsv": ("t.tsv", b"a,b\n1,2\n", r"""separated by ',', add "data\.separator=','"\.$"""),
    "text as parquet": ("t.parquet", GOOD, r"t.parquet is damaged, or no Parquet file"),
    "empty parquet": ("t.parquet", b"", r"t.parquet is empty\.$"),
    "a binary file": ("t.csv", bytes(range(256)) * 9, r"not encoded in UTF-8"),
    "an endless cell": ("t.csv", b"a" * 200_000 + b"\n1\n", r"t.csv cannot be read: field larger than field limit"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_file_is_refused_in_a_sentence(tmp_path: Path, case: str) -> None:
    name, content, sentence = BAD[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence) as caught:
        read(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_a_cut_parquet_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "t.parquet")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"t.parquet is damaged, or no Parquet file"):
        read(path)


def test_parquet_without_rows_is_refused(tmp_path: Path) -> None:
    TABLE.iloc[:0].to_parquet(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"t.parquet has columns, but no rows\."):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("tabel.csv", r"There is no file .*tabel.csv; did you mean table.csv\?"),
        ("elsewhere.txt", r"There is no file .*elsewhere.txt; paths start from .*\."),
        ("no/folder.csv", r"There is no file .*folder.csv; paths start from"),
        ("sub", r"sub is a folder: name a file in it\. It holds one.csv, two.parquet\."),
        ("void", r"void is a folder: name a file in it\. It holds no table\."),
    ],
)
def test_a_file_that_is_not_there(tmp_path: Path, path: str, sentence: str) -> None:
    for folder in ("sub", "void"):
        (tmp_path / folder).mkdir()
    for name in ("table.csv", "sub/two.parquet", "sub/one.csv", "sub/notes.md"):
        (tmp_path / name).write_text("a\n1\n")
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path / path)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real = write(tmp_path, "t.parquet"), builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"pyarrow reads, and that is not installed: pip install 'fulmen\[parquet\]'"):
        read(path)


@pytest.mark.parametrize(("columns", "fine"), [(MOST, True), (MOST + 1, False), (1_000_000, False)])
def test_very_many_columns_are_refused_at_once(tmp_path: Path, columns: int, fine: bool) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",".join(map(str, range(columns))) + "\n" + "0," * (columns - 1) + "0\n")
    if fine:
        assert read(path).shape == (1, columns)
        return
    began = time.process_time()
    with pytest.raises(ValueError, match=rf"has {columns} columns, and at most {MOST} can be taken"):
        read(path)
    assert time.process_time() - began < 1


def test_very_many_columns_of_parquet_are_refused(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pyarrow.table({str(n): [0.0] for n in range(MOST + 1)}), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=rf"has {MOST + 1} columns"):
        read(tmp_path / "t.parquet")


@pytest.mark.parametrize(("separator", "word"), [(";", "';'"), ("|", "'|'"), ("\t", "tab")])
def test_the_advised_separator_can_be_typed(
    tmp_path: Path, separator: str, word: str, made: Callable[..., Table]
) -> None:
    """What the sentence tells to type, without the shell's own quotes, is the separator in the end."""
    (tmp_path / "t.csv").write_text(separator.join("abc") + "\n" + separator.join("123") + "\n")
    with pytest.raises(ValueError, match=re.escape(f'add "data.separator={word}".')):
        read(tmp_path / "t.csv")
    config = fulmen.compose(["data=table", f"data.separator={word}"])
    assert list(read(tmp_path / "t.csv", separator=made(separator=config.data.separator).separator)) == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.parquet"])
def test_a_damaged_file_is_a_table_or_refused_in_a_sentence(tmp_path: Path, name: str) -> None:
    """Bits flipped, bytes put in, and truncations."""
    random, path = np.random.default_rng(0), write(tmp_path, name)
    whole = path.read_bytes()
    for trial in range(60 if name == "t.parquet" else 120):
        damaged = bytearray(whole)
        at = int(random.integers(len(damaged)))
        match trial % 3:
            case 0:
                damaged[at] ^= 1 << int(random.integers(8))
            case 1:
                damaged[at:at] = b'"'
            case 2:
                del damaged[at:]
        path.write_bytes(damaged)
        said = f"{path}: a sentence"
        try:
            read(path)
        except ValueError as error:
            said = str(error)
        assert str(path) in said and "\n" not in said
