"""Tables from files: CSV, or Parquet, the way pandas reads them, with a sentence for each way a file can be wrong.

Pandas is lenient where a table would turn out another than its author thinks (a first row too long becomes an index,
two columns of one name get other names, a row too short is filled up), so that is looked for here.
"""

import csv
import dataclasses
import gzip
import json
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from fulmen.data.tables.advice import typed
from fulmen.data.tables.cells import Cells, Form, decide
from fulmen.data.tables.columns import clean, kind
from fulmen.rules import did_you_mean, listed

if TYPE_CHECKING:
    from _csv import Reader

    import pandas as pd

    from fulmen.data.tables.cells import Type

SEPARATORS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}
"""Common separators, and what `data.separator` calls them."""
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
"""A first line by which spreadsheet programs say what separates the columns."""
ZERO = re.compile(r"""(?:^|[,;|\t "])0[0-9]""", re.MULTILINE)
LONGEST = 2**24
"""Maximum number of characters of a header line that are read."""


def read_header(file: Path, separator: str, prefix: str) -> list[str]:
    """Returns the names of the columns, stripped; a name may be empty.

    Raises:
        ValueError: there is none, it is no text in UTF-8, or another separator divides it.
    """
    with _opened(file) as text:
        lines = iter(lambda: text.readline(LONGEST), "")
        first = next((line for line in _reader(lines, separator) if line), [""])
    if "\0" in "".join(first):
        raise ValueError(f"{file} is not encoded in UTF-8 (it has zero bytes): save it as UTF-8.")
    names = list(map(clean, first))
    if not any(names):
        raise ValueError(f"{file} is empty.")
    others = [other for other in SEPARATORS if other != separator and other in first[0]]
    if len(names) == 1 and others:
        raise ValueError(
            f"{file} has one column, {names[0]!r}; if it is separated by {others[0]!r}, "
            f'add "{prefix}separator={SEPARATORS[others[0]]}".'
        )
    return names


def _delimited(file: Path, separator: str, form: Form) -> dict[str, Cells]:
    """Reads the rows under the header, by column."""
    table = _parse(file, separator)
    if len(table) and table.iloc[:, -1].isna().any():  # a row that is too short has nothing there
        _check_lengths(file, separator)
    table.columns = list(map(clean, map(str, table)))
    places = {name: place for place, name in enumerate(table)}

    def raw(names: list[str]) -> "pd.DataFrame":
        found = _parse(file, separator, [places[name] for name in names])
        return found.set_axis(names, axis=1)

    cells = decide(table, raw, form)
    whole = [name for name, column in cells.items() if column.values.dtype.kind == "i" and not column.remark]
    if not whole or not _has_zeros(file):
        return cells
    texts = raw(whole)
    for name in whole:
        codes = texts[name][texts[name].str.fullmatch("0[0-9]+").eq(True)]
        if len(codes):
            remark = f"{codes.iloc[0]!r} is {int(codes.iloc[0])}; if it is a code, keep it with {typed(name, 'text')}"
            cells[name] = cells[name]._replace(remark=remark)
    return cells


def _has_zeros(file: Path) -> bool:
    """Returns whether a cell may begin with a zero that is no number's only digit before the point."""
    with _opened(file) as text:
        return any(ZERO.search("".join(lines)) for lines in iter(lambda: text.readlines(2**20), []))


def _parse(file: Path, separator: str, texts: list[int] | None = None) -> "pd.DataFrame":
    """Parses a file with pandas, with nothing but empty cells missing; given `texts`, these columns alone, as texts."""
    import pandas as pd

    try:
        with warnings.catch_warnings(), _opened(file) as text:
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                text,
                sep=separator,
                index_col=False,
                low_memory=False,
                skipinitialspace=True,
                keep_default_na=False,
                na_values=[""],
                usecols=texts,
                dtype=None if texts is None else str,
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        _check_lengths(file, separator)
        raise ValueError(f"{file} cannot be read: {' '.join(str(error).split())}") from error


def _check_lengths(file: Path, separator: str) -> None:
    """Raises ValueError for the first row that is longer or shorter than the header."""
    with _opened(file) as text:
        reader = _reader(text, separator)
        length = len(next(line for line in reader if line))
        wrong = next((line for line in reader if line and len(line) != length and line[length:] != [""]), None)
        if wrong is not None:
            title = " If the first line is a title or a remark, delete it." if length == 1 else ""
            columns = f"{length} column{'s' * (length != 1)}"
            raise ValueError(
                f"{file} has {columns}, and {len(wrong)} in line {reader.line_num}: every line must have "
                f"as many as the header; text that holds the separator must be in double quotes.{title}"
            )


