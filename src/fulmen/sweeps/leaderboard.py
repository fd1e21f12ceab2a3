"""Runs in order of their score, and configurations by the mean over their seeds.

Two seeds of one configuration are two samples of one thing: what is ranked is their mean, and `verdict.py` says which
leads are none. This file imports neither SciPy nor torch.
"""

import csv
import io
import json
import math
import os
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

from rich.markup import escape
from rich.table import Table

from fulmen.rules import split_override
from fulmen.runs.files import write_json, write_text
from fulmen.runs.folder import REPORT
from fulmen.runs.settings import LABELS, LONGEST, SEEDS, short
from fulmen.sweeps.record import Sweep
from fulmen.sweeps.results import Result
from fulmen.tasks.names import mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fulmen.sweeps.verdict import Comparison, Verdict

FILE_WIDTH: Final = 1000
"""Letters of a line where no terminal is: nothing needs to be folded in a file."""
RUN: Final = ("run", "best run")
"""The column with the run of a configuration, or the best one of several seeds."""
LOST: Final = ("diverged", "failed")
"""States of runs that came to no score."""
METHOD: Final = """\
The score is the mean over the seeds, the interval Student's for that mean, the spread the seeds' standard deviation.
Configurations are compared in pairs: by the paired t-test where they share seeds, else by Welch's (1947), and by the
exact permutation test (Fisher, 1935) where all seeds show the same difference. The p-values are corrected for the
number of pairs (Holm, 1979). The effect is the difference in standard deviations, and the seeds needed are those with
which the same test finds it in 80% of sweeps (Cohen, 1988). SciPy computes all distributions. Assumed is that seeds are
independent and their mean is about normal. Configurations of the same rank cannot be told apart.
"""


@dataclass(frozen=True)
class Row:
    """A run."""

    job: str
    """Its number in a sweep, or else the name of its folder."""
    state: str
    settings: Mapping[str, str]
    """The keys that vary, as typed."""
    metrics: Mapping[str, Any]
    folder: Path
    error: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Its name, tags and note, where a sweep does not give all its runs the same."""


@dataclass(frozen=True)
class Group:
    """Runs of one configuration, which differ in their seeds."""

    settings: Mapping[str, str]
    rows: list[Row]
    """In the order of their scores."""
    by_seed: dict[str | None, list[float]]
    """The scores of each seed's runs, by the seed's value."""

    @property
    def scores(self) -> list[float]:
        """One for each seed, which is one sample however often it was repeated: the mean of its runs."""
        return [statistics.fmean(found) for found in self.by_seed.values()]

    @property
    def mean(self) -> float:
        return statistics.fmean(self.scores)

    @property
    def spread(self) -> float | None:
        """The standard deviation over the seeds; None of one run."""
        return statistics.stdev(self.scores) if len(self.scores) > 1 else None


@dataclass(frozen=True)
class Board:
    """Runs, ranked."""

    score: str
    keys: list[str]
    """Those that vary."""
    rows: list[Row]
    """In the order of their scores; then those that have none."""
    seed: str = field(init=False)
    """The key whose values are samples: of several seeds that vary, the one with the most values.

    Over the others a sample is the mean: runs that share a draw of the data or first weights are not independent.
    """
    groups: list[Group] = field(init=False)
    """In the order of their means."""

    def __post_init__(self) -> None:
        sign = 1 if mode(self.score) == "min" else -1
        self.rows.sort(key=lambda row: sign * row.metrics[self.score] if self.scored(row) else float("inf"))
        keys = [key for key in self.keys if key not in SEEDS]
        found: dict[tuple[str | None, ...], list[Row]] = {}
        for row in filter(self.scored, self.rows):
            found.setdefault(tuple(map(row.settings.get, keys)), []).append(row)
        most = {key: max((len(_values(rows, key)) for rows in found.values()), default=0) for key in SEEDS}
        seed = max(SEEDS, key=lambda key: most[key])
        groups = []
        for rows in found.values():
            by_seed: dict[str | None, list[float]] = {}
            for row in rows:
                by_seed.setdefault(row.settings.get(seed), []).append(row.metrics[self.score])
            settings = {key: rows[0].settings[key] for key in keys if key in rows[0].settings}
            groups.append(Group(settings, rows, by_seed))
        object.__setattr__(self, "seed", seed)
        object.__setattr__(self, "groups", sorted(groups, key=lambda group: sign * group.mean))

    def scored(self, row: Row) -> bool:
        """Returns whether the row has a score."""
        value = row.metrics.get(self.score)  # a confusion matrix ranks nothing
        return isinstance(value, (int, float)) and not isinstance(value, bool)

    @property
    def failures(self) -> list[Row]:
        return [row for row in self.rows if row.error]


@dataclass(frozen=True)
class Importance:
    """The share of the variance of a search's score that each key accounts for, by fANOVA of its completed runs."""

    score: str
    runs: int
    """Those that completed."""
    left_out: dict[str, int]
    """Those that did not, by how they ended: they have no final score."""
    shares: dict[str, float]
    """By key, the most important first; they sum to 1."""

    def __str__(self) -> str:
        (first, most), *others = self.shares.items()
        shares = "".join(f", {key} for {share:.0%}" for key, share in others)
        lost = " and ".join(f"{count} {state}" for state, count in self.left_out.items())
        of = f"fANOVA of {self.runs} completed runs"
        of += f"; {lost} are left out, so a key that ended them matters more than this" if lost else ""
        return f"{first} accounts for {most:.0%} of the variance of {self.score}{shares} ({of})"


