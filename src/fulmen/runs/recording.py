"""Run folders: made exclusively, described, never shared.

The folder is the record: what anyone may want of a run later stands in files, each of them either whole or absent.
"""

import functools
import os
import platform
import socket
import subprocess
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fulmen.errors import ConfigurationError, Diverged, Impossible, Pruned, command, one_line, warn
from fulmen.runs import folder as folders
from fulmen.runs.files import explain, remove_leftovers, write_json, write_text
from fulmen.runs.signals import Interrupted

LIBRARIES = ("torch", "lightning", "torchmetrics", "hydra-core", "omegaconf", "tensorboard", "scikit-learn", "numpy")


def leads() -> bool:
    """Returns whether this process keeps the record; with several devices only the first one does."""
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "RANK"))


@contextmanager
def claim(folder: Path, *, goes_on: bool) -> Iterator[None]:
    """Holds a folder for one run while it lasts, against every other process on machines that share the disk.

    Unless the run is there already and goes on, the folder is made where it is absent, and refused where anything is in
    it but what a sweep planned.

    Raises:
        FileExistsError: another run has the folder, or another process trains this one.
        ValueError: there can be no folder.
    """
    if not leads():
        yield
        return
    if not goes_on:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not folders.is_free(folder):
                raise _taken(folder)
        except FileExistsError as error:
            raise _taken(folder) from error
        except OSError as error:
            raise ValueError(
                f"{folder} cannot be made ({error.strerror}); start from a folder that you may write to, or, for a "
                "single run, name another place with run_dir="
            ) from error
    refusal = FileExistsError(f"{folder} is held by another process, which is training this run; wait for it to end")
    with folders.lock(folder, refusal):
        if not goes_on and not folders.is_free(folder):  # another process may have come first, and have ended
            raise _taken(folder)
        remove_leftovers(folder, recursive=True)
        yield


@contextmanager
def claim_all(paths: Sequence[Path], lock: Path) -> Iterator[None]:
    """Holds many folders at once, which are there and were planned by a sweep.

    A lock for each would take a thousand open files. Here each folder's lock is another name of one file, `lock`, where
    the file system has such names.

    Raises:
        Impossible: another process holds one of them, or one cannot be written to.
    """
    with ExitStack() as held:
        try:
            for path in paths:  # before the lock is taken: what a killed stack left is the same file under other names
                if folders.is_locked(path):
                    raise _held(path)
            held.enter_context(folders.lock(lock.parent, _held(lock.parent), lock.name))
            for path in paths:
                held.callback(_unlock, path)
                _unlock(path)
                try:
                    os.link(lock, path / folders.LOCK)
                except OSError:
                    held.enter_context(folders.lock(path, _held(path)))
                remove_leftovers(path, recursive=True)
            remove_leftovers(lock.parent)
        except OSError as error:
            raise Impossible(explain(error)) from error
        yield


def _held(path: Path) -> FileExistsError:
    return FileExistsError(f"{path} is held by another process")


def _unlock(path: Path) -> None:
    with suppress(OSError):  # Windows keeps it while it is held
        (path / folders.LOCK).unlink(missing_ok=True)


@contextmanager
def recording(
    folder: Path, config: Mapping[str, Any], facts: Mapping[str, Any], resumed: int | None = None
) -> Iterator[dict[str, Any]]:
    """Writes down what runs and how it ends.

    Args:
        folder: claimed; what it says of an earlier part of this run stays, and times add up.
        config: the content of `config.yaml`.
        facts: entries of `status.json`.
        resumed: the step at which the run resumes.

    Yields:
        The status, to which a run adds what it learns.
    """
    if not leads():
        yield {}
        return
    if not has(folder, config):
        write_text(folder / "config.yaml", folders.yaml_text(config))
    before = folders.load_status(folder)
    status = opening(before, {**facts, **environment()}, resumed)
    if resumed is not None:
        (folder / "metrics.json").unlink(missing_ok=True)  # until there are new ones
    write_json(folder / "status.json", status)
    began = datetime.now(UTC)
    try:
        yield status
        status["state"] = "completed"
    except BaseException as error:
        status |= failure(error)
        raise
    finally:
        status |= ending(before, began)
        try:
            write_json(folder / "status.json", status)
        except OSError as error:
            if status["state"] == "completed":
                raise
            warn(f"how the run ended could not be recorded: {explain(error)}")  # why it ended matters more


