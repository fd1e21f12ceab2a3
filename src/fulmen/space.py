"""What takes space in the folders of runs: every file of theirs, and of which kind it is.

Only files inside a run's folder count, and unfinished ones beside such folders, so that a folder named by mistake loses
nothing. Links are neither counted nor followed. A file is of one kind: the first one below that fits it.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from fulmen.files import TEMPORARY
from fulmen.folders import BEST, LAST, PREVIOUS, held, is_run, read_status
from fulmen.words import ConfigurationError

REMOVABLE: Final = {
    "failed": "what failed or diverged runs left",
    "temporary": "files that were never finished",
    "last": "last checkpoints of completed runs",
    "tensorboard": "what the dashboard shows",
}
KEPT: Final = {
    "running": "runs that go on, or cannot be read",
    "best": "best checkpoints",
    "resume": "last checkpoints, to resume from",
    "record": "configuration, status, figures",
}
LASTS: Final = (LAST, PREVIOUS)
DESCRIBING: Final = ("config.yaml", "status.json")
"""Without these a checkpoint cannot be used, nor its folder be known for that of a run."""


class Item(NamedTuple):
    """A file."""

    path: Path
    kind: str
    size: int
    """Bytes."""


def items(folder: Path) -> Iterator[Item]:
    """Every file of the runs at or below a folder; in each run those that say what it is come last."""
    runs = sorted(Path(place) for place, _, _ in os.walk(folder) if is_run(Path(place)))
    states = {run: _state(run) for run in runs}
    for run, state in states.items():
        has_best = (run / "checkpoints" / BEST).is_file()
        files = sorted(_files(run), key=lambda path: path.name in DESCRIBING)
        yield from (Item(path, _kind(path.relative_to(run), state, has_best), _size(path)) for path in files)
    busy = {run.parent for run, state in states.items() if state == "running"}
    for parent in dict.fromkeys(run.parent for run in runs if run != folder):
        yield from (Item(path, "temporary", _size(path)) for path in _unfinished(parent) if parent not in busy)


def _state(run: Path) -> str:
    """How a run ended; of one that goes on, or of which that cannot be known, `running`."""
    try:
        return "running" if held(run) else str(read_status(run).get("state"))
    except ConfigurationError:
        return "running"


def _kind(path: Path, state: str, has_best: bool) -> str:
    """The kind of a file, by its path inside the run's folder."""
    if state == "running":
        return "running"
    if path.name == BEST:
        return "best"
    if state in ("failed", "diverged"):
        return "record" if has_best and path.name in DESCRIBING else "failed"
    if path.name.startswith(TEMPORARY):
        return "temporary"
    if path.name in LASTS:
        return "last" if state == "completed" else "resume"
    return "tensorboard" if path.parts[0] == "tensorboard" else "record"


def _files(run: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(run):
        folders[:] = [name for name in folders if not is_run(Path(place, name))]  # another run's
        yield from (path for name in sorted(names) if not (path := Path(place, name)).is_symlink())


def _unfinished(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.glob(f"{TEMPORARY}*")) if path.is_file() and not path.is_symlink())


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # a run that goes on has renamed it
        return path.lstat().st_size
    return 0
