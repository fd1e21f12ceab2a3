"""The report of one run: how it ended, its metrics, curves and figures, and the commands that repeat it."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from fulmen.config.project import to_type
from fulmen.config.recorded import PERMISSIONS
from fulmen.data.source import SPLITS
from fulmen.errors import command
from fulmen.figures.plots.style import spans_decades
from fulmen.figures.report.page import (
    Chart,
    Line,
    Section,
    commands,
    curves,
    facts,
    folded,
    page,
    pictures,
    seen_from,
    sentences,
    table,
)
from fulmen.rules import split_override
from fulmen.runs.folder import UNFINISHED, Record, read, yaml_text

NO_METRICS: Final = ("step", "epoch", "seconds")
"""Columns of a history that are not drawn."""
SPLIT_NAMES: Final = {"train": "training", "val": "validation", "test": "test"}


def html(folder: Path) -> str:
    """Returns the report of a run as one HTML page.

    Raises:
        ConfigurationError: there is no run in the folder, or one of its files is damaged.
    """
    run = read(folder)
    choices = run.config["choices"]
    called = run.config.get("experiment") or " ".join(
        f"{group}={choices[group]}" for group in ("data", "model", "optimizer") if group in choices
    )
    return page(
        f"Run {folder.absolute().name}",
        f"{called}; {run.status['state']}; report of {datetime.now():%Y-%m-%d %H:%M}",
        [
            Section("How it ended", ending(run.status)),
            Section("Metrics", _metrics(run.metrics)),
            Section("Curves", curves(charts(run.history))),
            Section("Figures", pictures({path.stem: path for path in sorted((folder / "figures").glob("*.png"))})),
            Section("Configuration", folded("config.yaml", yaml_text(run.config))),
            Section("Environment", facts(environment([run.status]))),
            Section("Commands", _commands(run)),
        ],
    )


def ending(status: Mapping[str, Any]) -> str:
    """Returns how a run ended, or how far it has come, from the content of its `status.json`."""
    entries = {"state": status["state"]}
    if why := status.get("error") or status.get("pruned"):
        entries["why"] = str(why)
    entries |= {name: str(status[name])[:19].replace("T", " ") for name in ("started", "ended") if name in status}
    entries |= {"seconds": f"{status['seconds']:.1f}"} if "seconds" in status else {}
    entries |= {"steps": f"{status['steps']:,}"} if "steps" in status else {}
    if resumed := [f"at step {part.get('step')}" for part in status.get("resumed", [])]:
        entries["resumed"] = ", ".join(resumed)
    trace = folded("Traceback", str(status["traceback"])) if status.get("traceback") else ""
    running = sentences(["the run has not ended; this page shows how far it had come"])
    return (running if status["state"] == "running" else "") + facts(entries) + trace


def environment(statuses: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Returns versions, host, device and commit; all values where runs differ.

    Args:
        statuses: the content of each run's `status.json`.
    """
    found: dict[str, dict[str, None]] = {}
    for status in statuses:
        changed = " with changes that are not committed" if status.get("dirty") else ""
        commit = f"{status['commit']}{changed}" if status.get("commit") else None
        versions = status.get("versions")
        entries = {name: status.get(name) for name in ("host", "device", "threads")} | {"git commit": commit}
        for name, value in (entries | (versions if isinstance(versions, dict) else {})).items():
            if value is not None:
                found.setdefault(name, {})[str(value)] = None
    return {name: ", ".join(values) for name, values in found.items()}


def charts(history: Mapping[str, Sequence[float]]) -> list[Chart]:
    """Returns a chart of each metric of a history, with a curve for each split."""
    metrics: dict[str, list[Line]] = {}
    for column, values in history.items():
        split, _, metric = column.rpartition("/")
        is_constant = column == "lr" and len(set(values)) == 1
        if column not in NO_METRICS and values and not is_constant:
            name = SPLIT_NAMES.get(split, split) or "learning rate"
            metrics.setdefault(metric, []).append(Line(name, history["step"], values))
    ordered = sorted(metrics.items(), key=lambda item: (item[0] != "loss", item[0] == "lr"))
    return [
        Chart(metric, lines, spans_decades(np.concatenate([np.asarray(line.y) for line in lines])))
        for metric, lines in ordered
    ]


def _metrics(metrics: Mapping[str, Any]) -> str:
    """Returns a row for each metric and a column for each split, the baseline's behind ours."""
    numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
    if not numbers:
        return ""
    splits = list(dict.fromkeys(name.rpartition("/")[0] for name in numbers if "/" in name))
    splits.sort(key=lambda split: ("/" in split, (*SPLITS, split).index(split.rpartition("/")[2])))
    names = dict.fromkeys(name.rpartition("/")[2] for name in numbers if "/" in name)
    rows = [[name, *(numbers.get(f"{split}/{name}") for split in splits)] for name in names]
    whole = facts({name: f"{value:,}" for name, value in numbers.items() if "/" not in name})
    return table("Metrics of each split, measured after training", ["metric", *splits], rows) + whole


def _commands(run: Record) -> str:
    directory = str(run.status.get("directory", ""))
    folder = seen_from(directory, run.folder)
    return (facts({"typed in": directory}) if directory else "") + commands(dict(_lines(run, folder)))


def _lines(run: Record, folder: str) -> Iterator[tuple[str, str]]:
    overrides = run.status.get("overrides", [])
    before = [f"rerun={run.status['rerun']}"] if "rerun" in run.status else []
    allowed = [word for word in overrides if split_override(word)[0] in PERMISSIONS]  # they count only where typed
    if before or overrides:
        directory = Path(str(run.status.get("directory", "")))
        yield "as it was started", command(*to_type([*before, *overrides], directory))
    allowed = to_type(allowed, run.folder)
    yield "to run it again, in a new folder", command(f"rerun={folder}", *allowed)
    if run.status["state"] in UNFINISHED:
        yield "to resume it", command(f"resume={folder}", *allowed)
    if any((run.folder / "checkpoints").glob("*.ckpt")):
        yield "to evaluate its network", command("evaluate", folder, *allowed)
    yield "to write this page again", command("report", folder)
