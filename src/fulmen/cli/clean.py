"""Shows what takes space in the folders of runs, and deletes the kinds that you name.

usage: fulmen clean [FOLDER] [remove=KIND,KIND,...] [option=value ...]

FOLDER is logs unless you name another. A best checkpoint is never deleted, nor anything of a running run.

kinds
  last          last checkpoints of completed runs; those of interrupted runs stay, to resume them
  tensorboard   what the dashboard shows, of runs that did not fail
  failed        what failed and diverged runs left, but for a best checkpoint, its configuration and its status
  temporary     what a killed process had not finished writing

options
  name=NAME       only runs of that name; * stands for any letters
  tags=TAG,TAG    only runs with all these tags
  note=WORDS      only runs with these words in their note

as in
  fulmen clean                         shows, and deletes nothing
  fulmen clean remove=last,temporary   deletes these two kinds
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from fulmen.cli.arguments import LABELS, is_labelled, labels, one_of, parse
from fulmen.errors import ConfigurationError, command
from fulmen.runs.files import TEMPORARY
from fulmen.runs.folder import BEST, LAST, PREVIOUS, SWEEP, absent, is_locked, is_run, read_config, read_status

REMOVABLE: Final = {
    "failed": "what failed or diverged runs left",
    "temporary": "files that were never finished",
    "last": "last checkpoints of completed runs",
    "tensorboard": "what the dashboard shows",
}
KEPT: Final = {
    "running": "runs that are running, or cannot be read",
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


def items(folder: Path, wanted: Mapping[str, str]) -> Iterator[Item]:
    """Yields every file of the runs at or below a folder; in each run those that say what it is come last.

    Args:
        folder: of a run, or of many.
        wanted: labels that runs must have; a run that cannot be read has none.
    """
    runs = sorted(Path(place) for place, _, _ in os.walk(folder) if is_run(Path(place)))
    if wanted:
        runs = [run for run in runs if is_labelled(_config(run), wanted)]
    states = {run: _state(run) for run in runs}
    for run, state in states.items():
        described = (run / "checkpoints" / BEST).is_file() or (run.parent / SWEEP).is_file()  # or it cannot be resumed
        files = sorted(_files_of(run), key=lambda path: path.name in DESCRIBING)
        yield from (Item(path, _kind(path.relative_to(run), state, described), _size(path)) for path in files)
    if wanted:  # what lies beside runs has no label
        return
    busy = {run.parent for run, state in states.items() if state == "running"}
    for parent in dict.fromkeys(run.parent for run in runs if run != folder):
        yield from (Item(path, "temporary", _size(path)) for path in _unfinished(parent) if parent not in busy)


def _config(run: Path) -> dict[str, Any]:
    try:
        return read_config(run)
    except ConfigurationError:
        return {}


def _state(run: Path) -> str:
    """Returns how a run ended; of one that is running, or of which that cannot be known, `running`."""
    try:
        return "running" if is_locked(run) else str(read_status(run).get("state"))
    except ConfigurationError:
        return "running"


def _kind(path: Path, state: str, described: bool) -> str:
    """Returns the kind of a file, by its path inside the run's folder."""
    if state == "running":
        return "running"
    if path.name == BEST:
        return "best"
    if state in ("failed", "diverged"):
        return "record" if described and path.name in DESCRIBING else "failed"
    if path.name.startswith(TEMPORARY):
        return "temporary"
    if path.name in LASTS:
        return "last" if state == "completed" else "resume"
    return "tensorboard" if path.parts[0] == "tensorboard" else "record"


def _files_of(run: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(run):
        folders[:] = [name for name in folders if not is_run(Path(place, name))]  # another run's
        yield from (path for name in sorted(names) if not (path := Path(place, name)).is_symlink())


def _unfinished(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.glob(f"{TEMPORARY}*")) if path.is_file() and not path.is_symlink())


def _size(path: Path) -> int:
    with suppress(FileNotFoundError):  # a running run has renamed it
        return path.lstat().st_size
    return 0


OPTIONS = {"remove": "kinds to delete, separated by commas", **LABELS}


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Raises:
        ConfigurationError: the folder is not there, a kind does not exist, or a file cannot be deleted.
    """
    subjects, options, _ = parse(argv, OPTIONS)
    kinds = [one_of("remove", kind, REMOVABLE) for kind in options["remove"].split(",")] if "remove" in options else []
    folder = _folder(subjects)
    wanted = labels(options)
    found = list(items(folder, wanted))
    if wanted and not found:
        raise ConfigurationError(
            f"no run in {folder} has {' '.join(f'{name}={value}' for name, value in wanted.items())}"
        )
    console = Console(soft_wrap=True, highlight=False)
    console.print(_table(found, folder))
    if kinds:
        chosen = [item for item in found if item.kind in kinds]
        _delete(chosen, folder)
        console.print(f"deleted {_files(chosen)}, {decimal(sum(item.size for item in chosen))} freed")
    else:
        console.print(_way_on(found, [*subjects, *(f"{name}={value}" for name, value in wanted.items())]), markup=False)
    return 0


def _folder(subjects: Sequence[str]) -> Path:
    if len(subjects) > 1:
        raise ConfigurationError(f"clean takes one folder, and these are {len(subjects)}: {', '.join(subjects)}")
    folder = Path(*subjects) if subjects else Path("logs")
    if not folder.is_dir():
        raise ConfigurationError(absent(folder))
    return folder


def _table(found: Iterable[Item], folder: Path) -> Table:
    """Returns a row for each kind: how many files, how large together."""
    table = Table("kind", "what it is", "files", "size", title=f"what takes space in {folder}")
    table.columns[2].justify = table.columns[3].justify = "right"
    for part in (REMOVABLE, KEPT):
        for kind, what in part.items():
            sizes = [item.size for item in found if item.kind == kind]
            table.add_row(kind, what, str(len(sizes)), decimal(sum(sizes)), style="dim" if part is KEPT else "")
        table.add_section()
    return table


def _way_on(found: Sequence[Item], typed: Sequence[str]) -> str:
    there = [kind for kind in REMOVABLE if any(item.kind == kind for item in found)]
    if not there:
        return "nothing was deleted, and there is nothing that could be"
    return f"nothing was deleted; to delete, name kinds: {command('clean', *typed, 'remove=' + ','.join(there))}"


def _delete(chosen: Iterable[Item], folder: Path) -> None:
    """Deletes files, and folders that are empty then, up to but without the one named."""
    for item in chosen:
        try:
            item.path.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot delete {item.path}: {error.strerror or error}; it and the rest are left"
            ) from error
        for parent in item.path.parents:
            if parent == folder or not parent.is_relative_to(folder):
                break
            with suppress(OSError):  # there is something in it
                parent.rmdir()


def _files(chosen: Sequence[Item]) -> str:
    return "1 file" if len(chosen) == 1 else f"{len(chosen)} files"
