"""A test of learning rates: which of many would do best in the whole run, for a tenth of the steps of a grid.

Many rates begin the run as it will be, with its batches and its schedule, and each with several seeds. At a few steps
those that are behind are dropped, so that most of the steps are spent on the few that are hard to tell apart:
successive halving (Jamieson and Talwalkar, "Non-stochastic best arm identification", AISTATS 2016). A test that
compares all rates once and early (Smith, "Cyclical learning rates", WACV 2017) favours those that are too large for a
long run. docs/tuning.md says how often this one is right.

Copies of a network that can be stacked train as one. Others train one by one; of those there are fewer.

Shapes: R rates, S seeds, C = R·S copies, F columns of the history.
"""

import functools
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fulmen.errors import ConfigurationError, Diverged, Impossible, Pruned, one_line
from fulmen.experiment import run, stacked
from fulmen.experiment.experiment import Experiment, Session
from fulmen.experiment.prepare import prepare
from fulmen.figures.options import FigureOptions
from fulmen.runs import folder as folders
from fulmen.tasks.names import mode
from fulmen.training.plan import Plan
from fulmen.training.recipe import settings
from fulmen.training.stack.fit import Fit

DECADES = 3
"""Between the rate of the configuration and either end of what is tried."""
PER_DECADE = 2
SEEDS = 3
RUNGS = ((0.05, 3), (0.15, 2), (0.3, 1))
"""Shares of the run's steps, and how many rates are left after them: first the best one and its neighbours, then the
best."""
FEWEST = 10
"""Steps before a rate is dropped, at least: after one or two all are alike."""
TIED = 0.02
"""Share of the best score within which the first rung tells nothing. Of such rates it takes the largest for the best:
that one is the first to leave a plateau, where all look alike."""
ALONE = 0.1
"""Share of the run for which networks train that cannot be stacked."""
WIDER = 2
"""Times that the range is moved on where the best rate is the last in it."""
MEASURED = 40
"""Times that a run would be measured, were it trained to its end."""


@dataclass(frozen=True)
class Tested:
    """A rate, and how far it came."""

    rate: float
    steps: int
    """After which it was dropped, or the test ended."""
    scores: list[float]
    """The score of each seed, [S], the best up to then unless `weights=last`; infinite where it diverged."""
    first: list[float]
    """The same when the first rates were dropped, [S]."""

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores))


@dataclass(frozen=True)
class RateTest:
    """The outcome of a test of learning rates."""

    score: str
    total_steps: int
    """Of the whole run."""
    seeds: list[int]
    tested: list[Tested]
    """In the order of their rates; one of them at least did not diverge."""
    why_alone: str | None
    """Why the networks did not train as one; None if they did."""

    @property
    def best(self) -> Tested:
        """The best of the rates that came furthest."""
        sign = 1 if mode(self.score) == "min" else -1
        return min((each for each in self.tested if math.isfinite(each.mean)), key=lambda e: (-e.steps, sign * e.mean))

    @property
    def is_at_edge(self) -> bool:
        """True if all that was tried lies on one side of the best rate."""
        return self.best.rate in (self.tested[0].rate, self.tested[-1].rate)

    @property
    def rivals(self) -> list[Tested]:
        """The rates that came as far as the best one."""
        return [each for each in self.tested if each.steps == self.best.steps and each is not self.best]

    @property
    def is_tied(self) -> bool:
        """True if another rate has the very same score, as an accuracy that no rate has moved."""
        return any(each.mean == self.best.mean for each in self.rivals)

    @property
    def steps(self) -> int:
        """The steps of all copies together."""
        return sum(each.steps * len(each.scores) for each in self.tested)

    @property
    def stages(self) -> list[int]:
        """The steps after which all rates, and then the last ones, were compared."""
        return sorted({min(each.steps for each in self.tested if math.isfinite(each.mean)), self.best.steps})

    def scores_at(self, step: int) -> list[list[float]]:
        """Returns the scores of each rate at one of the stages, [R, S]; NaN where it was dropped before."""
        is_first = step == self.stages[0]
        gone = [math.nan] * len(self.seeds)
        return [each.first if is_first else each.scores if each.steps >= step else gone for each in self.tested]

    @property
    def reason(self) -> str:
        """A sentence on why this rate is the best."""
        best, seeds = self.best, ", ".join(map(str, self.seeds))
        said = f"of {len(self.tested)} rates from {self.tested[0].rate:g} to {self.tested[-1].rate:g} it had the best "
        said += f"{self.score} after {best.steps} of {self.total_steps} steps: {best.mean:.4g}"
        if len(self.seeds) > 1:
            said += f", the mean over the seeds {seeds}"
        if self.rivals:
            sign = 1 if mode(self.score) == "min" else -1
            rival = min(self.rivals, key=lambda each: sign * each.mean)
            said += f"; next came {rival.rate:g} with {rival.mean:.4g}"
        return said


