"""Tables from files: CSV, or Parquet, the way pandas reads them, with a sentence for each way a file can be wrong.

Pandas is lenient where a table would turn out another than its author thinks (a first row too long becomes an index,
two columns of one name get other names, a row too short is filled up), so that is looked for here.
"""

import csv
import gzip
import json
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fulmen.rules import did_you_mean, listed

if TYPE_CHECKING:
    from _csv import Reader

    import pandas as pd

SEPARATORS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}
"""Common separators, and what `data.separator` calls them."""
LONGEST = 2**24
"""Maximum number of characters of a header line that are read."""


def read_header(file: Path, separator: str) -> list[str]:
    """Returns the names of the columns, stripped; a name may be empty.

    Raises:
        ValueError: there is none, it is no text in UTF-8, or another separator divides it.
    """
    with _opened(file) as text:
        lines = iter(lambda: text.readline(LONGEST), "")
        first = next((line for line in _reader(lines, separator) if line), [""])
    names = [name.strip() for name in first]
    if not any(names):
        raise ValueError(f"{file} is empty.")
    others = [other for other in SEPARATORS if other != separator and other in names[0]]
    if len(names) == 1 and others:
        raise ValueError(
            f"{file} has one column, {names[0]!r}; if it is separated by {others[0]!r}, "
            f'add "data.separator={SEPARATORS[others[0]]}".'
        )
    return names


def read_delimited(file: Path, separator: str, decimal: str) -> "pd.DataFrame":
    """Reads the rows under the header as a table, [N, columns].

    Raises:
        ValueError: rows differ in length, a quote is not closed, or the text is not UTF-8.
    """
    import pandas as pd

    try:
        with warnings.catch_warnings(), _opened(file) as text:
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                text, sep=separator, decimal=decimal, index_col=False, low_memory=False, skipinitialspace=True
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        _check_lengths(file, separator)
        raise ValueError(f"{file} cannot be read: {' '.join(str(error).split())}") from error
    if len(table) and table.iloc[:, -1].isna().any():  # a row that is too short has nothing there
        _check_lengths(file, separator)
    return table.rename(columns=str.strip)


def _check_lengths(file: Path, separator: str) -> None:
    """Raises ValueError for the first row that is longer or shorter than the header."""
    with _opened(file) as text:
        reader = _reader(text, separator)
        length = len(next(line for line in reader if line))
        wrong = next((line for line in reader if line and len(line) != length and line[length:] != [""]), None)
        if wrong is not None:
            raise ValueError(
                f"{file} has {length} columns, and {len(wrong)} in line {reader.line_num}: every line must have "
                "as many as the header; text that holds the separator must be in double quotes."
            )


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    """Opens a file as text, gzipped or not; raises ValueError if it cannot be read as UTF-8."""
    try:
        with (
            gzip.open(file, "rt", encoding="utf-8-sig", newline="")
            if file.suffix.lower() == ".gz"
            else file.open(encoding="utf-8-sig", newline="")
        ) as text:
            yield text
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not encoded in UTF-8 (it has the byte 0x{error.object[error.start]:02x}): save it as UTF-8."
        ) from error
    except (EOFError, OSError, csv.Error, zlib.error) as error:
        raise ValueError(f"{file} cannot be read: {' '.join(str(error).split())}") from error


def _reader(lines: Iterable[str], separator: str) -> "Reader":
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)


DELIMITED = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
PARQUET = (".parquet", ".pq")
INDEX = re.compile(r"__index_level_\d+__")
"""The name under which pandas writes row numbers to a Parquet file."""
TAB = {"tab": "\t", "\\t": "\t"}
"""Ways to type a tab."""
MOST = 10_000
"""Maximum number of columns; a table with more most likely has rows and columns exchanged."""


def read(path: str | Path, *, separator: str | None = None, decimal: str = ".") -> "pd.DataFrame":
    """Reads a table with a header, [N, columns], N at least 1.

    Args:
        path: of a CSV file (`.csv`, `.tsv`, `.txt`, gzipped or not) or a Parquet file (`.parquet`, `.pq`).
        separator: between the columns of a CSV file; none: a tab in `.tsv`, else a comma.
        decimal: the decimal point of a CSV file.

    Raises:
        ValueError: there is no such file, or it holds no table.
    """
    check_form(separator, decimal)
    file = Path(path).expanduser()
    _check(file)
    if file.suffix.lower() in PARQUET:
        table = _parquet(file)
    else:
        by_name = "\t" if ".tsv" in file.name.lower() else ","
        between = by_name if separator is None else TAB.get(separator, separator)
        check_names(file, read_header(file, between))
        table = read_delimited(file, between, decimal)
    if table.empty:
        raise ValueError(f"{file} has columns, but no rows.")
    return table


def check_form(separator: str | None, decimal: str) -> None:
    """Raises ValueError unless these can separate columns, and the digits of a number."""
    if separator is not None and separator not in TAB and len(separator) != 1:
        raise ValueError(f"data.separator is {separator!r}: give one character, or tab.")
    if decimal not in (".", ",") or decimal == separator:
        raise ValueError(f"data.decimal is {decimal!r}: give '.' or ',', and another data.separator.")


def _check(file: Path) -> None:
    if file.is_dir():
        raise ValueError(f"{file} is a folder: name a file in it.{_there(file)}")
    if not file.exists():
        near = did_you_mean(file.name, [path.name for path in file.parent.glob("*")]) if file.parent.is_dir() else ""
        several = (
            "; for a sweep over several, quote each, as in \"data.path='a.csv','b.csv'\"" if "," in str(file) else ""
        )
        raise ValueError(f"There is no file {file}{several or near or f'; paths start from {Path.cwd()}.'}")
    if not file.name.lower().endswith(DELIMITED + PARQUET):
        raise ValueError(f"{file} does not end as a table does: {', '.join(DELIMITED + PARQUET)}.")
    if file.stat().st_size == 0:
        raise ValueError(f"{file} is empty.")


def _there(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir() if path.name.lower().endswith(DELIMITED + PARQUET))
    return f" It holds {listed(names)}." if names else " It holds no table."


def check_names(file: Path, names: Sequence[str]) -> None:
    """Raises ValueError where there are too many columns, or two have one name."""
    if len(names) > MOST:
        raise ValueError(
            f"{file} has {len(names)} columns, and at most {MOST} can be taken: are rows and columns exchanged?"
        )
    seen: set[str] = set()
    for name in filter(None, names):
        if name in seen:
            raise ValueError(
                f"{file} has two columns with the name {name!r}: the first line must be a header with different names."
            )
        seen.add(name)


def _parquet(file: Path) -> "pd.DataFrame":
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ValueError(
            f"{file} is a Parquet file, which pyarrow reads, and that is not installed: pip install 'fulmen[parquet]'."
        ) from error
    try:
        check_names(file, pyarrow.parquet.read_schema(file).names)
        table: pd.DataFrame = pyarrow.parquet.read_table(file).to_pandas(ignore_metadata=True)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file} is damaged, or no Parquet file: {str(error).partition(chr(10))[0]}") from error
    return table.drop(columns=[name for name in map(str, table) if INDEX.fullmatch(name)])
