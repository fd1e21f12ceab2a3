"""Shows what takes space in the folders of runs, and deletes the kinds that you name.

usage: fulmen clean [FOLDER] [remove=KIND,KIND,...]

FOLDER is logs unless you name another. A best checkpoint is never deleted, nor anything of a run that goes on.

kinds
  last          last checkpoints of completed runs; those of interrupted runs stay, to resume them
  tensorboard   what the dashboard shows, of runs that did not fail
  failed        what failed and diverged runs left, but for a best checkpoint, its configuration and its status
  temporary     what a killed process had not finished writing

as in
  fulmen clean                         shows, and deletes nothing
  fulmen clean remove=last,temporary   deletes these two kinds
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from fulmen.commands.arguments import one_of, sort
from fulmen.folders import absent
from fulmen.space import KEPT, REMOVABLE, Item, items
from fulmen.words import ConfigurationError

OPTIONS = {"remove": "kinds to delete, separated by commas"}


def main(words: Sequence[str]) -> int:
    """Runs the command.

    Raises:
        ConfigurationError: the folder is not there, a kind does not exist, or a file cannot be deleted.
    """
    subjects, options, _ = sort(words, OPTIONS)
    kinds = [one_of("remove", kind, REMOVABLE) for kind in options["remove"].split(",")] if "remove" in options else []
    folder = _folder(subjects)
    found = list(items(folder))
    console = Console(soft_wrap=True, highlight=False)
    console.print(_table(found, folder))
    if kinds:
        chosen = [item for item in found if item.kind in kinds]
        _delete(chosen, folder)
        console.print(f"deleted {_files(chosen)}, {decimal(sum(item.size for item in chosen))} freed")
    else:
        console.print(_way_on(found, subjects), markup=False)
    return 0


def _folder(subjects: Sequence[str]) -> Path:
    if len(subjects) > 1:
        raise ConfigurationError(f"clean takes one folder, and these are {len(subjects)}: {', '.join(subjects)}")
    folder = Path(*subjects) if subjects else Path("logs")
    if not folder.is_dir():
        raise ConfigurationError(absent(folder))
    return folder


def _table(found: Iterable[Item], folder: Path) -> Table:
    """A row for each kind: how many files, how large together."""
    table = Table("kind", "what it is", "files", "size", title=f"what takes space in {folder}")
    table.columns[2].justify = table.columns[3].justify = "right"
    for part in (REMOVABLE, KEPT):
        for kind, what in part.items():
            sizes = [item.size for item in found if item.kind == kind]
            table.add_row(kind, what, str(len(sizes)), decimal(sum(sizes)), style="dim" if part is KEPT else "")
        table.add_section()
    return table


def _way_on(found: Sequence[Item], subjects: Sequence[str]) -> str:
    there = [kind for kind in REMOVABLE if any(item.kind == kind for item in found)]
    if not there:
        return "nothing was deleted, and there is nothing that could be"
    return (
        f"nothing was deleted; to delete, name kinds: {' '.join(['fulmen clean', *subjects])} remove={','.join(there)}"
    )


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
