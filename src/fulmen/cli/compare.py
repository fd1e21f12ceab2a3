"""Shows runs side by side: how they ended, the settings that differ, the final metrics, and a picture of their losses.

usage: fulmen compare RUN RUN ... [output=FILE] [all=true]

A RUN is the folder of a run, or that of a sweep, which stands for all the runs in it. Runs that differ
in their seeds alone are one curve in the picture, their mean, with a band that holds 80% of them; none of
them is marked as the best.

options
  output=FILE   the picture: compare.png unless you say otherwise; .png, .pdf or .svg
  all=true      also the settings that are the same in all of the runs

as in
  fulmen compare logs/sweeps/2026-11-22_11-12-41_ad4e22 output=optimizers.pdf
"""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from fulmen.cli import arguments
from fulmen.errors import ConfigurationError, command
from fulmen.runs.files import save_figure
from fulmen.runs.folder import Record, read, runs_in
from fulmen.runs.settings import SEEDS, Settings, data, differing, keys, names, settings, short
from fulmen.tasks.names import mode

if TYPE_CHECKING:
    from fulmen.figures.plots import Curve
    from fulmen.figures.plots.bands import Band

TableRows = Mapping[str, Sequence[str]]
"""By its first cell, a row's other cells: one for each run."""
COMPLETED: Final = "completed"
BORDER: Final = 3
"""Letters that a column takes beside its cells."""


def ends(records: Sequence[Record]) -> Table:
    """Returns a row for each run: number, folder, how it ended, after how long, and why it did not complete."""
    unfinished = any(record.status.get("state") != COMPLETED for record in records)
    table = Table("run", "folder", "state", "seconds", *(["why"] if unfinished else []), title="runs")
    table.columns[3].justify = "right"
    for number, record in enumerate(records, start=1):
        state, seconds = str(record.status.get("state")), record.status.get("seconds")
        cells = [str(number), escape(str(record.folder)), state if state == COMPLETED else f"[bold red]{state}[/]"]
        cells += [f"{seconds:.2f}" if _is_number(seconds) else ""]
        table.add_row(*cells, *([escape(str(record.status.get("error") or ""))] if unfinished else []))
    return table


def values(runs: Sequence[Settings], keys: Iterable[str]) -> TableRows:
    """Returns a row for each of the keys; empty where a run lacks it."""
    return {key: [escape(short(run[key])) if key in run else "" for run in runs] for key in keys}


def finals(metrics: Sequence[Mapping[str, Any]], unmarked: Collection[str] = ()) -> TableRows:
    """Returns a row for each final metric; a star at the best of them, unless all are the same.

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


def side_by_side(title: str, rows: TableRows, width: int) -> Iterator[Table]:
    """Yields a table, or several below each other, each with as many runs as there is width for."""
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


OPTIONS = {"output": "the picture's file", "all": "true or false: whether equal settings are shown, too"}
ENDINGS = (".png", ".pdf", ".svg")
FILE_WIDTH = 1000
"""Letters of a line where no terminal is: nothing needs to be folded in a file."""


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        1 if a run is damaged, which is named while the others are compared; else 0.

    Raises:
        ConfigurationError: there are not two runs to compare, fewer than two can be read, or the picture cannot be
            written.
    """
    given = arguments.parse(argv, OPTIONS)
    everything = arguments.one_of("all", given.options.get("all", "false"), ("true", "false")) == "true"
    output = arguments.output(given, ENDINGS) or Path("compare.png")
    records, damaged = _readable(_folders(given.subjects))
    runs = [settings(record.config) for record in records]
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH)
    console.print(ends(records))
    _print_settings(console, runs, everything)
    _print_figures(console, records, runs)
    console.print(_draw(records, runs, output), highlight=False, soft_wrap=True, markup=False)
    for error in damaged:
        console.print(f"damaged: {error}", highlight=False, soft_wrap=True, markup=False)
    return int(bool(damaged))


def _folders(subjects: Sequence[str]) -> list[Path]:
    """Returns the runs that are meant, each of them once."""
    every = [folder for subject in subjects for folder in runs_in(Path(subject))]
    found = list({folder.resolve(): folder for folder in every}.values())
    if len(found) < 2:
        only = f"{found[0]} is only one" if found else "none is named"
        raise ConfigurationError(
            f"compare needs two runs or more, and {only}; write {command('compare', 'RUN', 'RUN')}"
        )
    return found


def _readable(folders: Sequence[Path]) -> tuple[list[Record], list[ConfigurationError]]:
    """Returns the runs that can be read, and the errors of those that cannot.

    Raises:
        ConfigurationError: fewer than two can be read.
    """
    records, damaged = [], []
    for folder in folders:
        try:
            records.append(read(folder))
        except ConfigurationError as error:
            damaged.append(error)
    if len(records) < 2:
        raise damaged[0]
    return records, damaged


