"""Tables in text files with separators: CSV and its relatives.

The header is read first, by itself: that is quick for any file, and most that is wrong shows there.
"""

import csv
import gzip
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _csv import Reader

    import pandas as pd

SEPARATORS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','"}
"""What commonly separates columns, and how `data.separator` names it."""
LONGEST = 2**24
"""Characters of a header line that are looked at."""


def header(file: Path, separator: str) -> list[str]:
    """The names of the columns, stripped; one may be empty.

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


def read(file: Path, separator: str, decimal: str) -> "pd.DataFrame":
    """The table under that header, [N, columns].

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
    """The file's text, gzipped or not; what is no such text raises ValueError."""
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
    except (EOFError, OSError, csv.Error) as error:
        raise ValueError(f"{file} cannot be read: {' '.join(str(error).split())}") from error


def _reader(lines: Iterable[str], separator: str) -> "Reader":
    return csv.reader(lines, delimiter=separator, skipinitialspace=True)
