"""One job: the run in a folder that was planned, from the configuration that is there. This is what launchers call.

Whatever happens is written into the folder, and nothing is returned, so that it does not matter in which process, or on
which machine, a job runs.
"""

import functools
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout
from omegaconf import DictConfig

from fulmen.config import recorded
from fulmen.config.allowlist import listed
from fulmen.config.compose import literal
from fulmen.config.groups import search_path
from fulmen.config.overrides import read
from fulmen.config.recorded import PERMISSIONS
from fulmen.errors import ConfigurationError, Impossible
from fulmen.experiment.build import StackedJob, resume, train, train_stack
from fulmen.rules import split_override
from fulmen.runs import folder as folders
from fulmen.runs.folder import SWEEP, UNFINISHED, WORKED_IN
from fulmen.runs.signals import TIME_IS_UP, Interrupted, raising
from fulmen.sweeps import results
from fulmen.sweeps.progress import watching
from fulmen.sweeps.record import STOP, Sweep
from fulmen.sweeps.record import read as read_sweep

if TYPE_CHECKING:
    from fulmen.training.callbacks.pruning import Pruner

STACKS: Final = "stacks"
"""In a sweep's folder, while a stack trains: what it resumes from."""
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
SHARED_OUT_HERE: Final = ("joblib", "submitit_local")
_held: list[FileLock] = []
"""By this process, until it ends."""


def take_one(sweep: Path) -> None:
    """Leaves this process one of several GPUs to see."""
    gpus = visible()
    if len(gpus) > 1 and not _held:
        os.environ[VISIBLE] = gpus[_number(sweep) % len(gpus)]


def visible() -> list[str]:
    """Returns the GPUs of this machine, as `CUDA_VISIBLE_DEVICES` names them."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, line in enumerate(found.splitlines()) if line.startswith("GPU ")]


def _number(sweep: Path) -> int:
    """This worker's among those of the sweep: the first that is free."""
    number = 0
    while True:
        lock = FileLock(sweep / f".worker-{number}")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            number += 1
        else:
            _held.append(lock)
            return number


_busy = threading.Event()
"""While a job runs in this process, which then needs a moment to save."""


@contextmanager
def _working() -> Iterator[None]:
    _busy.set()
    try:
        yield
    finally:
        _busy.clear()