def _print_settings(console: Console, runs: Sequence[Settings], everything: bool) -> None:
    different = differing(runs)
    same = [key for key in keys(runs) if key in runs[0] and key not in different]
    if different:
        console.print(*side_by_side("settings that differ", values(runs, different), console.width))
    if everything:
        console.print(*side_by_side("settings that are the same", values(runs, same), console.width))
    elif different:
        console.print(f"{len(same)} other settings are the same; all=true shows them", highlight=False)
    else:
        console.print(f"all {len(same)} settings are the same; all=true shows them", highlight=False)


def _print_figures(console: Console, records: Sequence[Record], runs: Sequence[Settings]) -> None:
    """Prints the final metrics; none is best where configurations repeat, and no loss where they are of other kinds."""
    metrics = [record.metrics for record in records if record.metrics]
    if not metrics:
        console.print("none of them has final metrics", highlight=False)
        return
    different = differing([run for run, record in zip(runs, records, strict=True) if record.metrics])
    of_kinds = any(key == "sizes.task" or key.partition(".")[0] == "loss" for key in different)
    repeats = len(_configurations(records, runs)) < len(records)
    rows = [data(record.config) for record in records if record.metrics]
    others = {key: dict.fromkeys(short(run.get(key)) for run in rows) for key in differing(rows)}
    unmarked = {key for run in metrics for key in run if repeats or others or (of_kinds and key.endswith("/loss"))}
    title = "final metrics" if repeats or others else "final metrics, * the best"
    console.print(*side_by_side(title, finals([record.metrics for record in records], unmarked), console.width))
    luck = "one run each, so the best may be luck"
    if others:
        key, there = next(iter(others.items()))
        luck = f"the data differ ({', '.join(f'{key}={value}' for value in there)}), so none of them is best"
    elif repeats:
        luck = f"some differ in their seeds alone; {command('leaderboard')} with these folders compares configurations"
    console.print(luck, highlight=False, soft_wrap=True)
    if of_kinds:
        console.print("the losses are of different kinds, so none of them is best", highlight=False)


def _draw(records: Sequence[Record], runs: Sequence[Settings], output: Path) -> str:
    """Saves the picture, and says so."""
    if not any(record.history.get("step") for record in records):
        return "no picture: none of them has come to a row in history.csv"
    from fulmen.figures.plots import curves  # and with it matplotlib
    from fulmen.figures.plots.bands import bands
    from fulmen.figures.plots.letters import letters

    of_configurations = _bands(records, runs)
    shown = list(_curves(records, names(runs)))
    called = [each.name for found in of_configurations.values() for each in found] or [each.name for each in shown]
    try:
        with letters(called):
            save_figure(bands(of_configurations) if of_configurations else curves(shown), output)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {output}: {error.strerror or error}; name another place with output="
        ) from error
    return f"picture: {output}"


def _configurations(records: Sequence[Record], runs: Sequence[Settings]) -> dict[str, list[Record]]:
    """Returns runs that differ in nothing but their seeds together, by what tells them from the others."""
    called = names([{key: value for key, value in run.items() if key not in SEEDS} for run in runs])
    groups: dict[str, list[Record]] = {}
    for name, record in zip(called, records, strict=True):
        groups.setdefault(name or "all runs", []).append(record)
    return groups


def _bands(records: Sequence[Record], runs: Sequence[Settings]) -> dict[str, list["Band"]]:
    """Returns the losses of each configuration over its seeds; nothing of two runs, or where none repeats."""
    from fulmen.figures.plots.bands import band

    groups = _configurations(records, runs)
    if len(groups) == len(records) or len(records) == 2:
        return {}
    found: dict[str, list[Band]] = {}
    for metric in ("val/loss", "train/loss"):
        for name, members in groups.items():
            if there := [record.history for record in members if record.history.get(metric)]:
                steps, values = ([np.array(history[key]) for history in there] for key in ("step", metric))
                found.setdefault(metric, []).append(band(name, steps, values))
        found.get(metric, []).sort(
            key=lambda one: one.mean[-1] if one.mean.size else math.inf
        )  # losses: the best first
    return found


def _curves(records: Sequence[Record], called: Sequence[str]) -> Iterator["Curve"]:
    from fulmen.figures.plots import Curve

    for number, (record, name) in enumerate(zip(records, called, strict=True), start=1):
        step, train, val = (np.array(record.history.get(key, [])) for key in ("step", "train/loss", "val/loss"))
        yield Curve(
            f"{number} {name or record.folder.name}", step, train, val if "val/loss" in record.history else None
        )
