"""Jobs launched until each has ended, whatever becomes of a launcher.

What became of a job is read from its folder, never from what a launcher says: one whose worker was killed knows less
than the folders do.
"""

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from fulmen.files import write_json
from fulmen.folders import WORKED_IN, held, noted
from fulmen.signals import Interrupted
from fulmen.sweeps.job import Job
from fulmen.sweeps.launcher import CHOICE, Launcher
from fulmen.sweeps.results import PLANNED, read
from fulmen.words import ConfigurationError

KILLED_TWICE: Final = "its process was killed, or ran out of memory, and once more when it ran alone"
SECONDS_TO_END: Final = 30.0


def run_all(places: Sequence[Path], launcher: Launcher, job: Job) -> None:
    """Launches jobs until each has ended. One whose worker was killed goes on once more, alone, as its neighbours do.

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
            raise ConfigurationError(f"{CHOICE}={launcher.name} has started nothing: {why or 'it says no word'}")
        if not begun:
            return
        waiting = [place for place in waiting if place not in begun]
    for place in [place for place in places if read(place).state == "interrupted"]:
        _attempt([place], launcher, job)
        status = noted(place)
        if status.get("state") == WORKED_IN and not held(place):
            write_json(place / "status.json", status | {"state": "failed", "error": KILLED_TWICE})


def _attempt(places: Sequence[Path], launcher: Launcher, job: Job) -> str:
    """Launches, and waits for what may still run when the launcher breaks off; what the launcher said then."""
    before_it = _processes(places)
    try:
        launcher.launch(places, job)
    except Interrupted:
        if launcher.name == "submitit_local":
            _stop(places, _processes(places) - before_it)
        raise
    except Exception as error:  # of whichever library is behind it
        deadline = time.monotonic() + launcher.kind.patience
        before = [read(place).state for place in places]
        while folders_held(places) or time.monotonic() < deadline:
            time.sleep(0.2)
            if (now := [read(place).state for place in places]) != before:
                before, deadline = now, time.monotonic() + launcher.kind.patience
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _processes(places: Sequence[Path]) -> set[int]:
    """Those that submitit has started for the jobs of a sweep: each has a folder named by its id."""
    return {int(path.name) for path in places[0].parent.glob(".submitit/*") if path.name.isdecimal()}


def _stop(places: Sequence[Path], processes: Iterable[int]) -> None:
    """Ends jobs that outlive the process that launched them; they save a checkpoint first."""
    for process in processes:
        with suppress(OSError):  # it has ended
            os.kill(process, signal.SIGTERM)
    deadline = time.monotonic() + SECONDS_TO_END
    while folders_held(places) and time.monotonic() < deadline:
        time.sleep(0.1)


def folders_held(places: Sequence[Path]) -> bool:
    """Whether a process works in one of them."""
    return any(held(place) for place in places)
