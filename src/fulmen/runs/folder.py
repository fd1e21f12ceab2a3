"""Readers of a run's folder: the folder is the record, and everything that looks at a past run reads it here.

Nothing here imports torch, so that a command that only looks answers at once.
"""

import csv
import functools
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from filelock import FileLock, Timeout

from fulmen.errors import ConfigurationError, advice
from fulmen.rules import Rule, check, did_you_mean, many, mapping, one_of, text, whole
from fulmen.runs.files import TEMPORARY

NEEDED = {
    "choices",
    "seed",
    "score",
    "weights",
    "data",
    "model",
    "optimizer",
    "scheduler",
    "loss",
    "penalty",
    "init",
    "trainer",
}
"""Keys that every configuration has."""
KILLED: Final = "the process was killed"
"""Why a run is interrupted that could not say so."""
LAST, PREVIOUS, BEST = "last.ckpt", "previous.ckpt", "best.ckpt"
"""Files in `checkpoints/`."""
LOCK = ".lock"
"""In a run's folder; the process that runs holds an OS lock on it, which ends with the process, however that ends."""
REPORT: Final = "report.html"
"""In a run's or a sweep's folder; a sweep writes it last of all."""
SWEEP = "sweep.yaml"
"""In a sweep's folder, once all its jobs are planned."""
Dumper: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Those in C where PyYAML has them: 1 ms to write a configuration instead of 5, and 2 instead of 10 to read one."""
WORKED_IN = "running"
"""The state of a run whose process is there."""
UNFINISHED: Final = (WORKED_IN, "interrupted")
"""States of a run that may go on; `running` is what a killed process could not correct."""
STATES: Final = (WORKED_IN, "completed", "pruned", "interrupted", "failed", "diverged")
"""Values of `state` in `status.json`."""
STATUS: Final[Mapping[str, Rule]] = {
    "state": one_of(*STATES),
    "seconds": lambda value: None if _is_finite(value) else "a finite number",
    "error": text(or_null=True),
    "traceback": text(or_null=True),
    "steps": whole(0),
    "threads": whole(1, 65536, or_else=[None]),
    "overrides": many(text()),
    "directory": text(),
    "environment": mapping,
    "code": mapping,
    "resumed": many(mapping),
}
"""Types of what others rely on in `status.json`."""
CONFIG: Final[Mapping[str, Rule]] = {
    "seed": lambda value: None if str(value).startswith("${") else whole(0)(value),
    "score": text(),
    "choices": mapping,
}
"""The same of `config.yaml`."""


@dataclass(frozen=True)
class Record:
    """A run, as its folder has it."""

    folder: Path
    config: dict[str, Any]
    """The content of `config.yaml`."""
    status: dict[str, Any]
    """The content of `status.json`, but for a run that was killed: its state is `interrupted`."""
    metrics: dict[str, Any]
    """The content of `metrics.json`; empty for a run that did not complete."""
    history: dict[str, list[float]]
    """The columns of `history.csv`, each [rows]; not a number where a figure is undefined."""


def read(folder: Path) -> Record:
    """Reads a run's folder.

    Raises:
        ConfigurationError: there is no run in it, or one of its files is damaged.
    """
    return Record(folder, read_config(folder), read_status(folder), read_metrics(folder), read_history(folder))


def read_config(folder: Path) -> dict[str, Any]:
    """Returns the content of `config.yaml`.

    Raises:
        ConfigurationError: there is no run in the folder, or the file is damaged.
    """
    if not (folder / "config.yaml").exists():
        raise ConfigurationError(absent(folder))
    config = _read(folder / "config.yaml", functools.partial(yaml.load, Loader=Loader))
    if not config.keys() >= NEEDED:
        raise ConfigurationError(_damaged(folder / "config.yaml", "it is not the configuration of a run"))
    _check_types(folder / "config.yaml", config, CONFIG)
    return config


def read_metrics(folder: Path) -> dict[str, Any]:
    """Reads `metrics.json`; nothing where it is not there.

    Raises:
        ConfigurationError: the file is damaged, or a figure is no finite number.
    """
    path = folder / "metrics.json"
    metrics = _read(path, json.loads) if path.exists() else {}
    for name, value in metrics.items():
        if "/" in name and not isinstance(value, list) and not _is_finite(value):  # a confusion matrix is a list
            raise ConfigurationError(_damaged(path, f"{name} is {value!r:.40}, but must be a finite number"))
    return metrics


def read_history(folder: Path) -> dict[str, list[float]]:
    """Reads the columns of `history.csv`; nothing where it is not there.

    Raises:
        ConfigurationError: the file is damaged.
    """
    return _read(folder / "history.csv", _columns) if (folder / "history.csv").exists() else {}


def yaml_text(content: Mapping[str, Any]) -> str:
    """Returns the text of a file such as `config.yaml`."""
    return str(yaml.dump(dict(content), Dumper=Dumper, sort_keys=False, allow_unicode=True))


def load_status(folder: Path) -> dict[str, Any]:
    """Reads `status.json` as it was last written; nothing where it is not there, or damaged."""
    try:
        return _noted(folder)
    except ConfigurationError:
        return {}


def read_status(folder: Path) -> dict[str, Any]:
    """Reads `status.json`, with the state that is true now: a run that was killed could not write its end.

    Raises:
        ConfigurationError: the file is damaged, or absent.
    """
    status = _noted(folder)
    if status["state"] == WORKED_IN and not is_locked(folder):
        status = _noted(folder)  # it may have ended in between
        if status["state"] == WORKED_IN:
            return {**status, "state": "interrupted", "error": KILLED}
    return status


def _noted(folder: Path) -> dict[str, Any]:
    """Reads `status.json` and checks the types of what others rely on."""
    path = folder / "status.json"
    status = _read(path, json.loads)
    if "state" not in status:
        raise ConfigurationError(_damaged(path, f"it has no state, which must be one of {', '.join(STATES)}"))
    _check_types(path, status, STATUS)
    return status


def _check_types(path: Path, content: Mapping[str, Any], rules: Mapping[str, Rule]) -> None:
    for name in rules.keys() & content.keys():
        try:
            check(name, content[name], rules[name])
        except ConfigurationError as error:
            raise ConfigurationError(_damaged(path, str(error))) from error


def _is_finite(value: object) -> bool:
    if isinstance(value, int):  # one of 400 digits is no float
        return not isinstance(value, bool) and abs(value) < 10**300
    return isinstance(value, float) and math.isfinite(value)


def is_locked(folder: Path) -> bool:
    """Returns whether a process works in a run's folder now; a lock that cannot be looked at is not held."""
    path = folder / LOCK
    if not path.exists():
        return False
    try:
        if os.name != "posix":
            with FileLock(path, timeout=0):
                return False
        import fcntl  # filelock's own lock, asked for reading alone: the folder may be another user's

        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except (Timeout, BlockingIOError):
        return True
    except OSError:  # whoever waited for a lock that cannot even be read would wait for ever
        return False


