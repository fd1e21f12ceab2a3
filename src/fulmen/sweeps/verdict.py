"""Which configuration is best, and whether that is luck: intervals and tests over seeds.

Of each configuration the mean over its seeds has a 95% interval by Student's t. Every pair is compared: by the paired
t-test on the seeds that they share, or by Welch's test (1947) where they share too few. Where all seeds show the same
difference, as accuracies on few rows do, t would be infinite, however few they are: the exact permutation test takes
its place (Fisher: The design of experiments, 1935). The p-values are corrected for their number by Holm's method
(1979), so that among configurations that are all the same a difference is claimed in 5% of sweeps, and not in 5% of
pairs. The seeds that a difference would need follow from the power of the same test (Cohen: Statistical power analysis,
1988). Assumed is that seeds are independent and their mean about normal.

Shapes: G configurations, S seeds.
"""

import bisect
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fulmen.sweeps.leaderboard import Board, Group
from fulmen.tasks.names import mode

LEVEL: Final = 0.05
"""How often a difference may be claimed where there is none."""
POWER: Final = 0.8
"""How often a difference of the size that was seen is to be found with the seeds that are advised."""
FEW: Final = 5
"""Seeds up to which they are said to be few."""
ALL_PAIRS: Final = 100
"""Configurations of which a file lists all pairs; those of a thousand would take 100 MB."""
MOST_SEEDS: Final = 1000
"""Seeds needed that are still computed."""
PRACTICAL: Final = 100
"""Seeds that are advised at most; what needs more to be seen matters less than the seed."""
ROUNDING: Final = 1e-9
"""A standard error so small beside the difference is none: the same difference, rounded in other ways."""
SAME: Final = 1e-6
"""A difference so small beside the scores is none: sums in single precision that were rounded in other ways."""


@dataclass(frozen=True)
class Estimate:
    """The score of a configuration over its seeds."""

    settings: Mapping[str, str]
    """The keys that vary, as typed."""
    seeds: int
    mean: float
    std: float | None
    """None of one seed."""
    low: float | None
    """The 95% interval of the mean."""
    high: float | None
    rank: int
    """1, and 1 more for each configuration that is better and not by luck; equal where none is."""


@dataclass(frozen=True)
class Comparison:
    """Two configurations, by their places in the order of their means."""

    better: int
    """The one with the better mean."""
    worse: int
    test: Literal["paired t-test", "Welch's t-test", "permutation test"]
    seeds: int
    """Pairs, or those of the one that has fewer."""
    difference: float
    """How much better the mean is; of pairs, over the seeds that both have, and so it may be negative."""
    low: float
    """The 95% interval of that, for this pair alone."""
    high: float
    effect: float
    """The difference in standard deviations: of the differences of pairs, or pooled (Cohen's d); 0 where all agree."""
    p: float
    """How often so large a difference comes about by luck, corrected by Holm's method."""
    needed: int | None
    """Seeds with which it would probably be told from luck, where the better one is the best of all; None if there are
    enough, or more than can be advised."""

    @property
    def is_clear(self) -> bool:
        """True if the better one is better, and not by luck."""
        return self.p < LEVEL and self.difference > 0


@dataclass(frozen=True)
class Verdict:
    """What can be said of a leaderboard."""

    score: str
    estimates: list[Estimate]
    """In the order of their means."""
    comparisons: list[Comparison]
    """Of all pairs of configurations with several seeds; of none if the score is a loss, and the losses differ."""

    @property
    def is_comparable(self) -> bool:
        """False if the score is a loss, and the losses differ."""
        return has_one_meaning(self.score, [key for estimate in self.estimates for key in estimate.settings])

    @property
    def equals(self) -> list[int]:
        """The places of configurations that cannot be told from the best, itself included."""
        return [place for place, estimate in enumerate(self.estimates) if estimate.rank == 1]

    def __str__(self) -> str:
        from fulmen.sweeps.sentences import sentences  # which imports this file

        return "\n".join(sentences(self)) or "no run has a score"

    def of_best(self, place: int) -> Comparison | None:
        """Returns the comparison of a configuration with the one whose mean is best."""
        return next((each for each in self.comparisons if (each.better, each.worse) == (0, place)), None)

    def plain(self) -> dict[str, Any]:
        """Returns all of it as plain values; of very many configurations, only the comparisons with the best."""
        are_few = len(self.estimates) <= ALL_PAIRS
        return {
            "score": self.score,
            "level": LEVEL,
            "correction": "Holm",
            "configurations": [vars(estimate) | {"settings": dict(estimate.settings)} for estimate in self.estimates],
            "compared": "all pairs" if are_few else "the best with each other one",
            "comparisons": [
                vars(each) | {"clear": each.is_clear} for each in self.comparisons if are_few or each.better == 0
            ],
        }


