"""Sweeps from Python: the runs of one as a pandas DataFrame, their curves as another, and how they compare.

All of it is read from the sweep's folder, so it is the same for one that has just run and for one of last year.
"""

import os
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, redirect_stdout
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fulmen.config import project
from fulmen.config.hydra_private import beside_host
from fulmen.config.overrides import read as read_override
from fulmen.errors import ConfigurationError, from_python, warn
from fulmen.experiment import api
from fulmen.rules import alternatives, split_override
from fulmen.runs import folder as folders
from fulmen.runs.files import expand_home
from fulmen.runs.settings import SEEDS
from fulmen.runs.signals import raising
from fulmen.sweeps import leaderboard, record, results
from fulmen.sweeps.launchers import BASIC, Launcher, split
from fulmen.sweeps.remarks import unlike_losses
from fulmen.sweeps.sweep import configurations
from fulmen.sweeps.sweep import run as run_sweep
from fulmen.sweeps.verdict import Verdict, verdict

if TYPE_CHECKING:
    import pandas as pd

NAN = float("nan")


@from_python
def sweep(
    overrides: Iterable[str],
    config_dir: str | Path | None = None,
    *,
    model: Any = None,
    data: Any = None,
    target: str | Sequence[str] | None = None,
    verbose: bool = True,
) -> "SweepResults":
    """Runs a sweep, as `-m` does, and returns its runs; one that fails is among them, and raises nothing.

    Args:
        overrides: as after `-m`: several values for a key, `hydra/launcher=`, `sweep=`, or `resume=` and a sweep's
            folder, which finishes one that was stopped.
        config_dir: a folder of the user's own with further choices, as for `fulmen.compose`.
        model: a class, as for `fulmen.train`; what it takes beside sizes may be given and varied as `model.<name>=`.
        data: rows, as for `fulmen.train`.
        target: as for `fulmen.train`.
        verbose: whether to print a line for each run, the leaderboard and the verdict; warnings are always printed.

    Raises:
        ConfigurationError: a job's configuration is wrong, or the overrides are one text; nothing is written then. Or
            the folder can no longer be written to; says how to resume.
        fulmen.errors.Finished: the study of a search, in a database, has all its runs.
        fulmen.runs.signals.Interrupted: a signal came; what has run is kept.
    """
    if isinstance(overrides, str):  # which is iterable, too: its letters would be taken for overrides
        raise ConfigurationError(f"fulmen.sweep takes a list of overrides, not one text; give {shlex.split(overrides)}")
    words = [*overrides]
    config_dir = config_dir or project.supply(words, [Path.cwd()])
    own = api.as_choices(words, model, data, target)
    if own is not None:
        _check_class(model, words, config_dir)
    config_dir = own or config_dir
    threads = os.environ.get("OMP_NUM_THREADS")
    try:
        with raising(), beside_host(), ExitStack() as quiet:
            if not verbose:
                quiet.enter_context(redirect_stdout(quiet.enter_context(open(os.devnull, "w", encoding="utf-8"))))
            folder, _ = run_sweep(words, None if config_dir is None else str(config_dir))
    finally:
        if threads is None:
            os.environ.pop("OMP_NUM_THREADS", None)  # set for the processes that submitit starts
    found = SweepResults(folder)
    api.allow((run.folder for run in found._runs), words)
    return found


def _check_class(model: Any, words: Sequence[str], config_dir: str | Path | None) -> None:
    """Checks that a class given as `model=` can be found by the sweep's runs, wherever they are.

    Raises:
        ConfigurationError: it cannot, or there is a folder of the user's own where it belongs.
    """
    cls = getattr(model, "func", model)
    if config_dir is not None:
        place = Path(config_dir) / "model" / f"{cls.__name__.lower()}.yaml"
        raise ConfigurationError(f"model= goes with no folder of choices, and there is {config_dir}; make it {place}")
    launcher = Launcher(split(words)[0])
    if cls.__module__ == "__main__" and launcher.workers != BASIC:
        raise ConfigurationError(
            f"hydra/launcher={launcher.workers} runs in other processes, where {cls.__name__} cannot be found: it is "
            "defined in this program itself; put it in a module of its own"
        )


@from_python
def load_sweep(folder: str | Path) -> "SweepResults":
    """Returns the runs of a sweep as `fulmen.sweep` did, or as they are now where it still runs.

    Raises:
        ConfigurationError: there is no sweep in the folder, or its `sweep.yaml` is damaged.
    """
    folder = expand_home(str(folder))
    if not (folder / folders.SWEEP).exists() and folder.is_dir() and folders.was_run(folder):
        raise ConfigurationError(f"{folder} is a single run, not a sweep; fulmen.load loads it")
    return SweepResults(folder)


