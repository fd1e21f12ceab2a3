"""A search while it goes: what runs next, from the folders of the jobs and from the study, and pictures at the end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fulmen.config.recorded import PERMISSIONS
from fulmen.errors import ConfigurationError
from fulmen.rules import split_override
from fulmen.sweeps import record
from fulmen.sweeps.execute import run_all
from fulmen.sweeps.grid import records
from fulmen.sweeps.job import Job
from fulmen.sweeps.launchers import Launcher
from fulmen.sweeps.leaderboard import Importance
from fulmen.sweeps.record import Sweep
from fulmen.sweeps.results import read as read_result
from fulmen.sweeps.results import runs
from fulmen.tasks.names import mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fulmen.sweeps.search.study import Study

MOST_REFUSED: Final = 10
"""Choices one after the other that make no configuration, after which something is wrong with the overrides."""
MOST_REFUSED_OF_FEW: Final = 1000
"""The same where choices come to an end: they are tried to the last, as long as somebody may wait for it."""


def run(sweep: Sweep, folder: Path, study: "Study", launcher: Launcher, job: Job, say: Callable[[str], None]) -> Sweep:
    """Runs jobs until there are as many as were wanted, first those that were left unfinished.

    Returns:
        The sweep, which has fewer jobs where other machines ran some of the study's, or no more can be made.

    Raises:
        ConfigurationError: the study's database has gone away.
    """
    from fulmen.sweeps.search.storage import reached  # and with it Optuna, which the study has imported

    with reached():
        return _run(sweep, folder, study, launcher, job, say)


def _run(sweep: Sweep, folder: Path, study: "Study", launcher: Launcher, job: Job, say: Callable[[str], None]) -> Sweep:
    assert sweep.search is not None
    trials, at_once = sweep.search.trials, sweep.search.options["n_jobs"]
    study.recover()
    waiting = _unfinished(sweep, folder, study)
    while batch := waiting[:at_once] or _planned(sweep, folder, study, job, say):
        waiting = waiting[at_once:]
        run_all([(folder / str(number)).absolute() for number in batch], launcher, job)
        ended = [number for number in batch if read_result(folder / str(number)).over]
        for number in ended:
            study.tell(trials[number], read_result(folder / str(number)))
        if not ended:
            return sweep  # another process is at them
    sweep = replace(sweep, jobs=len(trials))
    record.rewrite(sweep, folder)
    return sweep


def _unfinished(sweep: Sweep, folder: Path, study: "Study") -> list[int]:
    """Jobs that have not ended; of those that have, the study is told if it does not know."""
    assert sweep.search is not None
    found, trials = [], sweep.search.trials
    for number, trial in enumerate(trials):
        result, known = read_result(folder / str(number)), not study.runs(trial)
        if result.over and not known:
            study.tell(trial, result)
        if not result.over:
            found.append(number)
        if not result.over and known:
            trials[number] = study.again(trial)
            record.rewrite(sweep, folder)
    return found


def _planned(sweep: Sweep, folder: Path, study: "Study", job: Job, say: Callable[[str], None]) -> list[int]:
    """Plans the next jobs; none when there are enough, or when what is left to choose makes no configuration."""
    assert sweep.search is not None
    search = sweep.search
    planned: list[int] = []
    fixed = [override for override in search.fixed if split_override(override)[0] not in PERMISSIONS]
    refused: list[ConfigurationError] = []
    most = MOST_REFUSED_OF_FEW if study.is_finite else MOST_REFUSED
    while study.count < sweep.jobs and len(planned) < search.options["n_jobs"]:
        trial = study.ask() if len(refused) < most else None
        if trial is None:
            if refused and not search.trials:
                raise refused[-1]
            if not planned:
                found = study.refusals()
                why = f"further choices are refused, as in: {found[-1]}" if found else "all were tried"
                say(f"the search ends with {runs(len(search.trials))}: {why}")
            break
        try:
            (configuration,) = records([[*fixed, *job.permissions, *trial.words]], job.config_dir)
        except ConfigurationError as error:
            study.refuse(trial.number, str(error))
            refused.append(error)
            if len(refused) % MOST_REFUSED == 0:
                say(f"{len(refused)} choices one after the other are refused, as in: {error}")
            continue
        refused.clear()
        number = len(search.trials)
        record.plan(configuration, folder / str(number))
        search.trials.append(trial)
        record.rewrite(sweep, folder)
        planned.append(number)
    return planned


def pictures(study: "Study", importance: Importance | None) -> dict[str, Callable[[], "Figure | None"]]:
    """Returns functions, by name, that draw the history, the importances and, for two objectives, the front."""
    from fulmen.figures import plots  # and with them matplotlib

    found, names = study.completed(), study.search.objectives
    if not found or len(names) > 2:
        return {}
    if len(names) == 2:
        return {"front": lambda: plots.front([value for _, value in found], study.best(), names)}

    numbers, scores = [number for number, _ in found], [values[0] for _, values in found]
    wanted: dict[str, Callable[[], Figure | None]] = {
        "history": lambda: plots.history(numbers, scores, names[0], mode(names[0]))
    }
    if importance is not None:
        shares = importance.shares
        wanted["importance"] = lambda: plots.importance([*shares], [*shares.values()], names[0], importance.runs)
    return wanted