def verdict(board: Board) -> Verdict:
    """Compares the configurations of a leaderboard."""
    groups, sign = board.groups, 1 if mode(board.score) == "min" else -1
    seeds = list(dict.fromkeys(seed for group in groups for seed in group.by_seed))
    column = {seed: index for index, seed in enumerate(seeds)}
    scores = np.full((len(groups), len(seeds)), np.nan)
    for row, group in zip(scores, groups, strict=True):
        for seed, score in zip(group.by_seed, group.scores, strict=True):
            row[column[seed]] = score
    found = _comparisons(sign * scores) if has_one_meaning(board.score, board.keys) else []
    better = Counter(each.worse for each in found if each.is_clear)
    return Verdict(board.score, [_estimate(group, 1 + better[place]) for place, group in enumerate(groups)], found)


def has_one_meaning(score: str, keys: Iterable[str]) -> bool:
    """Returns False if the score is a loss, and the keys that vary choose it."""
    return not score.endswith("/loss") or all(key.partition(".")[0] != "loss" for key in keys)


def _estimate(group: Group, rank: int) -> Estimate:
    count, mean, std = len(group.scores), group.mean, group.spread
    if std is None:
        return Estimate(group.settings, count, mean, None, None, None, rank)
    from scipy.special import stdtrit  # `scipy.stats` takes half a second to import

    half = float(stdtrit(count - 1, 1 - LEVEL / 2)) * std / math.sqrt(count)
    return Estimate(group.settings, count, mean, std, mean - half, mean + half, rank)


