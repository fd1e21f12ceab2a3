"""Tables of several runs: a column for each, headed by its number in the first table."""

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fulmen.folders import Record
from fulmen.settings import Settings, short
from fulmen.vocabulary import mode

Rows = Mapping[str, Sequence[str]]
"""By its first cell, a row's other cells: one for each run."""
COMPLETED: Final = "completed"
BORDER: Final = 3
"""Letters that a column takes beside its cells."""


def ends(records: Sequence[Record]) -> Table:
    """A row for each run: its number, its folder, how it ended and after how long, and why it did not complete."""
    unfinished = any(record.status.get("state") != COMPLETED for record in records)
    table = Table("run", "folder", "state", "seconds", *(["why"] if unfinished else []), title="runs")
    table.columns[3].justify = "right"
    for number, record in enumerate(records, start=1):
        state, seconds = str(record.status.get("state")), record.status.get("seconds")
        cells = [str(number), escape(str(record.folder)), state if state == COMPLETED else f"[bold red]{state}[/]"]
        cells += [f"{seconds:.2f}" if _is_number(seconds) else ""]
        table.add_row(*cells, *([escape(str(record.status.get("error") or ""))] if unfinished else []))
    return table


def values(runs: Sequence[Settings], keys: Iterable[str]) -> Rows:
    """A row for each of the keys; empty where a run lacks it."""
    return {key: [escape(short(run[key])) if key in run else "" for run in runs] for key in keys}


def finals(metrics: Sequence[Mapping[str, Any]], unmarked: Collection[str] = ()) -> Rows:
    """A row for each final figure; a star at the best of them, unless all are the same.

    Args:
        metrics: the content of each run's `metrics.json`.
        unmarked: figures of which none is best, because they do not measure the same thing.
    """
    rows = {}
    for key in dict.fromkeys(key for run in metrics for key, value in run.items() if _is_number(value)):
        row = [run[key] if _is_number(run.get(key)) else None for run in metrics]
        best = _best(key, row) if "/" in key and key not in unmarked else None
        rows[key] = ["" if value is None else _marked(value, value == best) for value in row]
    return rows


def side_by_side(title: str, rows: Rows, width: int) -> Iterator[Table]:
    """A table, or several below each other, each with as many runs as there is width for."""
    keys = max(map(len, rows), default=0) + BORDER + 1
    columns = [[str(number), *column] for number, column in enumerate(zip(*rows.values(), strict=True), start=1)]
    while columns:
        widths = [max(Text.from_markup(cell).cell_len for cell in column) + BORDER for column in columns]
        fitting = sum(keys + total <= width for total in itertools.accumulate(widths)) or 1
        here, columns = columns[:fitting], columns[fitting:]
        table = Table("", *(column[0] for column in here), title=title)
        for key, *cells in zip(rows, *(column[1:] for column in here), strict=True):
            table.add_row(key, *cells)
        yield table


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _best(key: str, row: Sequence[float | None]) -> float | None:
    there = {value for value in row if value is not None}
    if len(there) < 2:
        return None
    return max(there) if mode(key) == "max" else min(there)


def _marked(value: float, best: bool) -> str:
    text = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return f"[bold green]{text} *[/]" if best else text