def find(experiment: Experiment, why_alone: str | None, say: Callable[[str], object]) -> RateTest:
    """Tests learning rates around that of an experiment, and further on while the best is the last one; writes nothing.

    Args:
        experiment: whose rate is sought.
        why_alone: why its copies cannot be stacked, as far as the configuration says; None if they may.
        say: is told how far the test is.

    Raises:
        ConfigurationError: the optimizer has no rate, or all rates diverge.
        ValueError: parts do not fit each other or the machine, or the data cannot be loaded.
    """
    around = settings(experiment.recipe.optimizer).get("lr")
    if not isinstance(around, (int, float)):
        raise ConfigurationError("optimizer.lr is not among the keys of this optimizer, so there is no rate to tune")
    if experiment.trainer.devices > 1:
        raise ConfigurationError(
            f"rates are tested on one device; leave out trainer.devices={experiment.trainer.devices}, and for as many "
            "rows in a step multiply data.batch_size by it"
        )
    experiment = replace(experiment, logger=None, baseline=None, figures=FigureOptions())
    seeds = [(experiment.recipe.seed + index) % 2**32 for index in range(SEEDS)]
    tested, low, high = list[Tested](), -DECADES, DECADES
    for _ in range(1 + WIDER):
        if why_alone is None:
            try:
                more, total_steps = _together(experiment, _rates(around, low, high, PER_DECADE), seeds, say)
            except Impossible as error:
                why_alone = str(error)
        if why_alone is not None:
            seeds = seeds[:1]
            say(f"the networks train one by one, for {ALONE:.0%} of the run each: {why_alone}")
            more, total_steps = _one_by_one(experiment, _rates(around, low, high, PER_DECADE), say)
        known = {each.rate for each in tested}
        tested = sorted([*tested, *(each for each in more if each.rate not in known)], key=lambda each: each.rate)
        found = RateTest(experiment.score, total_steps, seeds, tested, why_alone)
        diverged = not any(math.isfinite(each.mean) for each in tested)
        if not diverged and not found.is_at_edge:
            return found
        below = diverged or found.best is tested[0]
        low, high = (low - DECADES, low) if below else (high, high + DECADES)
        which, way = ("smallest", "smaller") if below else ("largest", "larger")
        what = "all rates diverge" if diverged else f"the best rate, {found.best.rate:g}, is the {which}"
        say(f"{what}: {way} ones follow")
    if diverged:
        raise ConfigurationError(
            f"all {len(tested)} learning rates from {tested[0].rate:g} to {tested[-1].rate:g} diverge; look at the "
            "data's scale (data.scale=both), or give a smaller optimizer.lr, around which others are tried"
        )
    return found


def _rates(around: float, low: int, high: int, per_decade: int) -> list[float]:
    """Returns rates of three digits, as they are then typed, that many decades from the one in the middle."""
    exponents = np.arange(per_decade * low, per_decade * high + 1) / per_decade
    return [float(f"{around * 10.0**exponent:.3g}") for exponent in exponents]


def _with(experiment: Experiment, rate: float, seed: int) -> Experiment:
    recipe = replace(experiment.recipe, seed=seed, optimizer=functools.partial(experiment.recipe.optimizer, lr=rate))
    return replace(experiment, recipe=recipe)