def _comparisons(scores: NDArray[np.float64]) -> list[Comparison]:
    """Compares all pairs of rows that have several seeds.

    Args:
        scores: [G, S], smaller is better, the smallest mean first; NaN where a configuration lacks a seed.
    """
    several = np.flatnonzero(np.isfinite(scores).sum(1) > 1)
    if len(several) < 2:
        return []
    from scipy.special import stdtr, stdtrit

    rows = scores[several]
    first, second = np.triu_indices(len(rows), 1)
    found = np.concatenate([_differences(row, rows[place + 1 :]) for place, row in enumerate(rows[:-1])], axis=1)
    means, errors, freedoms, effects, shared, paired, least = found
    sizes = np.abs(np.nanmean(rows, 1))
    is_rounding = np.maximum(np.abs(means), errors) <= SAME * np.minimum(sizes[first], sizes[second])
    means, errors, effects = np.where(is_rounding, 0.0, (means, errors, effects))
    varies = errors > ROUNDING * np.abs(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(freedoms, -np.abs(means) / errors)
    corrected = _holm(np.where(varies, p, np.where(means == 0, 1.0, least)))
    halves = stdtrit(freedoms, 1 - LEVEL / 2) * errors
    level = LEVEL / len(means)  # the first step of Holm's method, which the smallest p-value must pass
    needed: list[int | None] = [None] * len(means)
    for index in range(len(rows) - 1):  # the pairs of the best; of others nobody asks
        if corrected[index] >= LEVEL:
            needed[index] = (
                _needed(float(effects[index]), level, bool(paired[index]), int(shared[index]))
                if varies[index] or means[index] == 0
                else math.ceil(1 - math.log2(level))  # of pairs; unpaired seeds are at least as many
            )
    tests: list[Literal["paired t-test", "Welch's t-test", "permutation test"]] = [
        ("paired t-test" if is_paired else "Welch's t-test") if differs else "permutation test"
        for is_paired, differs in zip(paired, varies, strict=True)
    ]
    columns = (
        several[first], several[second], shared.astype(int), means, means - halves, means + halves, effects * varies,
        corrected,
    )  # fmt: skip
    values = zip(*(column.tolist() for column in columns), tests, needed, strict=True)
    return [
        Comparison(one, two, test, seeds, mean, low, high, effect, p_value, seeds_needed)
        for one, two, seeds, mean, low, high, effect, p_value, test, seeds_needed in values
    ]


def _differences(one: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compares a row, [S], with N others, [N, S], in pairs if each seed of the row that has fewer is the other's, too.

    Returns:
        [7, N]: how much larger the other's mean is, its standard error and degrees of freedom, the effect, the seeds,
        1 if they are pairs, and the p-value of the exact permutation test if all seeds show the same difference.
    """
    from scipy.special import binom

    pairs, own = _Moments(others - one), _Moments(one[None])
    there = _Moments(others)
    fewer = np.minimum(own.count, there.count)
    parts = own.var / own.count, there.var / there.count
    below = parts[0] ** 2 / (own.count - 1) + parts[1] ** 2 / (there.count - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        freedom = np.where(below > 0, (parts[0] + parts[1]) ** 2 / below, own.count + there.count - 2)
    unpaired = [there.mean - own.mean, np.sqrt(parts[0] + parts[1]), freedom, np.sqrt((own.var + there.var) / 2)]
    least = 2 / binom(own.count + there.count, own.count)
    paired = [pairs.mean, np.sqrt(pairs.var / np.maximum(pairs.count, 1)), pairs.count - 1.0, np.sqrt(pairs.var)]
    is_paired = pairs.count == fewer
    mean, error, freedom, std = np.where(is_paired, paired, unpaired)
    effect = np.divide(mean, std, out=np.zeros_like(mean), where=std > 0)
    return np.stack([mean, error, freedom, effect, fewer, is_paired, np.where(is_paired, 2.0 ** (1 - fewer), least)])


class _Moments:
    """Count, mean and variance of the finite values of each row.

    Args:
        values: [N, S].
    """

    def __init__(self, values: NDArray[np.float64]) -> None:
        finite = np.isfinite(values)
        self.count = finite.sum(1).astype(float)
        self.mean = np.where(finite, values, 0.0).sum(1) / np.maximum(self.count, 1)
        squares = np.where(finite, values - self.mean[:, None], 0.0) ** 2
        self.var = squares.sum(1) / np.maximum(self.count - 1, 1)


def _holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns p-values corrected by Holm's method: the smallest times their number, the next times one less ..."""
    order = np.argsort(p)
    scaled = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(scaled, 1.0)
    return corrected


def _needed(effect: float, level: float, paired: bool, there: int) -> int | None:
    """Returns the seeds with which a test finds an effect with the power wanted; None if they are too many."""
    if effect <= 0:
        return None
    from scipy.special import nctdtr, stdtrit

    def finds(seeds: int) -> bool:
        freedom = seeds - 1 if paired else 2 * (seeds - 1)
        shift = effect * math.sqrt(seeds if paired else seeds / 2)
        power = 1 - float(nctdtr(freedom, shift, stdtrit(freedom, 1 - level / 2)))
        return power >= POWER or math.isnan(power)  # so it is where the effect is very large

    seeds = there + 1 + bisect.bisect_left(range(there + 1, MOST_SEEDS + 1), True, key=finds)
    return seeds if seeds <= MOST_SEEDS else None


def advised_seeds(found: Verdict) -> int | None:
    """Returns how many seeds to run next: those that would tell the two best apart, or enough for a first look.

    None where nothing is left to tell, or it would take more seeds than are practical.
    """
    if len(found.estimates) < 2 or not found.is_comparable:
        return None
    if not found.comparisons:
        return 2 * FEW
    equals = [place for place in found.equals if place > 0]
    nearest = found.of_best(equals[0]) if equals else None
    if nearest is None or nearest.needed is None or nearest.needed > PRACTICAL:
        return None
    return nearest.needed