def opening(before: Mapping[str, Any], facts: Mapping[str, Any], resumed: int | None) -> dict[str, Any]:
    """Returns the status of a run that begins, or resumes at a step, given the status that its folder had."""
    now = datetime.now(UTC).isoformat()
    status: dict[str, Any] = {"state": "running", "error": None, "traceback": None, "started": now, **facts}
    if resumed is not None:
        status |= {name: before[name] for name in ("started", "overrides", "rerun") if name in before}
        again = {"step": resumed, "started": now, "overrides": facts.get("overrides")}
        status["resumed"] = [*before.get("resumed", []), again]
    return status


def ending(before: Mapping[str, Any], began: datetime) -> dict[str, Any]:
    """Returns the entries about the time that a run took, together with earlier parts of it."""
    ended = datetime.now(UTC)
    return {"ended": ended.isoformat(), "seconds": before.get("seconds", 0.0) + (ended - began).total_seconds()}


def record_failure(folder: Path, error: BaseException) -> None:
    """Notes why a run did not come so far as to be recorded, in a folder that is held."""
    now = datetime.now(UTC).isoformat()
    before = {"started": now, "seconds": 0.0, **environment(), **folders.load_status(folder)}
    write_json(folder / "status.json", before | failure(error) | {"ended": now})


def has(folder: Path, config: Mapping[str, Any]) -> bool:
    """Returns whether the configuration is there already, as in a sweep's job or a resumed run."""
    try:
        return folders.read_config(folder) == dict(config)
    except ValueError:
        return False


def _taken(folder: Path) -> FileExistsError:
    is_run = folders.was_run(folder)
    with suppress(ConfigurationError):
        is_run = is_run or bool(folders.read_config(folder))  # stopped before its status was written
    if is_run:
        return FileExistsError(
            f"{folder} already holds a run; resume it with {command(f'resume={folder}')}, "
            "or name a folder that does not exist"
        )
    what = "is not empty" if folder.is_dir() else "is a file"
    return FileExistsError(f"{folder} {what}, and every run has a folder of its own; name one that does not exist")


def failure(error: BaseException) -> dict[str, Any]:
    """Returns the entries about the error that ended a run."""
    if isinstance(error, Pruned):
        return {"state": "pruned", "pruned": str(error)}
    state = {Diverged: "diverged", Interrupted: "interrupted"}.get(type(error), "failed")
    sentence = str(error) if state != "failed" else one_line(error)
    said = {"error": sentence, "traceback": "".join(traceback.format_exception(error))}
    return {"state": state, **{name: _readable(text) for name, text in said.items()}}


def _readable(text: str) -> str:
    """Returns a text that can be written and printed: an error may quote a file's name that is no UTF-8."""
    return text.encode(errors="backslashreplace").decode()


def environment() -> dict[str, Any]:
    """Returns the surroundings of a run: commit, versions, host."""
    return {**commit(), "versions": _versions(), "host": socket.gethostname()}


@functools.cache
def _versions() -> dict[str, str]:
    """Returns the versions of what runs, which stay as they are while it does; looking them up takes milliseconds."""
    found = {"fulmen": version("fulmen"), "python": platform.python_version()}
    return found | {library: version(library) for library in LIBRARIES}


def commit() -> dict[str, Any]:
    """Returns the commit that is worked on, and whether files differ from it.

    Of the repository that the working directory is in, or else of Fulmen's own; None for both where there is neither.
    """
    for folder in (Path.cwd(), Path(__file__).parent):
        try:
            return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": _git(folder, "status", "--porcelain") != ""}
        except (OSError, subprocess.SubprocessError):
            continue
    return {"commit": None, "dirty": None}


def _git(folder: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
