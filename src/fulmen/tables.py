"""Tables of several runs: a column for each, headed by its number in the first table."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from fulmen.folders import Record
from fulmen.settings import Settings, short
from fulmen.vocabulary import mode

COMPLETED: Final = "completed"


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


def values(runs: Sequence[Settings], keys: Iterable[str], title: str) -> Table:
    """A row for each of the keys; empty where a run lacks it."""
    table = Table("", *map(str, range(1, len(runs) + 1)), title=title)
    for key in keys:
        table.add_row(key, *(escape(short(run[key])) if key in run else "" for run in runs))
    return table


def finals(metrics: Sequence[Mapping[str, Any]], unmarked: Iterable[str] = ()) -> Table:
    """A row for each final figure; a star at the best of them, unless all are the same.

    Args:
        metrics: the content of each run's `metrics.json`.
        unmarked: figures of which none is best, because they do not measure the same thing.
    """
    table = Table("", *map(str, range(1, len(metrics) + 1)), title="final figures, * the best")
    for key in dict.fromkeys(key for run in metrics for key, value in run.items() if _is_number(value)):
        row = [run[key] if _is_number(run.get(key)) else None for run in metrics]
        best = _best(key, row) if "/" in key and key not in unmarked else None
        table.add_row(key, *("" if value is None else _marked(value, value == best) for value in row))
    return table


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
