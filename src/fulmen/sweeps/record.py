"""A sweep's folder: `sweep.yaml`, which says what was asked for, and a folder for each job with its configuration.

All of it is written before the first job starts, so that each job runs from what `conf/` said then, whatever becomes of
`conf/` in the meantime. `sweep.yaml` comes last: where it is, the plan is whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from filelock import FileLock, Timeout

from fulmen.files import write_text
from fulmen.folders import LOCK, SWEEP, absent
from fulmen.names import stamp
from fulmen.sweeps.grid import Grid
from fulmen.words import ConfigurationError

SWEEPS: Final = Path("logs/sweeps")
PERMISSIONS: Final = ("allow_targets", "trust_checkpoint")
Dumper: Final = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The one in C where PyYAML has it: 1 ms a configuration instead of 5."""


@dataclass(frozen=True)
class Sweep:
    """What `sweep.yaml` says."""

    words: list[str]
    """As typed."""
    grid: list[list[str]]
    """The words of the jobs: for each that was typed all those that it stands for."""
    varying: dict[str, list[str]]
    """Keys and groups that vary, and their values."""
    score: str
    jobs: int
    config_dir: str | None
    """The folder of the user's own choices."""
    permissions: list[str]
    """The words that were typed to allow something; they count only where they are typed."""

    def job_words(self, number: int) -> list[str]:
        """All words of a job."""
        return Grid(self.grid).job(number)

    def own_words(self, number: int) -> list[str]:
        """The words that tell a job from the others."""
        return [word for word in self.job_words(number) if word.partition("=")[0] in self.varying]


def permissions(words: Sequence[str]) -> list[str]:
    """The words that allow something."""
    return [word for word in words if word.partition("=")[0] in PERMISSIONS]


def write(sweep: Sweep, records: Sequence[Mapping[str, Any]]) -> Path:
    """Makes the folder of a new sweep and those of its jobs.

    Raises:
        ConfigurationError: it cannot be made.
    """
    folder = SWEEPS / stamp()
    try:
        folder.mkdir(parents=True)
        for number, record in enumerate(records):
            (folder / str(number)).mkdir()
            (folder / str(number) / "config.yaml").write_text(_yaml(record), "utf-8")
        write_text(folder / SWEEP, _yaml(asdict(sweep)))
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be made ({error.strerror or error}); start from a folder that you may write to"
        ) from error
    return folder


def read(folder: Path) -> Sweep:
    """Reads a sweep's folder.

    Raises:
        ConfigurationError: there is no sweep in it, or `sweep.yaml` is damaged.
    """
    path = folder / SWEEP
    if not path.exists():
        if folder.is_dir() and (folder / "status.json").exists():
            raise ConfigurationError(f"{folder} is a single run; leave -m out to go on with it")
        unfinished = folder.is_dir() and any(folder.glob("*/config.yaml"))
        raise ConfigurationError(
            f"{folder} has no {SWEEP}: it was stopped before its first job, so there is nothing to go on with"
            if unfinished
            else absent(folder).replace("no run in", "no sweep in").replace("runs are in logs/runs", "they are in logs")
        )
    try:
        return Sweep(**yaml.safe_load(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read: {' '.join(str(error).split())}") from error


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a sweep while it lasts: no other process runs the same one.

    Raises:
        ConfigurationError: one does.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0.2)
    except Timeout as error:
        raise ConfigurationError(f"{folder} is held by another process, which runs that very sweep") from error
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps it while it is held
            for path in (folder / LOCK, *folder.glob(".worker-*")):
                path.unlink()
        lock.release()


def _yaml(content: Mapping[str, Any]) -> str:
    return str(yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True))