@functools.cache
def _end_with(home: int) -> None:
    """Ends this process, once no job runs in it, when the one that launched it is gone: nobody needs it any more."""

    def watch() -> None:
        while _busy.is_set() or not is_gone(home):
            time.sleep(SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def is_gone(process: int) -> bool:
    """Returns whether a process of this machine has ended; False on Windows, where asking would end it."""
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
        state = Path(f"/proc/{process}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return True
    except (OSError, IndexError):  # there is no /proc, or it is somebody else's
        return False
    return state in ("Z", "X")  # ended, and its parent has not looked


SECONDS: Final = 0.2
"""Between two looks at whether the sweep is stopped."""


@dataclass(frozen=True)
class Job:
    """Runs the job in a folder."""

    permissions: list[str]
    """Words that allow something, as typed now."""
    config_dir: str | None
    cwd: str
    """The folder that the sweep was typed in; relative paths start there."""
    home: int
    """The process that launches."""
    shares_gpus: bool
    """True if workers are processes of this machine: each sees one GPU of several, and ends with `home`."""
    launch: str
    """A name that no other launch has: a process that comes late does not begin a job of a resumed sweep."""
    stacks: Mapping[str, tuple[list[str], int | None]] = field(default_factory=dict)
    """Jobs that train as one, by the first of them: all of them, and how many at once; 0 for as many as fit into
    memory, None for all, as in a stack that is resumed."""
    at_once: int = 1
    """How many stacks share the memory of a machine."""

    def __call__(self, config: Mapping[str, Any]) -> None:
        """Runs a job; launchers call this with the configuration of `conf/job.yaml`, which names the folder.

        Raises:
            Interrupted: a signal came, and this is the process that launches.
        """
        os.chdir(self.cwd)
        search_path(self.config_dir)  # where allowed modules may be
        folder = Path(config["folder"])
        if os.getpid() == self.home:
            with raising():
                self.run(folder)
            return
        if self.shares_gpus:
            take_one(folder.parent)
            _end_with(self.home)
        try:
            with _working(), raising(), self._stopping(folder.parent):
                self.run(folder)
        except Interrupted as stop:
            if stop.signum == TIME_IS_UP and callable(signal.getsignal(TIME_IS_UP)):
                signal.raise_signal(TIME_IS_UP)  # all is saved, and a launcher that listens may queue the job again

    def run(self, folder: Path) -> None:
        """Starts or resumes the run in the folder, unless it has ended, or another process is at it."""
        if folder.name in self.stacks:
            self._run_stack(folder)
            return
        if folders.is_locked(folder):
            return
        with folders.lock(folder, ConfigurationError(f"{folder} is held by another process")):
            status = folders.load_status(folder)
            if status.get("state", WORKED_IN) not in UNFINISHED:
                return
            try:
                (self._go_on if status else self._begin)(folder)
            except Interrupted:
                raise
            except BaseException as error:  # whatever a network's code may raise, Python's own ways to end included
                if folders.load_status(folder) == status:
                    from fulmen.runs.recording import record_failure

                    record_failure(folder, error)

    def _go_on(self, folder: Path) -> None:
        resume(folder, self.permissions, own=_own(folder), verbose=False, pruner=_pruner(folder))

    def _begin(self, folder: Path) -> None:
        config = self._configuration(folder)
        train(config, folder=folder, own=_own(folder), verbose=False, pruner=_pruner(folder))

    def _configuration(self, folder: Path) -> DictConfig:
        """Returns the configuration of the job in a folder."""
        sweep = _sweep(folder.parent)
        config = recorded.anchored(recorded.configuration(folder), sweep.directory)
        config.overrides = self._overrides(folder)
        for override in map(read, self.permissions):
            config[override.key_or_group] = override.value()
        config.allow_targets = listed(config.allow_targets)
        return config

    def _overrides(self, folder: Path) -> list[str]:
        """Returns the overrides of the job in a folder, with what is allowed now."""
        typed = _sweep(folder.parent).job_overrides(int(folder.name))
        return literal([each for each in typed if split_override(each)[0] not in PERMISSIONS] + self.permissions)

    def _run_stack(self, folder: Path) -> None:
        """Trains the jobs of a stack as one; if that is not possible, one after the other."""
        names, most = self.stacks[folder.name]
        paths = [folder.parent / name for name in names]
        if any(folders.is_locked(path) for path in paths):
            return
        try:
            jobs = [StackedJob(path, _own(path), self._overrides(path), _pruner(path)) for path in paths]
            records = [folders.read_config(path) for path in paths]
            train_stack(self._configuration(folder), records, jobs, folder.parent / STACKS, most, self.at_once)
        except Interrupted:
            raise
        except Impossible as why:
            print(f"{results.jobs(paths)} train one by one: {why}", flush=True)
            for path in paths:
                replace(self, stacks={}).run(path)
        except BaseException as error:  # whatever a network's code may raise, Python's own ways to end included
            from fulmen.runs.recording import record_failure

            for path in paths:
                if folders.load_status(path).get("state", WORKED_IN) in UNFINISHED:
                    record_failure(path, error)

    @contextmanager
    def _stopping(self, sweep: Path) -> Iterator[None]:
        """Ends this process's job, as a signal would, when its launch is stopped or killed; none begins then.

        What launches can do no more than kill its workers, and one that is killed saves no checkpoint.
        """
        stopped = threading.Event()

        def look() -> None:
            if not stopped.is_set() and self._is_stopped(sweep):
                stopped.set()  # a second signal would not wait for the checkpoint
                os.kill(os.getpid(), signal.SIGTERM)

        if self._is_stopped(sweep):
            raise Interrupted(signal.SIGTERM)
        with watching(look, SECONDS):
            yield

    def _is_stopped(self, sweep: Path) -> bool:
        if self.shares_gpus and is_gone(self.home):
            return True
        try:
            return self.launch in (sweep / STOP).read_text("utf-8").split()
        except OSError:
            return False


def _sweep(folder: Path) -> Sweep:
    """Reads a sweep's folder as it is now."""
    return _read(folder, (folder / SWEEP).stat().st_mtime_ns)


def _own(folder: Path) -> list[str]:
    """Returns the overrides in which the job in a folder differs from others."""
    return _sweep(folder.parent).own_overrides(int(folder.name))


@functools.lru_cache(maxsize=1)
def _read(folder: Path, _changed: int) -> Sweep:
    """Reads once for all jobs of a grid, which does not change; a search does."""
    return read_sweep(folder)


def _pruner(folder: Path) -> "Pruner | None":
    """Returns the pruner of the run in a job's folder; None in a grid."""
    if _sweep(folder.parent).search is None:
        return None
    from fulmen.sweeps.search.storage import pruner  # and with it Optuna

    return pruner(_sweep(folder.parent), folder)


def forget(folder: Path) -> None:
    """Leaves of a job what was planned: its configuration."""
    for child in sorted(folder.iterdir(), key=lambda path: path.name == "status.json"):  # last: kills may come between
        if child.name != "config.yaml":
            shutil.rmtree(child) if child.is_dir() else child.unlink()
