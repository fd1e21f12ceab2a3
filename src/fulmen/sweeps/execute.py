"""Jobs launched until each has ended, whatever becomes of a launcher.

What became of a job is read from its folder, never from what a launcher says: one whose worker was killed knows less
than the folders do.
"""

import functools
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from fulmen.errors import ConfigurationError
from fulmen.runs.files import write_json
from fulmen.runs.folder import is_locked, load_status
from fulmen.runs.signals import raising
from fulmen.sweeps.job import Job
from fulmen.sweeps.launchers import BASIC, CHOICE, Launcher
from fulmen.sweeps.record import STOP
from fulmen.sweeps.results import PLANNED, read

KILLED_TWICE: Final = "the process was killed or ran out of memory, and again when it ran alone"
SECONDS_TO_END: Final = 30.0


def run_all(places: Sequence[Path], launcher: Launcher, job: Job) -> None:
    """Launches jobs until each has ended. One whose worker was killed is resumed once, alone; so are its neighbours.

    Args:
        places: the folders.
        launcher: where.
        job: how.

    Raises:
        ConfigurationError: the launcher starts nothing.
    """
    waiting = list(places)
    while waiting:
        why = _attempt(waiting, launcher, job)
        begun = [place for place in waiting if read(place).state != PLANNED]
        if not begun and len(waiting) == len(places):
            raise ConfigurationError(
                f"{CHOICE}={launcher.name} started no jobs{f': {why}' if why else ' and reported no error'}"
            )
        if not begun:
            return
        waiting = [place for place in waiting if place not in begun]
    stopped = [place for place in places if read(place).state == "interrupted"]
    for some in [stopped] if launcher.inner is not None and stopped else [[place] for place in stopped]:
        _attempt(some, launcher, job)  # a stack goes on as a whole
        for place in some:
            status = load_status(place)
            killed = read(place).state == "interrupted" and status.get("state") != "interrupted"  # no signal's doing
            if killed:
                write_json(place / "status.json", status | {"state": "failed", "error": KILLED_TWICE})


def _attempt(places: Sequence[Path], launcher: Launcher, job: Job) -> str:
    """Launches, and waits for what may still run when the launcher breaks off; what the launcher said then."""
    is_apart = launcher.workers != BASIC and not launcher.outlived
    with raising(functools.partial(_stop, places, job)) if is_apart else nullcontext():
        try:
            launcher.launch(places, job)
        except Exception as error:  # of whichever library is behind it
            _wait(places, launcher.kind.patience)
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _wait(places: Sequence[Path], patience: float) -> None:
    """Waits until no process has worked in the folders for some seconds."""
    deadline, before = time.monotonic() + patience, [read(place).state for place in places]
    while folders_held(places) or time.monotonic() < deadline:
        time.sleep(0.2)
        if (now := [read(place).state for place in places]) != before:
            before, deadline = now, time.monotonic() + patience


def _stop(places: Sequence[Path], job: Job) -> None:
    """Ends jobs in other processes; they save a checkpoint first, and so need a moment."""
    with (places[0].parent / STOP).open("a", encoding="utf-8") as stopped:
        stopped.write(f"{job.launch}\n")
    deadline = time.monotonic() + SECONDS_TO_END
    while folders_held(places) and time.monotonic() < deadline:
        time.sleep(0.1)


def folders_held(places: Sequence[Path]) -> bool:
    """Returns whether a process works in one of them."""
    return any(is_locked(place) for place in places)
