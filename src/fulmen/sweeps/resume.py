"""Which jobs of a sweep are still to run.

Complete jobs are kept as they are, interrupted ones resume from their checkpoints, and jobs that failed run again where
that is asked for. Numbers never change, because a job is its folder.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fulmen.config.recorded import PERMISSIONS
from fulmen.errors import ConfigurationError
from fulmen.rules import did_you_mean, split_override
from fulmen.runs import folder as folders
from fulmen.runs.files import expand_home
from fulmen.sweeps.job import forget
from fulmen.sweeps.record import Sweep, permissions
from fulmen.sweeps.results import DAMAGED, DONE, PLANNED, Result, read_all, read_state
from fulmen.sweeps.stacking import start_over

RETRIED: Final = ("failed", "diverged")
"""States that `retry=` may name."""


@dataclass(frozen=True)
class Request:
    """The overrides beside `-m`."""

    folder: Path
    retry: tuple[str, ...]
    permissions: list[str]


def read_request(overrides: Sequence[str]) -> Request:
    """Reads `resume=FOLDER`, `retry=failed,diverged` and permissions.

    Raises:
        ConfigurationError: another override is there.
    """
    values = dict(map(split_override, overrides))
    for name in values:
        if name not in ("resume", "retry", *PERMISSIONS):
            near = did_you_mean(name, ["retry", *PERMISSIONS])
            beside = f"retry=, hydra/launcher=, {'=, '.join(PERMISSIONS[:-1])}= and {PERMISSIONS[-1]}="
            raise ConfigurationError(
                f"a sweep is resumed as it was planned, so leave {name}= out{near}; beside resume= may stand {beside}"
            )
    retry = tuple(values["retry"].split(",")) if "retry" in values else ()
    for state in retry:
        if state not in RETRIED:
            near = did_you_mean(state, RETRIED)
            raise ConfigurationError(f"retry={state} is none of {', '.join(RETRIED)}{near}")
    if "resume" not in values or not values["resume"]:
        raise ConfigurationError("resume= needs the folder of a sweep")
    folder = expand_home(values["resume"])
    return Request(folder, retry, permissions(overrides))


def check_permissions(sweep: Sweep, request: Request) -> None:
    """Checks permissions: a file gives none, not even the one that was typed when the sweep began.

    Raises:
        ConfigurationError: says what to type.
    """
    given = {split_override(override)[0] for override in request.permissions}
    missing = [override for override in sweep.permissions if split_override(override)[0] not in given]
    if missing:
        raise ConfigurationError(
            f"{request.folder} began with a permission, which counts only where it is typed; add {shlex.join(missing)}"
        )


def pending(sweep: Sweep, request: Request) -> list[int]:
    """Returns the numbers of the jobs that are to run; those that start over are as they were planned.

    A search has planned no more of them than it has begun.

    Raises:
        ConfigurationError: one of them runs in another process, its configuration is gone, or its status is damaged.
    """
    planned = sweep.jobs if sweep.search is None else len(sweep.search.trials)
    found = [result for result in read_all(request.folder, planned) if _is_pending(result, request.retry)]
    for result in found:
        if not (result.folder / "config.yaml").exists():
            raise ConfigurationError(
                f"{result.folder / 'config.yaml'} is gone, and with it what job {result.number} was"
            )
        state = read_state(result.folder)["state"]  # what cannot be read is not to be lost
        if state == PLANNED and not folders.is_untouched(result.folder):
            raise ConfigurationError(f"{result.folder} has begun meanwhile; try again once it has ended")
        if folders.is_locked(result.folder):
            raise ConfigurationError(f"job {result.number} still runs, in another process; wait until it has ended")
    start_over([result.folder for result in found if result.state in request.retry])
    for result in found:
        if result.state in (PLANNED, *request.retry):
            forget(result.folder)
    return [*(result.number for result in found), *range(planned, sweep.jobs)]


def _is_pending(result: Result, retry: Sequence[str]) -> bool:
    if result.state == DAMAGED and folders.load_status(result.folder).get("state") in DONE:
        return False  # only its figures cannot be read; it is listed as damaged, and the others continue
    return not result.done and (result.state not in RETRIED or result.state in retry)


def nothing_to_do(request: Request, kept: Sequence[Result]) -> str:
    """Returns the sentence about a sweep without pending jobs."""
    if not kept:
        return f"{request.folder} is complete: nothing more to do"
    if damaged := [result for result in kept if result.state == DAMAGED]:
        return f"{request.folder} has nothing more to do, but {len(damaged)} damaged: {damaged[0].error}"
    states = ",".join(dict.fromkeys(result.state for result in kept))
    how = states.replace(",", " or ")
    return f"{request.folder} has nothing more to do, but {len(kept)} of its jobs {how}; to repeat them: retry={states}"
