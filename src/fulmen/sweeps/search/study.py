"""The study behind a search: Optuna, which is asked what to try next and told how it went.

`sweep.yaml` says which trial each job is, so a process may be killed anywhere between the two: whatever is then
in only one of them is found at the next start.
"""

import math
import random
import secrets
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from fulmen.sweeps.leaderboard import Importance
from fulmen.sweeps.record import Search, Trial
from fulmen.sweeps.results import Result
from fulmen.sweeps.search.optuna_private import live_trial
from fulmen.sweeps.search.space import size
from fulmen.sweeps.search.storage import JOURNAL, cut, open_study

LOST: Final = "lost"
"""Marks a trial that was asked for and never became a job."""
REFUSED: Final = "refused"
"""Attribute of a lost trial: why its choice makes no configuration, so that it is not tried again."""
TOKEN: Final = "token"
"""Tells a trial that is added from those that others add at the same moment."""
FEWEST: Final = 4
"""Completed trials from which anything can be said of what matters."""


class Study:
    """The study of one search.

    Args:
        search: what it is about.
        folder: the sweep's.

    Raises:
        ConfigurationError: the storage cannot be opened, or holds another study of that name.
    """

    def __init__(self, search: Search, folder: Path) -> None:
        self.search, self.is_private = search, search.options["storage"] is None
        self.distributions = {one.key: one.distribution for one in search.space}
        if self.is_private:
            cut(folder / JOURNAL)
        self.optuna = open_study(search, folder)

    @property
    def count(self) -> int:
        """Trials that are a run, or were one."""
        if self.is_private:
            return len(self.search.trials)
        runs = [one for one in self._trials() if LOST not in one.user_attrs and one.state != TrialState.WAITING]
        whole = [one for one in runs if self._is_whole(one)]
        return len({tuple(self._words(one.params)) for one in whole}) + len(runs) - len(whole)

    @property
    def is_finite(self) -> bool:
        """Returns whether the search space is finite."""
        return size(self.search.space) is not None

    @property
    def is_exhausted(self) -> bool:
        """Returns whether every point of a finite space was tried or refused."""
        return self.is_finite and self._next_point() is None

    def ask(self) -> Trial | None:
        """Returns the next trial, or None once all were tried.

        A repeated run would end as it did, so a sampler that repeats one is passed over.
        """
        if self.search.options["sampler"] == "grid":
            return self._take_next_point()
        trial = self._ask(_sampler(self.search, len(self._trials())))
        if not self._is_repeated(trial):
            return trial
        self.lose(trial.number)
        return self._take_next_point() if self.is_finite else self._ask(RandomSampler(seed=trial.number))

    def _ask(self, sampler: BaseSampler) -> Trial:
        self.optuna.sampler = sampler
        trial = self.optuna.ask(self.distributions)
        return Trial(trial.number, self._words(trial.params))

    def _words(self, params: dict[str, Any]) -> list[str]:
        return [f"{one.key}={one.text(params[one.key])}" for one in self.search.space]

    def _is_whole(self, trial: FrozenTrial) -> bool:
        """Returns whether a trial has a value for every key."""
        return trial.params.keys() == self.distributions.keys()

    def _tried(self) -> dict[tuple[str, ...], int]:
        """Returns the overrides of all trials that are a run or cannot be one, each with its first number."""
        found = [one for one in self._trials() if LOST not in one.user_attrs or REFUSED in one.user_attrs]
        return {tuple(self._words(one.params)): one.number for one in reversed(found) if self._is_whole(one)}

    def _is_repeated(self, trial: Trial) -> bool:
        """Returns whether an earlier trial is the same; of machines that choose the same at once, one keeps it."""
        return self._tried().get(tuple(trial.words), trial.number) < trial.number

    def runs(self, trial: Trial) -> bool:
        """Returns whether the result of a trial is still unknown."""
        return self._trials()[trial.number].state == TrialState.RUNNING

    def tell(self, trial: Trial, result: Result) -> None:
        """Reports a run's result; a figure that is not finite is a failure, like any state but completed or pruned."""
        values = [float(result.metrics.get(name, math.nan)) for name in self.search.objectives]
        if result.state == "pruned":
            self.optuna.tell(trial.number, state=TrialState.PRUNED)
        elif result.state == "completed" and all(map(math.isfinite, values)):
            self.optuna.tell(trial.number, values)
        else:
            self.optuna.tell(trial.number, state=TrialState.FAIL)

    def lose(self, number: int, **marks: str) -> None:
        """Fails a trial that became no job."""
        trial = live_trial(self.optuna, self._trials()[number])
        for name, value in {LOST: True, **marks}.items():
            trial.set_user_attr(name, value)
        self.optuna.tell(number, state=TrialState.FAIL)

    def refuse(self, number: int, why: str) -> None:
        """Fails a trial whose choice makes no configuration."""
        self.lose(number, **{REFUSED: why})

    def refusals(self) -> list[str]:
        """Returns the reasons why choices made no configuration."""
        return [trial.user_attrs[REFUSED] for trial in self._trials() if REFUSED in trial.user_attrs]

    def recover(self) -> None:
        """Tries once more what was chosen and never became a job, because the process was killed just then.

        In a database that others use, nobody can say that of a trial of theirs.
        """
        known = {trial.number for trial in self.search.trials}
        for trial in self._trials() if self.is_private else ():
            if trial.state == TrialState.RUNNING and trial.number not in known:
                self.lose(trial.number)
                if self._is_whole(trial) and self.search.options["sampler"] != "grid":  # which finds it by itself
                    self.optuna.enqueue_trial(trial.params)

    def again(self, trial: Trial) -> Trial:
        """Adds a new trial with the parameters of one that has failed, of which nothing more can be told."""
        return self._add(self._trials()[trial.number].params)

    def _add(self, params: dict[str, Any]) -> Trial:
        """Adds a new trial that has its parameters from its first moment."""
        token = secrets.token_hex(8)
        self.optuna.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions=self.distributions,
                user_attrs={TOKEN: token},
            )
        )
        new = next(one for one in reversed(self._trials()) if one.user_attrs.get(TOKEN) == token)
        return Trial(new.number, self._words(params))

    def completed(self) -> list[tuple[int, list[float]]]:
        """Returns number and values of the trials that completed."""
        found = self.optuna.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return [(trial.number, trial.values) for trial in found]

    def best(self) -> list[bool]:
        """Returns those that no other is better than in every objective."""
        best = {trial.number for trial in self.optuna.best_trials}
        return [number in best for number, _ in self.completed()]

    def importance(self) -> Importance | None:
        """Returns which keys matter; None where there are too few completed trials, or several objectives."""
        scores = [values[0] for _, values in self.completed()]
        if len(self.search.objectives) > 1 or len(scores) < FEWEST or len(set(scores)) == 1:
            return None
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.search.seed)
        shares = optuna.importance.get_param_importances(self.optuna, evaluator=evaluator)
        lost = [trial.state for trial in self._trials() if LOST not in trial.user_attrs]
        ends = {"pruned": lost.count(TrialState.PRUNED), "failed": lost.count(TrialState.FAIL)}
        left_out = {state: count for state, count in ends.items() if count}
        return Importance(self.search.objectives[0], len(scores), left_out, dict(shares))

    def _trials(self) -> list[FrozenTrial]:
        return self.optuna.get_trials(deepcopy=False)

    def _take_next_point(self) -> Trial | None:
        """Returns a point that was not tried, if there is one that no other machine takes first.

        Optuna's own grid counts lost trials, and would leave out theirs.
        """
        while (point := self._next_point()) is not None:
            trial = self._add(point)
            if not self._is_repeated(trial):
                return trial
            self.lose(trial.number)
        return None

    def _next_point(self) -> dict[str, Any] | None:
        """Returns a point that was not tried, at random: one more than were tried hold one, unless all were."""
        counts, tried = [one.count or 0 for one in self.search.space], self._tried()
        points = math.prod(counts)
        for place in random.Random(self.search.seed).sample(range(points), min(points, len(tried) + 1)):
            point = {}
            for one, count in zip(self.search.space, counts, strict=True):
                place, own = divmod(place, count)
                point[one.key] = one.point(own)
            if tuple(self._words(point)) not in tried:
                return point
        return None


def _sampler(search: Search, trials: int) -> BaseSampler:
    """Returns the sampler. Each trial has its own seed: a resumed search repeats nothing."""
    seed = int(np.random.SeedSequence([search.seed, trials]).generate_state(1)[0])
    first = search.options["n_startup_trials"]
    if search.options["sampler"] == "tpe":
        return TPESampler(n_startup_trials=first, seed=seed)
    if search.options["sampler"] == "gp":
        return GPSampler(n_startup_trials=first, seed=seed, warn_independent_sampling=False)
    if search.options["sampler"] == "cmaes":
        return CmaEsSampler(n_startup_trials=max(first, 1), seed=seed, warn_independent_sampling=False)
    return RandomSampler(seed=seed)