@dataclass(frozen=True)
class _OftenMeasured(Plan):
    """The plan of a run that is measured in the middle of a pass as well, unless its rate depends on passes."""

    def interval_end(self, step: int) -> int:
        if self.every_pass:
            return super().interval_end(step)
        length = math.ceil(self.total_steps / MEASURED)
        return min((step // length + 1) * length, *(end for end, _ in rungs(self) if end > step), self.total_steps)


def rungs(plan: Plan) -> list[tuple[int, int]]:
    """Returns steps, and how many rates are left after them."""
    return [(max(int(share * plan.total_steps), min(FEWEST, plan.total_steps)), left) for share, left in RUNGS]


def _together(
    experiment: Experiment, rates: Sequence[float], seeds: Sequence[int], say: Callable[[str], object]
) -> tuple[list[Tested], int]:
    """Tests rates in a stack; returns what became of each, and the steps of the whole run.

    Raises:
        Impossible: the network cannot be stacked, or so many do not fit into memory.
    """
    with run.host_unchanged():
        options = replace(experiment.trainer, compile=False)
        prepared = prepare(replace(experiment, trainer=options))
        prepared = replace(prepared, plan=_OftenMeasured(**vars(prepared.plan)))
        experiments = [_with(prepared.experiment, rate, seed) for rate in rates for seed in seeds]
        sessions = [Session(folder=Path()) for _ in experiments]  # in which nothing is written
        try:
            if stacked.fitting(prepared, experiments, sessions) < len(experiments):
                raise Impossible(f"{len(experiments)} copies of the network do not fit into memory")
            stack = stacked.prepare_stack(prepared, experiments, sessions)
        except Impossible:
            raise
        except Exception as error:  # whatever a network's code may raise; if it is wrong, it is so by itself as well
            raise Impossible(one_line(error)) from error
        torch.set_num_threads(stack.threads)
        halving = _Halving(stack.fit, rates, len(seeds), say, keeps_best=experiment.weights == "best")
        stack.fit.run(halving, lambda: None)
    return halving.tested, prepared.plan.total_steps


class _Halving:
    """Freezes copies whose rate is behind, at each rung.

    Args:
        fit: that trains the copies: of the first rate all seeds, then of the second.
        rates: [R].
        seeds: S.
        say: is told which rates are left.
        keeps_best: whether the best score so far counts; else the last one.
    """

    def __init__(
        self, fit: Fit, rates: Sequence[float], seeds: int, say: Callable[[str], object], *, keeps_best: bool
    ) -> None:
        self.fit, self.rates, self.seeds, self.say, self.keeps_best = fit, rates, seeds, say, keeps_best
        self.sign = 1 if fit.plan.mode == "min" else -1
        self.column = fit.columns.index(fit.score)
        self.best = np.full(fit.copies, math.inf)
        """The scores that count, [C], of which less is better."""
        self.rungs = rungs(fit.plan)
        self.left = list(range(len(rates)))
        self.first: NDArray[np.float64] | None = None
        self.ends: dict[int, int] = {}
        """The steps after which rates were dropped."""

    def __call__(self, step: int, rows: NDArray[np.float64]) -> None:
        """Takes the scores of all copies at a step, in rows of the history, [C, F]."""
        scores = np.where(np.isfinite(rows[:, self.column]), self.sign * rows[:, self.column], math.inf)
        running = self.fit.running
        self.best[running] = np.minimum(self.best, scores)[running] if self.keeps_best else scores[running]
        diverged = [copy for copy, error in self.fit.ends.items() if isinstance(error, Diverged)]
        self.best[diverged] = math.inf
        means = self.best.reshape(len(self.rates), self.seeds).mean(1)
        while self.rungs and step >= self.rungs[0][0]:
            _, count = self.rungs.pop(0)
            if self.first is None:
                self.first = self.best.copy()
            ordered = sorted(self.left, key=lambda place: means[place])
            best = means[ordered[0]]
            if len(ordered) == len(self.rates) and math.isfinite(best):
                middle = max(place for place in ordered if means[place] <= best + TIED * abs(best))
                ordered.sort(key=lambda place: abs(place - middle))
                count = sum(abs(place - middle) <= 1 for place in ordered)
            self.left = sorted(ordered[:count])
            dropped = ordered[count:] if self.rungs else ordered
            self.ends |= dict.fromkeys(dropped, step)
            for place in dropped:
                for copy in range(place * self.seeds, (place + 1) * self.seeds):
                    if copy not in self.fit.ends:
                        self.fit.freeze(copy, None)
            kept = ", ".join(f"{self.rates[place]:g}" for place in self.left)
            self.say(
                f"step {step} of {self.fit.plan.total_steps}: {len(self.left)} of {len(ordered)} rates left: {kept}"
            )

    @property
    def tested(self) -> list[Tested]:
        """What became of the rates."""
        scores = self.sign * self.best.reshape(len(self.rates), self.seeds)
        first = scores if self.first is None else self.sign * self.first.reshape(scores.shape)
        return [
            Tested(rate, self.ends.get(place, self.fit.number), scores[place].tolist(), first[place].tolist())
            for place, rate in enumerate(self.rates)
        ]


def _one_by_one(
    experiment: Experiment, rates: Sequence[float], say: Callable[[str], object]
) -> tuple[list[Tested], int]:
    """Tests rates in runs of their own, in a folder that is deleted; returns what `_together` does."""
    sign, seed, found = (1 if mode(experiment.score) == "min" else -1), experiment.recipe.seed, list[Tested]()
    total_steps = prepare(experiment).plan.total_steps
    for rate in rates:
        seen = list[float]()

        def is_enough(percent: int, score: float, seen: list[float] = seen) -> bool:
            seen.append(sign * score)
            return percent >= 100 * ALONE

        with tempfile.TemporaryDirectory() as name:
            folder = Path(name, "run")
            session = Session(folder=folder, verbose=False, pruner=is_enough)
            try:
                seen.append(sign * run.train(_with(experiment, rate, seed), session).metrics[experiment.score])
            except Diverged:
                seen = [math.inf]
            except Pruned:
                pass
            steps = int(folders.load_status(folder)["steps"])
        best = sign * (min(seen) if experiment.weights == "best" else seen[-1])
        found.append(Tested(rate, steps, [best], [best]))
        say(f"{rate:g}: {experiment.score} {best:.4g} after {steps} of {total_steps} steps")
    return found, total_steps