class SweepResults:
    """The runs of a sweep, as its folder has them when this is made.

    Args:
        folder: the sweep's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._plan = record.read(folder)
        search = self._plan.search
        count = self._plan.jobs if search is None else len(search.trials)  # what a search has not chosen is no run
        self._runs = results.read_all(folder, count)
        self._statuses = [folders.load_status(run.folder) for run in self._runs]

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """A row for each run, in the order of the jobs; the index is the job's number.

        Its columns are those of `leaderboard.csv`: `state`, which is `damaged` where a file cannot be read; `score`;
        the keys that vary, as numbers, booleans and texts; the metrics, NaN where a run came to no good end; then
        `steps`, `seconds` and `folder`.
        """
        import pandas as pd

        settings = [dict(map(split_override, self._plan.own_overrides(run.number))) for run in self._runs]
        metrics = dict.fromkeys(name for run in self._runs for name, value in run.metrics.items() if _is_number(value))
        columns: dict[str, list[Any]] = {
            "state": [run.state for run in self._runs],
            "score": [_number(run.metrics.get(self._plan.score)) for run in self._runs],
        }
        columns |= {key: [_value(key, each.get(key)) for each in settings] for key in self._plan.varying}
        columns |= {name: [_number(run.metrics.get(name)) for run in self._runs] for name in metrics}
        columns |= {name: [_number(status.get(name)) for status in self._statuses] for name in ("steps", "seconds")}
        columns["folder"] = [str(run.folder) for run in self._runs]
        return pd.DataFrame(columns, index=pd.Index([run.number for run in self._runs], name="job"))

    @cached_property
    def curves(self) -> "pd.DataFrame":
        """A row for each value that a run measured during training, in the order of the jobs and of their steps.

        Its columns are `job`, the keys that vary, `step`, `metric`, which is a column of `history.csv`, and `value`,
        NaN where the metric is undefined.
        """
        import pandas as pd

        parts = []
        for run, history in zip(self._runs, self._histories, strict=True):
            values = pd.DataFrame(history, dtype=float)
            if not values.empty:
                part = values.melt("step", var_name="metric")
                part = part.sort_values("step", kind="stable").astype({"step": int})
                parts.append(part.assign(job=run.number))
        curves = pd.concat(parts) if parts else pd.DataFrame(columns=["step", "metric", "value", "job"])
        keys = [*self._plan.varying]
        return curves.join(self.frame[keys], on="job").reset_index(drop=True)[["job", *keys, "step", "metric", "value"]]

    @cached_property
    def _histories(self) -> list[dict[str, list[float]]]:
        """The columns of each run's `history.csv`; nothing of one that cannot be read."""
        found = []
        for run in self._runs:
            try:
                history = folders.read_history(run.folder)
                if not np.isfinite(history.get("step", [])).all():
                    raise ConfigurationError(f"{run.folder / 'history.csv'} has a row without a step")
            except ConfigurationError as error:
                warn(f"job {run.number} is left out of the curves: {error}")
                history = {}
            found.append(history)
        return found

    def compare(self, score: str | None = None) -> Verdict:
        """Compares the configurations over their seeds.

        Args:
            score: the metric; by default the sweep's own.

        Returns:
            Means with intervals, tests of all pairs, and ranks.

        Raises:
            ConfigurationError: no run has that metric, or it is no name.
        """
        if not isinstance(score, str | None):
            raise ConfigurationError(f"compare takes the name of a metric, such as 'val/loss', and not {score!r}")
        board = leaderboard.of_sweep(self._plan, self._runs, score)
        there = dict.fromkeys(name for run in self._runs for name, value in run.metrics.items() if _is_number(value))
        if not there:
            raise ConfigurationError(f"no run in {self.folder} has a score: {self._states()}")
        if not board.groups:
            raise ConfigurationError(f"no run in {self.folder} has {board.score}{alternatives(board.score, there)}")
        for sentence in unlike_losses(board, configurations(board), [str(self.folder)]):
            warn(sentence)
        return verdict(board)

    def _states(self) -> str:
        states = Counter(run.state for run in self._runs)
        return ", ".join(f"{count} {state}" for state, count in states.items()) or "no runs yet"

    def __repr__(self) -> str:
        counts, score = self._states(), self._plan.score
        found = [run.metrics[score] for run in self._runs if _is_number(run.metrics.get(score))]
        if not found:
            return f"<sweep {self.folder}: {counts}>"
        span = f"{score} from {min(found):.4g} to {max(found):.4g}"
        return f"<sweep {self.folder}: {counts}; {span}; compare() tells which configurations differ>"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any) -> float:
    """Returns a number as it is, and not a number for anything else."""
    return value if _is_number(value) else NAN


def _value(key: str, text: str | None) -> float | bool | str | None:
    """Returns what a typed value stands for: a number, a boolean, null or a text; a list stays as it was typed."""
    if text is None:
        return None
    if key in SEEDS and text.isdecimal():  # a thousand of them would take Hydra's parser a second
        return int(text)
    value = read_override(f"{key}={text}").value()
    return value if value is None or isinstance(value, (int, float, str)) else text