@contextmanager
def _opened(file: Path, *, skip: bool = True) -> Iterator[TextIO]:
    """Opens a file as text, gzipped or not, behind a line that only names the separator; ValueError if unreadable."""
    try:
        with (
            gzip.open(file, "rt", encoding="utf-8-sig", newline="")
            if file.suffix.lower() == ".gz"
            else file.open(encoding="utf-8-sig", newline="")
        ) as text:
            if not skip or not SEPARATOR_LINE.fullmatch(text.readline(LONGEST)):
                text.seek(0)
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
PLAIN = Form()
TAB = {"tab": "\t", "\\t": "\t"}
"""Ways to type a tab."""
MOST = 10_000
"""Maximum number of columns; a table with more most likely has rows and columns exchanged."""


def read(
    path: str | Path, *, separator: str | None = None, form: Form = PLAIN, used: Sequence[str] = ()
) -> "pd.DataFrame":
    """Reads a table with a header, [N, columns], N at least 1, as `read_cells` does.

    Raises:
        ValueError: there is no such file, it holds no table, or the cells of a column that is `used` cannot be read.
    """
    return frame(read_cells(path, separator=separator, form=form), used)


def read_cells(path: str | Path, *, separator: str | None = None, form: Form = PLAIN) -> dict[str, Cells]:
    """Reads a table with a header, at least a row, by column.

    Args:
        path: of a CSV file (`.csv`, `.tsv`, `.txt`, gzipped or not) or a Parquet file (`.parquet`, `.pq`).
        separator: between the columns of a CSV file; none: as its first line says, a tab in `.tsv`, else a comma.
        form: how its cells are written.

    Raises:
        ValueError: there is no such file, or it holds no table.
    """
    check_form(separator, form.decimal, form.prefix)
    file = Path(path).expanduser()
    _check(file)
    if file.suffix.lower() in PARQUET:
        columns = _parquet(file, form)
    else:
        if separator is None:
            with _opened(file, skip=False) as text:
                said = SEPARATOR_LINE.fullmatch(text.readline(LONGEST))
            separator = said[1] if said else "\t" if ".tsv" in file.name.lower() else ","
        separator = TAB.get(separator, separator)
        check_names(file, read_header(file, separator, form.prefix))
        columns = _delimited(file, separator, dataclasses.replace(form, separator=separator))
    if not columns or not len(next(iter(columns.values())).values):
        raise ValueError(f"{file} has columns, but no rows.")
    return columns


def frame(cells: Mapping[str, Cells], used: Iterable[str]) -> "pd.DataFrame":
    """Returns the columns as a table; raises ValueError if the cells of one that is used cannot be read."""
    import pandas as pd

    for name in used:
        if name in cells and cells[name].error:
            raise ValueError(cells[name].error)
    return pd.DataFrame({name: column.values for name, column in cells.items()})


def check_form(separator: str | None, decimal: str | None, prefix: str = "data.") -> None:
    """Raises ValueError unless these can separate columns, and the digits of a number."""
    if separator is not None and separator not in TAB and len(separator) != 1:
        raise ValueError(f"{prefix}separator is {separator!r}: give one character, or tab.")
    if decimal not in (None, ".", ","):
        raise ValueError(f"{prefix}decimal is {decimal!r}: give '.' or ','.")


def _check(file: Path) -> None:
    if file.is_dir():
        names = sorted(path.name for path in file.iterdir() if path.name.lower().endswith(DELIMITED + PARQUET))
        there = f"It holds {listed(names)}." if names else "It holds no table."
        raise ValueError(f"{file} is a folder: name a file in it. {there}")
    if not file.exists():
        near = did_you_mean(file.name, [path.name for path in file.parent.glob("*")])
        several = "; for a sweep over several, quote each, as in \"data.path='a.csv','b.csv'\"" * ("," in str(file))
        raise ValueError(f"There is no file {file}{several or near or f'; paths start from {Path.cwd()}.'}")
    if not file.name.lower().endswith(DELIMITED + PARQUET):
        raise ValueError(f"{file} does not end as a table does: {', '.join(DELIMITED + PARQUET)}.")
    if file.stat().st_size == 0:
        raise ValueError(f"{file} is empty.")


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


def _parquet(file: Path, form: Form) -> dict[str, Cells]:
    """Reads a Parquet file, whose columns have types; its texts are numbers only if the user says so."""
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
        table = table.drop(columns=[name for name in map(str, table) if INDEX.fullmatch(name)])
        table.columns = list(map(clean, map(str, table)))
        types: dict[str, Type] = {name: "text" for name in map(str, table) if kind(table[name]) == "text"}
        form = dataclasses.replace(form, types=types | {**form.types})
        return decide(table, lambda names: table[names].astype("str"), form)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{file} is damaged, or no Parquet file: {str(error).partition(chr(10))[0]}") from error
