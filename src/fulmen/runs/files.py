"""Files that are either whole or as they were: written beside their place, flushed to the disk, and renamed."""

import json
import os
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPORARY = ".tmp-"
"""How names of unfinished files begin."""


def seen_from_here(path: Path) -> Path:
    """Returns a path as it is typed in the working directory: a relative one to what is below it."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def expand_home(name: str) -> Path:
    """Returns the file or folder of that name, with the home folder for `~`: a shell leaves `run_dir=~/x` as it is."""
    return Path(os.path.expanduser(name))


@contextmanager
def replacing(path: Path, *, flush: bool = True) -> Iterator[IO[bytes]]:
    """Opens a file that takes the place of `path` when the block ends well, and disappears when it does not.

    Args:
        path: the file.
        flush: whether it must outlast a power failure from then on; else `flush_all` sees to that, for many at once.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    temporary = path.parent / f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix}"
    try:
        with temporary.open("xb") as file:  # with the permissions that the umask leaves, which mkstemp's lack
            _lock(file)
            yield file
            file.flush()
            if flush:
                os.fsync(file.fileno())
            if os.name == "posix":
                os.replace(temporary, path)  # while it is locked, so that nobody takes it for a leftover
        if os.name != "posix":  # Windows cannot rename an open file
            os.replace(temporary, path)
        if flush:
            flush_to_disk(path.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename in (None, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise


def _lock(file: IO[bytes]) -> bool:
    """Locks an unfinished file for as long as it is open, and returns whether nobody else holds it.

    The lock ends with the process, however that ends. Windows needs none: it does not delete an open file.
    """
    if os.name != "posix":
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or the file system has no locks
        return False
    return True


def remove_leftovers(folder: Path, *, recursive: bool = False) -> None:
    """Deletes the unfinished files that killed processes left; those that a living process writes stay."""
    for path in list((folder.rglob if recursive else folder.glob)(f"{TEMPORARY}*")):
        if path.is_symlink() or not path.is_file():
            continue
        with suppress(OSError):
            with path.open("r+b") as file:
                is_left = _lock(file)
            if is_left:
                path.unlink(missing_ok=True)


def flush_all(paths: Iterable[Path]) -> None:
    """Makes many files and their folders outlast a power failure."""
    if sys.platform == "linux":
        os.sync()  # waits until all is written, which POSIX does not ask for
        return
    for path in paths:
        flush_to_disk(path)


def write_text(path: Path, content: str, *, flush: bool = True) -> None:
    """Replaces a text file."""
    with replacing(path, flush=flush) as file:
        file.write(content.encode())


def write_json(path: Path, content: Mapping[str, Any], *, flush: bool = True) -> None:
    """Replaces a JSON file.

    Raises:
        ValueError: a number is not finite, which JSON has no word for.
    """
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", flush=flush)


def save_figure(figure: "Figure", path: Path) -> None:
    """Replaces a picture, in the format that its name ends with."""
    with replacing(path) as file:
        figure.savefig(file, format=path.suffix.removeprefix("."))


def explain(error: OSError) -> str:
    """Returns the file that an error is about, and what is wrong with it."""
    if error.filename is None or error.strerror is None:
        return " ".join(str(error).split())
    return f"{os.fsdecode(error.filename)}: {error.strerror}"


def flush_to_disk(path: Path) -> None:
    """Makes what was written to a file, or the renaming of one in a folder, outlast a power failure."""
    if os.name != "posix":
        return  # Windows cannot flush what is open for reading, nor a folder
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
