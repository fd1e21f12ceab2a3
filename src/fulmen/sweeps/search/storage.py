"""Where a study is kept, and what a run in another process asks it: whether to be pruned.

It lies in a journal in the sweep's folder, 4 ms a line, where SQLite takes 20; or in a database that machines share.
"""

import functools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import optuna
from filelock import FileLock
from optuna.distributions import distribution_to_json
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection

from fulmen.errors import ConfigurationError, warn
from fulmen.sweeps.record import Search, Sweep
from fulmen.sweeps.search.options import KEYS, address
from fulmen.sweeps.search.optuna_private import live_trial
from fulmen.tasks.names import mode
from fulmen.training.callbacks.pruning import Pruner

JOURNAL: Final = "study.journal"
ABOUT: Final = "about"
"""Attribute of a study: its search space and objectives."""
FIRST_PERCENT: Final = 10
"""Share of a run's steps after which it may be pruned."""


def pruner(sweep: Sweep, folder: Path) -> Pruner | None:
    """Returns a function that decides whether the run in a job's folder is pruned; None where nothing is.

    While the storage does not answer, nothing is pruned, and one warning says so.
    """
    search = sweep.search
    if search is None or search.options["pruner"] == "none":
        return None
    try:
        study = open_study(search, folder.parent)
        number = search.trials[int(folder.name)].number
        frozen = study.get_trials(deepcopy=False)[number]
        trial = live_trial(study, frozen)
        reported = set(frozen.intermediate_values)
    except Exception as error:  # of whichever library is behind an address
        _warn_unpruned(folder, error)
        return None
    is_warned = False

    def should_prune(percent: int, score: float) -> bool:
        nonlocal is_warned
        try:
            if percent not in reported:  # a resumed run has been here before
                trial.report(score, percent)
                reported.add(percent)
            return trial.should_prune()
        except Exception as error:  # as above
            if not is_warned:
                _warn_unpruned(folder, error)
            is_warned = True
            return False

    return should_prune


def _warn_unpruned(folder: Path, error: Exception) -> None:
    cause = " ".join(str(error).split())
    warn(f"job {folder.name} is not pruned while the study does not answer: {cause}")


def open_study(search: Search, folder: Path) -> optuna.Study:
    """Returns the study of a search, made where it is not there yet.

    Raises:
        ConfigurationError: its storage cannot be opened, or holds another study of that name.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = search.options["storage"]
    where = storage or str((folder / JOURNAL).resolve())
    try:
        study = _made(search, where)
    except Exception as error:  # of whichever library is behind an address
        what = f"{KEYS}storage" if storage else str(folder / JOURNAL)
        raise ConfigurationError(f"{what} cannot be opened: {' '.join(str(error).split())}") from error
    _check_same(study, search)
    return study


def _made(search: Search, where: str, tries: int = 2) -> optuna.Study:
    """Creates or load the study; of machines that start together, only one can create the tables, so try twice."""
    modes = {"min": StudyDirection.MINIMIZE, "max": StudyDirection.MAXIMIZE}
    try:
        return optuna.create_study(
            storage=_storage(where),
            sampler=RandomSampler(),
            pruner=_pruner(search.options),
            study_name=search.study,
            directions=[modes[mode(name)] for name in search.objectives],
            load_if_exists=True,
        )
    except Exception:
        if tries == 1:
            raise
        time.sleep(1)
        return _made(search, where, tries - 1)


def _check_same(study: optuna.Study, search: Search) -> None:
    """Raises ConfigurationError where a study of that name chooses from something else, or by something else."""
    mine = {
        "objectives": search.objectives,
        **{one.key: distribution_to_json(one.distribution) for one in search.space},
    }
    if not study.get_trials(deepcopy=False):
        study.set_user_attr(ABOUT, mine)
    found = study.user_attrs.get(ABOUT, {})
    if different := [name for name in {**mine, **found} if mine.get(name) != found.get(name)]:
        what = different[0] if different[0] == "objectives" else f"values of {different[0]}"
        raise ConfigurationError(
            f"the study {search.study} is there already, with other {what}; take another {KEYS}study_name="
        )


@contextmanager
def reached() -> Iterator[None]:
    """Turns the errors of a database that goes away into a sentence.

    Raises:
        ConfigurationError: it has.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("optuna", "sqlalchemy"):
            raise
        raise ConfigurationError(f"the study cannot be reached any more: {' '.join(str(error).split())}") from error


@functools.cache
def _storage(where: str) -> BaseStorage:
    """Returns the connection of this process to a database."""
    if "://" in where or where.startswith("${"):
        return RDBStorage(address(where))
    return JournalStorage(JournalFileBackend(where, _Lock(where)))


class _Lock(JournalFileOpenLock):
    """Optuna's own outlives a process that is killed, and the next one waits for it half a minute."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.lock = FileLock(f"{path}.lock")

    def acquire(self) -> bool:
        self.lock.acquire()
        return True

    def release(self) -> None:
        self.lock.release()


def cut(journal: Path) -> None:
    """Takes away a last line that is not whole, as a killed process leaves it: the next one would be added to it."""
    if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
        with journal.open("r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


def _pruner(options: dict[str, Any]) -> BasePruner:
    if options["pruner"] == "median":
        return MedianPruner(n_startup_trials=options["n_startup_trials"], n_warmup_steps=FIRST_PERCENT)
    if options["pruner"] == "hyperband":
        return HyperbandPruner(min_resource=FIRST_PERCENT, max_resource=100)
    return NopPruner()
