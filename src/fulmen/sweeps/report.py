"""The report of a sweep: verdict, leaderboard, curves, parallel coordinates, and the commands that repeat it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from fulmen.config.project import to_type
from fulmen.errors import ConfigurationError, command
from fulmen.experiment.report import environment
from fulmen.figures.plots.style import spans_decades
from fulmen.figures.report.page import (
    Axis,
    Cell,
    Chart,
    Line,
    Section,
    commands,
    curves,
    facts,
    folded,
    page,
    parallel,
    pictures,
    seen_from,
    sentences,
    table,
)
from fulmen.runs.files import write_text
from fulmen.runs.folder import load_status, read_config, yaml_text
from fulmen.runs.settings import SEEDS, short
from fulmen.sweeps.curves import MOST
from fulmen.sweeps.leaderboard import Board, Row
from fulmen.sweeps.record import Sweep
from fulmen.sweeps.results import DONE, PLANNED, runs

if TYPE_CHECKING:
    from fulmen.figures.plots.bands import Band
    from fulmen.sweeps.verdict import Verdict

CONFIGURATIONS: Final = "configurations"
"""The id of their table."""
FAILURES: Final = 50
"""Runs that failed of which cause and command are shown."""


def write(
    plan: Sweep,
    board: Board,
    found: "Verdict",
    said: Sequence[str],
    bands: Mapping[str, Sequence["Band"]],
    folder: Path,
    output: Path,
) -> None:
    """Writes the report of a sweep as one HTML page.

    Args:
        plan: what was asked for.
        board: its runs.
        found: how they compare.
        said: that in sentences.
        bands: the curves of each configuration, by metric.
        folder: the sweep's.
        output: the page.

    Raises:
        OSError: the page cannot be written.
    """
    best = next((row for row in board.rows if board.scored(row)), None)
    figures = {path.stem: path for path in sorted(folder.glob("*.png")) if path.name != "curves.png" or not bands}
    if best is not None:
        of_best = sorted((best.folder / "figures").glob("*.png"))
        figures |= {f"{path.stem} of the best run, {best.job}": path for path in of_best}
    there = [load_status(row.folder) for row in board.rows if row.state != PLANNED]
    sections = [
        Section("Verdict", sentences(said)),
        Section("Configurations", _configurations(board, found)),
        Section("Curves", _curves(bands, len(board.groups))),
        Section("Parallel coordinates", _parallel(board, found)),
        Section("Runs", _runs(board)),
        Section("Failures", _failures(plan, board)),
        Section("Figures", pictures(figures)),
        Section("Configuration", _configuration(plan, best)),
        Section("Environment", facts(environment(there))),
        Section("Commands", _commands(plan, board, best, folder)),
    ]
    title = f"Sweep {folder.absolute().name}"
    write_text(output, page(title, f"{_state(board)}; report of {datetime.now():%Y-%m-%d %H:%M}", sections))


def _state(board: Board) -> str:
    """Returns how many runs are in which state."""
    counts = Counter(row.state for row in board.rows)
    return f"{runs(len(board.rows))}: " + ", ".join(f"{count} {state}" for state, count in counts.most_common())


def _configurations(board: Board, found: "Verdict") -> str:
    if not found.estimates:
        return sentences([f"no run has {board.score} yet"])
    keys = [key for key in board.keys if key not in SEEDS]
    ranked = bool(found.comparisons)  # one seed each tells none
    header = [*(["rank"] if ranked else []), *keys, board.score, "95% from", "to", "spread", "seeds"]
    rows: list[list[Cell]] = []
    for each in found.estimates:
        settings = [each.settings.get(key, "") for key in keys]
        rank = [each.rank] if ranked else []
        rows.append([*rank, *settings, each.mean, each.low, each.high, each.std, each.seeds])
    several = any(each.std is not None for each in found.estimates)
    if not several:
        header, rows = header[:-4], [row[:-4] for row in rows]
    return table(f"Mean {board.score} of each configuration, the best first", header, rows, CONFIGURATIONS)


def _curves(bands: Mapping[str, Sequence["Band"]], count: int) -> str:
    """Returns the curves of the best of `count` configurations."""
    charts = []
    for metric, found in bands.items():
        lines = [
            Line(each.name, each.steps.tolist(), each.mean.tolist())
            if each.seeds < 2
            else Line(each.name, each.steps.tolist(), each.mean.tolist(), each.low.tolist(), each.high.tolist())
            for each in found
        ]
        charts.append(Chart(metric, lines, spans_decades(np.concatenate([each.mean for each in found]))))
    seeds = max((each.seeds for found in bands.values() for each in found), default=1)
    hints = [f"mean over {seeds} seeds; a band holds 80% of them (10th to 90th percentile)"] if seeds > 1 else []
    hints += [f"the {MOST} best of {count} configurations"] if count > MOST else []
    return sentences(hints) + curves(charts) if charts else ""


def _parallel(board: Board, found: "Verdict") -> str:
    """Returns parallel coordinates of the keys, where there are several."""
    keys = [key for key in board.keys if key not in SEEDS]
    if len(keys) < 2 or len(found.estimates) < 2:
        return ""
    axes = [Axis(short(key), _values([each.settings.get(key, "") for each in found.estimates])) for key in keys]
    score = Axis(board.score, [each.mean for each in found.estimates])
    hint = "drag along an axis to mark a range: only its configurations are shown, in the table too; a click ends it"
    return f'<div class="hint">{sentences([hint])}</div>' + parallel([*axes, score], CONFIGURATIONS)


def _values(words: Sequence[str]) -> list[str | float]:
    """Returns numbers if all words are."""
    with suppress(ValueError):
        if np.isfinite(numbers := [float(word) for word in words]).all():
            return [*numbers]
    return [*words]


def _runs(board: Board) -> str:
    metrics = dict.fromkeys(name for row in board.rows for name, value in row.metrics.items() if _is_number(value))
    names = [name for name in metrics if name != board.score]
    rows: list[list[Cell]] = []
    for row in board.rows:
        settings = [row.settings.get(key, "") for key in board.keys]
        figures = [row.metrics.get(name) for name in (board.score, *names)]
        rows.append([row.job, row.state, *settings, *(value if _is_number(value) else None for value in figures)])
    return table("All runs, the best first", ["run", "state", *board.keys, board.score, *names], rows)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _failures(plan: Sweep, board: Board) -> str:
    if not (lost := board.failures):
        return ""
    more = [f"{len(lost) - FAILURES} more failed"] if len(lost) > FAILURES else []
    causes = {f"run {row.job}, {row.state}": row.error for row in lost[:FAILURES]}
    again = {f"run {row.job} alone": _rerun(plan, row) for row in lost[:FAILURES] if row.state not in DONE}
    return facts(causes) + sentences(more) + commands(again)


def _configuration(plan: Sweep, best: Row | None) -> str:
    varying = facts({key: ", ".join(map(short, values)) for key, values in plan.varying.items()})
    with suppress(ConfigurationError):  # a damaged one is listed as that
        if best is not None:
            return varying + folded(f"config.yaml of the best run, {best.job}", yaml_text(read_config(best.folder)))
    return varying


def _commands(plan: Sweep, board: Board, best: Row | None, folder: Path) -> str:
    own = [] if plan.config_dir is None else ["--config-dir", plan.config_dir]
    place = seen_from(plan.directory, folder)
    sweep = plan.words if any(word.startswith("sweep=") for word in plan.words) else ["-m", *plan.words]
    lines = {"as it was started": command(*to_type([*own, *sweep], Path(plan.directory)))}
    lines |= {"to run the best one again, in a new folder": _rerun(plan, best)} if best is not None else {}
    if any(row.state not in (*DONE, "failed", "diverged", "damaged") for row in board.rows):
        lines["to finish it"] = command(*to_type(["-m", f"resume={place}", *plan.permissions], folder))
    if lost := [state for state in ("failed", "diverged") if any(row.state == state for row in board.rows)]:
        words = ["-m", f"resume={place}", f"retry={','.join(lost)}", *plan.permissions]
        lines[f"to try again what {' or '.join(lost)}"] = command(*to_type(words, folder))
    lines["to write this page again"] = command("report", place)
    return (facts({"typed in": plan.directory}) if plan.directory else "") + commands(lines)


def _rerun(plan: Sweep, row: Row) -> str:
    own = [] if plan.config_dir is None else ["--config-dir", plan.config_dir]
    words = [*own, f"rerun={seen_from(plan.directory, row.folder)}", *plan.permissions]
    return command(*to_type(words, row.folder))