def read_importance(folder: Path) -> Importance | None:
    """Reads from a sweep's `leaderboard.json` which keys mattered; None where it does not say."""
    with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):  # a grid has none; a file may be damaged
        found = Importance(**json.loads((folder / "leaderboard.json").read_text("utf-8"))["importance"])
        return found if str(found) else None
    return None


def _values(rows: Sequence[Row], key: str) -> set[str | None]:
    return {row.settings.get(key) for row in rows}


def of_sweep(sweep: Sweep, results: Iterable[Result], score: str | None = None) -> Board:
    """Returns the leaderboard of a sweep, by its own score or another."""
    rows = []
    for result in results:
        settings = dict(map(split_override, sweep.own_overrides(result.number)))
        rows.append(Row(str(result.number), result.state, settings, result.metrics, result.folder, result.error))
    return Board(score or sweep.score, list(sweep.varying), rows)


def write(
    board: Board, found: "Verdict", said: Sequence[str], folder: Path, importance: Importance | None = None
) -> None:
    """Writes `leaderboard.csv`, `.md` and `.json`.

    Args:
        board: the runs.
        found: how they compare.
        said: that in sentences.
        folder: where to.
        importance: which keys of a search mattered.
    """
    write_text(folder / "leaderboard.csv", _csv(board))
    write_text(folder / "leaderboard.md", _markdown(board, found, said))
    write_json(folder / "leaderboard.json", plain(board, found, said, importance))


def plain(board: Board, found: "Verdict", said: Sequence[str], importance: Importance | None = None) -> dict[str, Any]:
    """Returns the content of `leaderboard.json`."""
    runs = [
        {
            "run": row.job,
            "state": row.state,
            "settings": dict(row.settings),
            "metrics": dict(row.metrics),
            "folder": row.folder.as_posix(),
            "error": row.error or None,
        }
        for row in board.rows
    ]
    of_keys = {} if importance is None else {"importance": vars(importance)}
    return {"verdict": list(said), "method": " ".join(METHOD.split()), **found.plain(), **of_keys, "runs": runs}


def picture(board: Board, found: "Verdict | None" = None) -> "Figure":
    """Draws the configurations, in the order typed, of which some have a score.

    Args:
        board: the runs.
        found: how they compare; without it only the best mean is shown as best.
    """
    from fulmen.figures.plots import Configuration, ranking  # and with it matplotlib
    from fulmen.figures.plots.letters import letters

    keys = [key for key in board.keys if key not in SEEDS]
    groups = {tuple(map(group.settings.get, keys)): place for place, group in enumerate(board.groups)}
    means = [group.mean for group in board.groups]
    best = {place for place, mean in enumerate(means) if mean == means[0]}
    best = best if found is None or found.is_comparable else set()
    best |= set(found.equals) if found is not None and found.comparisons else set()
    if len(best) == len(means):
        best = set()  # where all are equal, none stands out
    states: dict[tuple[str | None, ...], Counter[str]] = {}
    for row in sorted(board.rows, key=lambda row: (len(row.job), row.job)):  # as numbers
        of_one = states.setdefault(tuple(map(row.settings.get, keys)), Counter())
        of_one[row.state] += row.state in LOST
    configurations = []
    for settings, counts in states.items():
        values, place = [value or "" for value in settings], groups.get(settings)
        lost = [state for state in LOST if counts[state]]
        if place is None:
            configurations.append(Configuration(values, math.nan, lost=" or ".join(lost)))
        else:
            group, some = board.groups[place], ", ".join(f"{counts[state]} {state}" for state in lost)
            said = Configuration(values, group.mean, group.spread or 0.0, group.scores, some, place in best)
            configurations.append(said)
    with letters([*keys, *(value for each in configurations for value in each.settings)]):
        return ranking(keys, configurations, board.score)


def is_current(board: Board, folder: Path) -> bool:
    """Returns whether a sweep's leaderboard and report were written and drawn after all its jobs had ended."""
    lasts = [folder / ("leaderboard.png" if board.groups else "leaderboard.md"), folder / REPORT]
    statuses = [row.folder / "status.json" for row in board.rows]
    return all(last.exists() for last in lasts) and all(
        path.stat().st_mtime_ns <= last.stat().st_mtime_ns for path in statuses if path.exists() for last in lasts
    )