@contextmanager
def lock(folder: Path, refusal: Exception, name: str = LOCK) -> Iterator[None]:
    """Holds a folder while it lasts, against every other process on machines that share the disk.

    A thread that holds a folder may do so once more.

    Raises:
        Exception: `refusal`, where another process holds it.
    """
    lock = FileLock(folder / name, is_singleton=True)
    try:
        lock.acquire(timeout=0.2)  # as long as somebody may take to look whether it is held
    except Timeout:
        raise refusal from None
    try:
        yield
    finally:
        if lock.lock_counter == 1:
            with suppress(OSError):  # Windows keeps it while it is held
                (folder / name).unlink()
        lock.release()


def is_run(folder: Path) -> bool:
    """Returns whether a folder is a run's."""
    return all((folder / name).is_file() for name in ("config.yaml", "status.json"))


def is_untouched(folder: Path) -> bool:
    """Returns whether a folder is absent, or holds only what planning a job writes."""
    return not folder.exists() or set(_content(folder)) <= {"config.yaml"}


def is_free(folder: Path) -> bool:
    """Returns whether a run may begin in a folder: it is empty, or a sweep's job that has not begun."""
    content = _content(folder)
    return not content or (content == ["config.yaml"] and (folder.parent / SWEEP).is_file())


def _content(folder: Path) -> list[str]:
    """Returns the names in a folder, except for locks and unfinished files."""
    names = [child.name for child in folder.iterdir()]
    return [name for name in names if name != LOCK and not name.startswith(TEMPORARY)]


def was_run(folder: Path) -> bool:
    """Returns whether a folder is a run's, even one that has lost its configuration or its status."""
    described = [(folder / name).is_file() for name in ("config.yaml", "status.json")]
    left = any((folder / name).exists() for name in ("history.csv", "metrics.json", "checkpoints"))
    return all(described) or (any(described) and left)


def runs_in(folder: Path) -> list[Path]:
    """Returns the run that a folder is, or else the runs in it, such as a sweep's, in the order of their numbers.

    Raises:
        ConfigurationError: there is none.
    """
    if was_run(folder):
        return [folder]
    inside = [child for child in folder.iterdir() if was_run(child)] if folder.is_dir() else []
    if not inside:
        raise ConfigurationError(absent(folder))
    return sorted(inside, key=lambda run: (len(run.name), run.name))


def absent(folder: Path) -> str:
    """Returns the sentence about a path that is not the folder of a run."""
    if (folder / SWEEP).is_file():
        return (
            f"{folder} is a sweep, not a run; its runs are {folder / '0'} and so on; "
            f"{advice('to resume it, add -m; from Python, fulmen.load_sweep loads it', 'fulmen.load_sweep loads it')}"
        )
    if folder.is_file():
        return f"{folder} is a file; name the folder of a run"
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    for what, is_one in (("runs", was_run), ("sweeps", lambda child: (child / SWEEP).is_file())):
        if found := [child for child in inside if is_one(child)]:
            return f"{folder} holds {what}, but is not one itself; name one of them, such as {found[-1]}"
    parent = folder.absolute().parent
    near = [child.name for child in parent.iterdir() if child.is_dir()] if parent.is_dir() else []
    what = f"no run in {folder}" if folder.is_dir() else f"no folder {folder}"
    others = did_you_mean(folder.name, [name for name in near if name != folder.name])
    return f"there is {what}{others or '; runs are in logs/runs, unless run_dir= said otherwise'}"


def _read(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        content = parse(path.read_text("utf-8"))
    except Exception as error:  # a damaged file makes the parsers raise nearly anything
        raise ConfigurationError(_damaged(path, " ".join(str(error).split()))) from error
    if not isinstance(content, dict):
        raise ConfigurationError(_damaged(path, f"it holds {content!r:.40}, and no names with values"))
    return content


def _damaged(path: Path, why: str) -> str:
    return f"{path} cannot be read: {why}; restore the file, or move {path.parent} away and train again"


def _columns(text: str) -> dict[str, list[float]]:
    """Returns the columns of a history; a last line that is still being written does not count."""
    header, *rows = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1]))) or [[]]
    if header and not {"step", "train/loss"} <= set(header):
        raise ValueError(f"line 1 is {','.join(header)!r:.60}, and names no step or no train/loss")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} values for {len(header)} columns")
    return {name: [float(row[column] or "nan") for row in rows] for column, name in enumerate(header)}