def table(board: Board, found: "Verdict", most: int) -> Table:
    """Returns the best configurations, with mean, its interval, spread and number of seeds."""
    home, header, rows = _ranks(board, found)
    title = f"{board.score}, {'smallest' if mode(board.score) == 'min' else 'largest'} first"
    shown = Table(title=title, min_width=len(title) + 2)
    for name in header:
        shown.add_column(escape(name), no_wrap=name in RUN)  # a folder's name is to be copied
    for row in rows[:most]:
        shown.add_row(*map(escape, row))
    ranks = [estimate.rank for estimate in found.estimates]
    is_tied = bool(found.comparisons) and len({*ranks}) < len(ranks)
    captions = ["those of the same rank cannot be told apart"] * is_tied
    captions += [f"{len(rows) - most} more in leaderboard.md"] * (len(rows) > most)
    lines = [*(["; ".join(captions)] if captions else []), *([f"runs are in {home}"] if home else [])]
    shown.caption = escape("\n".join(lines)) or None
    return shown


def _ranks(board: Board, found: "Verdict") -> tuple[str, list[str], list[list[str]]]:
    """Returns the folder that all runs are in, and the header and the rows of the configurations.

    Those that cannot be told apart have the same rank, and there are no ranks where each ran with one seed. Of several
    seeds the run with the best score is named.
    """
    keys = [key for key in board.keys if key not in SEEDS]
    several = any(estimate.std is not None for estimate in found.estimates)
    ranked = bool(found.comparisons)
    header = [
        *(["rank"] if ranked else []),
        *keys,
        board.score,
        *(["95% interval", "spread", "seeds"] if several else []),
        RUN[several],
    ]
    best = [group.rows[0] for group in board.groups]
    labels = [name for name in LABELS if any(name in row.labels for row in best)]
    home = _home([row.folder for row in best])
    rows = []
    for estimate, row in zip(found.estimates, best, strict=True):
        beside = []
        if several:
            interval = "" if estimate.low is None else f"{estimate.low:.4g} to {estimate.high:.4g}"
            beside = [interval, "" if estimate.std is None else f"{estimate.std:.2g}", str(estimate.seeds)]
        rank = [str(estimate.rank)] if ranked else []
        cells = [*rank, *(short(estimate.settings.get(key, "")) for key in keys), f"{estimate.mean:.4g}", *beside]
        cells.append(row.folder.relative_to(home).as_posix() if home else row.folder.as_posix())
        rows.append([*cells, *(shorten(row.labels.get(name, ""), LONGEST, placeholder="…") for name in labels)])
    return home, header + labels, rows


def _home(folders: Sequence[Path]) -> str:
    """Returns the folder that others are in; nothing where they share none."""
    try:
        return os.path.commonpath([folder.parent for folder in folders]) if folders else ""
    except ValueError:  # relative and absolute ones, or two drives
        return ""


def _csv(board: Board) -> str:
    metrics = list(dict.fromkeys(name for row in board.rows for name in row.metrics))
    file = io.StringIO()
    out = csv.writer(file, lineterminator="\n")
    out.writerow(["job", "state", "score", *board.keys, *metrics, "folder"])
    for row in board.rows:
        settings = [row.settings.get(key, "") for key in board.keys]
        figures = [row.metrics.get(name, "") for name in metrics]
        out.writerow([row.job, row.state, row.metrics.get(board.score, ""), *settings, *figures, row.folder.as_posix()])
    return file.getvalue()


def _markdown(board: Board, found: "Verdict", said: Sequence[str]) -> str:
    better = "smaller" if mode(board.score) == "min" else "larger"
    parts = [f"# Leaderboard\n\nBy `{board.score}`; {better} is better.\n"]
    parts.append("".join(f"- {sentence}\n" for sentence in said))
    if board.groups:
        home, header, configurations = _ranks(board, found)
        parts.append(_table(header, configurations) + (f"\nRuns are in `{Path(home).as_posix()}`.\n" if home else ""))
    if pairs := [each for each in found.comparisons if each.better == 0]:
        parts.append("## Differences from the best mean\n\n" + _table(*_differences(board, found, pairs)))
    if any(len(group.scores) > 1 for group in board.groups):
        parts.append(METHOD)
    header = ["run", "state", board.score, *board.keys]
    runs = [
        [row.job, row.state, _figure(row.metrics.get(board.score)), *(row.settings.get(key, "") for key in board.keys)]
        for row in board.rows
    ]
    parts.append("## Runs\n\n" + _table(header, runs))
    if board.failures:
        causes = [[row.job, row.state, row.error, f"`{row.folder.as_posix()}`"] for row in board.failures]
        parts.append("## Failures\n\n" + _table(["run", "state", "why", "folder"], causes))
    return "\n".join(parts)


def _differences(board: Board, found: "Verdict", pairs: Sequence["Comparison"]) -> tuple[list[str], list[list[str]]]:
    """Returns the header and the rows of the comparisons with the configuration whose mean is best."""
    keys = [key for key in board.keys if key not in SEEDS]
    rows = []
    for each in pairs:
        settings = found.estimates[each.worse].settings
        interval, seeds = f"{each.low:.2g} to {each.high:.2g}", "" if each.needed is None else str(each.needed)
        figures = [f"{each.difference:.2g}", interval, f"{each.effect:.2g}", f"{each.p:.2g}", each.test, seeds]
        rows.append([*(short(settings.get(key, "")) for key in keys), *figures])
    return [*keys, "difference", "95% interval", "effect", "p", "test", "seeds needed"], rows


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def _figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else ""
