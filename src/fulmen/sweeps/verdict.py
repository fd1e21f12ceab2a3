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

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fulmen.errors import command
from fulmen.rules import split_override
from fulmen.runs.folder import load_status
from fulmen.runs.settings import SEEDS, TARGET, Settings, differing, settings, short, typed
from fulmen.sweeps.leaderboard import LOST, Board, Group
from fulmen.tasks.names import LOSSES, mode

LEVEL: Final = 0.05
"""How often a difference may be claimed where there is none."""
POWER: Final = 0.8
"""How often a difference of the size that was seen is to be found with the seeds that are advised."""
FEW: Final = 5
"""Seeds up to which they are said to be few."""
MOST_SEEDS: Final = 1000
"""Seeds that are advised at most."""
ROUNDING: Final = 1e-9
"""A standard error so small beside the difference is none: the same difference, rounded in other ways."""
TRAINING: Final = ("optimizer", "scheduler", "trainer", "penalty", "init", "backprop")
"""Groups whose keys are worth a remark where they differ unasked; those of data and model follow from the choice."""
CHOICES: Final = ("data", "data.batch_size", "model", "loss")
"""Further keys that are."""
LENGTH: Final = ("trainer.max_epochs", "trainer.max_steps")
"""Keys that a run may be resumed with."""
MOST_VALUES: Final = 5
"""Values of a key that a remark lists."""


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
    """How much better the mean is."""
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
        return self.p < LEVEL


@dataclass(frozen=True)
class Verdict:
    """What can be said of a leaderboard."""

    score: str
    estimates: list[Estimate]
    """In the order of their means."""
    comparisons: list[Comparison]
    """Of all pairs of configurations with several seeds."""

    @property
    def equals(self) -> list[int]:
        """The places of configurations that cannot be told from the best, itself included."""
        return [place for place, estimate in enumerate(self.estimates) if estimate.rank == 1]

    def __str__(self) -> str:
        return "\n".join(sentences(self)) or "no run has a score"

    def of_best(self, place: int) -> Comparison | None:
        """Returns the comparison of a configuration with the one whose mean is best."""
        return next((each for each in self.comparisons if (each.better, each.worse) == (0, place)), None)

    def plain(self) -> dict[str, Any]:
        """Returns all of it as plain values."""
        return {
            "score": self.score,
            "level": LEVEL,
            "correction": "Holm",
            "configurations": [vars(estimate) | {"settings": dict(estimate.settings)} for estimate in self.estimates],
            "comparisons": [vars(each) | {"clear": each.is_clear} for each in self.comparisons],
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
    found = _comparisons(sign * scores)
    better = [sum(each.is_clear for each in found if each.worse == place) for place in range(len(groups))]
    return Verdict(board.score, [_estimate(group, 1 + n) for group, n in zip(groups, better, strict=True)], found)


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
    counts = np.isfinite(scores).sum(1)
    several = np.flatnonzero(counts > 1)
    pairs = [(int(one), int(two)) for at, one in enumerate(several) for two in several[at + 1 :]]
    if not pairs:
        return []
    from scipy.special import stdtr, stdtrit

    found = np.array([_difference(scores[one], scores[two]) for one, two in pairs])
    means, errors, freedoms, effects, shared, paired, least = found.T
    varies = errors > ROUNDING * np.abs(means)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stdtr(freedoms, -np.abs(means) / errors)
    p = np.where(varies, p, np.where(means == 0, 1.0, least))
    corrected = _holm(p)
    halves = stdtrit(freedoms, 1 - LEVEL / 2) * errors
    level = LEVEL / len(pairs)  # the first step of Holm's method, which the smallest p-value must pass
    return [
        Comparison(
            better=one,
            worse=two,
            test=("paired t-test" if paired[index] else "Welch's t-test") if varies[index] else "permutation test",
            seeds=int(shared[index]),
            difference=float(means[index]),
            low=float(means[index] - halves[index]),
            high=float(means[index] + halves[index]),
            effect=float(effects[index] * varies[index]),
            p=float(corrected[index]),
            needed=(
                _needed(float(effects[index]), level, bool(paired[index]), int(shared[index]))
                if varies[index] or means[index] == 0
                else math.ceil(1 - math.log2(level))  # of pairs; unpaired seeds are at least as many
            )
            if one == several[0] and corrected[index] >= LEVEL  # of others nobody asks
            else None,
        )
        for index, (one, two) in enumerate(pairs)
    ]


def _difference(
    one: NDArray[np.float64], two: NDArray[np.float64]
) -> tuple[float, float, float, float, int, bool, float]:
    """Compares two rows, [S] each, in pairs where every seed of the one that has fewer is the other's, too.

    Returns:
        How much larger the mean of `two` is, its standard error and degrees of freedom, the effect, the seeds,
        whether they are pairs, and the p-value of the exact permutation test if all seeds show the same difference.
    """
    both = np.isfinite(one) & np.isfinite(two)
    a, b = one[np.isfinite(one)], two[np.isfinite(two)]
    count = int(both.sum())
    if count == min(len(a), len(b)):
        differences = two[both] - one[both]
        mean, std = float(differences.mean()), float(differences.std(ddof=1))
        return mean, std / math.sqrt(count), count - 1, mean / std if std > 0 else 0.0, count, True, 2.0 ** (1 - count)
    parts = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    mean, error = float(b.mean() - a.mean()), math.sqrt(sum(parts))
    below = parts[0] ** 2 / (len(a) - 1) + parts[1] ** 2 / (len(b) - 1)
    freedom = error**4 / below if below > 0 else len(a) + len(b) - 2
    pooled = math.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    least = 2 / math.comb(len(a) + len(b), len(a))
    return mean, error, freedom, mean / pooled if pooled > 0 else 0.0, min(len(a), len(b)), False, least


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

    seeds = np.arange(there + 1, MOST_SEEDS + 1)
    freedom = seeds - 1 if paired else 2 * (seeds - 1)
    shift = effect * np.sqrt(seeds if paired else seeds / 2)
    power = 1 - nctdtr(freedom, shift, stdtrit(freedom, 1 - level / 2))
    enough = np.flatnonzero(np.nan_to_num(power, nan=1.0) >= POWER)
    return int(seeds[enough[0]]) if len(enough) else None


def sentences(found: Verdict) -> list[str]:
    """Returns what a verdict says: which is best, how sure that is, and what cannot be told apart."""
    if not found.estimates:
        return []
    best, *others = found.estimates
    if not others:
        return [f"{found.score} is {_mean(best)}"]
    if not found.comparisons:
        end = "lowest" if mode(found.score) == "min" else "highest"
        same = [_name(each) for each in found.estimates if each.mean == best.mean]
        whose = f"{same[0]}, and may be luck" if len(same) == 1 else " and ".join(same[:2]) + " alike"
        if len(same) > 2:
            whose = f"{len(same)} configurations alike, such as {' and '.join(same[:2])}"
        return [
            f"one seed each cannot tell which configuration is best: the {end} {found.score}, {best.mean:.4g}, is that "
            f"of {whose}"
        ]
    equals = [place for place in found.equals if place > 0]
    worse = len(others) - len(equals)
    if not equals:
        than = {1: "the other", 2: "both others"}.get(worse, f"all {worse} others")
        largest = max(each.p for each in found.comparisons if each.better == 0)
        said = [
            f"{_name(best)} is best, and not by luck: {found.score} {_mean(best)}, better than {than} ({_p(largest)})"
        ]
    else:
        among = " and ".join(_name(found.estimates[place]) for place in (0, *equals[:1]))
        all_of = among if len(equals) == 1 else f"{1 + len(equals)} configurations, such as {among},"
        said = [f"{all_of} cannot be told apart by {found.score}{_apart(found, equals[0])}"]
        if worse:
            said.append(f"{'the other is' if worse == 1 else f'the {worse} others are'} worse, and not by luck")
    fewest = min(estimate.seeds for estimate in found.estimates)
    if fewest <= FEW:
        few = "one seed is too few to compare" if fewest == 1 else f"{fewest} seeds are few"
        said.append(f"{few}: only a very large difference shows")
    return said


def advised_seeds(found: Verdict) -> int | None:
    """Returns how many seeds to run next: those that would tell the two best apart, or enough for a first look."""
    if len(found.estimates) < 2:
        return None
    if not found.comparisons:
        return 2 * FEW
    equals = [place for place in found.equals if place > 0]
    nearest = found.of_best(equals[0]) if equals else None
    return None if nearest is None else nearest.needed


def _apart(found: Verdict, place: int) -> str:
    """Returns the figures of the best and one that cannot be told from it."""
    best, other, pair = found.estimates[0], found.estimates[place], found.of_best(place)
    means = f": {_mean(best)} and {_mean(other)}"
    if pair is None:
        return means
    if pair.low == pair.high == 0:
        return f"{means}; each seed has the same score with both"
    more = (
        f"about {pair.needed} seeds should be enough to tell"
        if pair.needed
        else f"more than {MOST_SEEDS} seeds would be needed"
    )
    return f"{means}; the difference is {pair.difference:.2g} ({pair.low:.2g} to {pair.high:.2g}, {_p(pair.p)}); {more}"


def _name(estimate: Estimate) -> str:
    return " ".join(f"{key}={short(value)}" for key, value in estimate.settings.items()) or "the only configuration"


def _mean(estimate: Estimate) -> str:
    if estimate.low is None:
        return f"{estimate.mean:.4g} from one seed"
    return f"{estimate.mean:.4g} ({estimate.low:.4g} to {estimate.high:.4g} over {estimate.seeds} seeds)"


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= 0.001 else "p < 0.001"


def unlike_losses(board: Board, configs: Sequence[Mapping[str, Any]], subjects: Sequence[str]) -> list[str]:
    """Returns a sentence where the score is a loss, and not the same function in all runs; nothing otherwise.

    Args:
        board: the leaderboard.
        configs: the configurations of a run of each of its configurations, as recorded.
        subjects: the folders that `fulmen leaderboard` ranks these runs by.
    """
    split, _, name = board.score.rpartition("/")
    runs = [settings(config) for config in configs]
    kinds = dict.fromkeys(_loss(run) for run in runs)
    if name != "loss" or len(kinds) < 2:
        return []
    ranked = [row for row in board.rows if board.scored(row)]
    others = [metric for metric in ranked[0].metrics if metric.startswith(f"{split}/") and metric != board.score]
    shared = [metric for metric in others if all(Board(metric, [], [row]).groups for row in ranked)]
    way = "; compare runs with the same loss"
    if shared:
        way = f"; to rank by a metric that they share: {command('leaderboard', *subjects, f'score={shared[0]}')}"
    return [
        f"{board.score} is not the same function in all of these runs ({', '.join(kinds)}), so it ranks nothing{way}"
    ]


def _loss(run: Settings) -> str:
    """Returns the loss of a run, with its keys; `auto` is that of its task."""
    name = run.get("loss")
    if name == "auto":
        name = LOSSES.get(run.get("sizes.task", ""), ("auto",))[0]
    own = [f"{key}={typed(value)}" for key, value in run.items() if key.startswith("loss.") and key != "loss._target_"]
    return " ".join([str(name), *own])


def remarks(board: Board, configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns what to bear in mind: runs lost, repeated or longer, unasked differences, an edge, seeds.

    Args:
        board: the leaderboard.
        configs: the configurations of a run of each of its configurations, as recorded.
    """
    return [
        *_left_out(board),
        *_repeated(board),
        *_longer(board),
        *_unasked(board, configs),
        *_edges(board),
        *_of_seeds(board),
    ]


def _longer(board: Board) -> list[str]:
    """Returns which runs were resumed by themselves with another length than their neighbours have."""
    found: dict[str, list[str]] = {}
    for row in filter(board.scored, board.rows):
        resumed = load_status(row.folder).get("resumed") or []
        words = [split_override(word) for each in resumed for word in each.get("overrides") or []]
        changed = {key: value for key, value in words if key in LENGTH and key not in board.keys}
        if changed:
            found.setdefault(" ".join(f"{key}={value}" for key, value in changed.items()), []).append(row.job)
    return [
        f"{'run' if len(jobs) == 1 else 'runs'} {', '.join(jobs)} {'was' if len(jobs) == 1 else 'were'} resumed with "
        f"{words}, and not trained as long as the others with which the score is averaged and compared"
        for words, jobs in found.items()
    ]


def _left_out(board: Board) -> list[str]:
    """Returns which configurations have runs that came to no score: a mean over the others flatters them."""
    keys = [key for key in board.keys if key not in SEEDS]
    states: dict[str, Counter[str]] = {}
    for row in board.rows:
        name = " ".join(f"{key}={short(row.settings[key])}" for key in keys if key in row.settings)
        states.setdefault(name or "the only configuration", Counter())[row.state] += 1
    said = []
    for name, counts in states.items():
        lost = {state: counts[state] for state in LOST if counts[state]}
        which = " and ".join(f"{state} in {count}" for state, count in lost.items())
        if lost and sum(lost.values()) == counts.total():
            said.append(f"{name} {which} of {counts.total()} runs, and so has no score")
        elif lost:
            said.append(f"{name} {which} of {counts.total()} runs, which its mean leaves out")
    return said


def _repeated(board: Board) -> list[str]:
    """Returns how many runs have the configuration and the seed of another, as after a typo in a list of values."""
    count = sum(len(runs) - 1 for group in board.groups for runs in group.by_seed.values())
    which, count_as = ("1 run repeats", "counts as") if count == 1 else (f"{count} runs repeat", "count as")
    return [f"{which} another's configuration and seed, and {count_as} one with it"] if count else []


def _unasked(board: Board, configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns which keys of the training differ along with those that vary, as a rate does with its optimizer."""
    runs = [settings(config) for config in configs]
    asked = [key for key in board.keys if key not in SEEDS and all(key in run for run in runs)]
    said = []
    for key in differing(runs):
        group = key.partition(".")[0]
        is_telling = group in (*asked, *TRAINING) or key in CHOICES
        if (
            not is_telling
            or key in (*board.keys, *SEEDS)
            or key.endswith(TARGET)
            or any(key not in run for run in runs)
        ):
            continue
        # Runs that share a value of the key that decides it share this one's. Where no key does, all of them are named.
        decisive = [one for one in asked if _pairs(runs, one, key) == _pairs(runs, one, one)]
        by = [group] if group in decisive else decisive[:1] or asked
        pairs = ((typed(run[key]), " ".join(f"{one}={short(run[one])}" for one in by)) for run in runs)
        each = [f"{value} with {choice}" if choice else value for value, choice in dict.fromkeys(pairs)]
        listed = ", ".join(each[:MOST_VALUES]) + (", ..." if len(each) > MOST_VALUES else "")
        said.append(f"{key} differs as well, although you did not vary it: {listed}")
    return said


def _pairs(runs: Sequence[Settings], one: str, other: str) -> int:
    """Returns how many different pairs of values two keys have."""
    return len({(typed(run[one]), typed(run[other])) for run in runs})


def _edges(board: Board) -> list[str]:
    said = []
    for key in (key for key in board.keys if key not in SEEDS and board.groups):
        try:
            values = sorted({float(row.settings[key]) for row in board.rows})  # pruned ones were tried, too
            best = float(board.groups[0].settings[key])
        except (KeyError, ValueError):  # no numbers, or not of all
            continue
        # Only where some other value was tried with all else equal: among any runs, much may differ along with it.
        others = [{name for name, _ in board.groups[0].settings.items() ^ row.settings.items()} for row in board.rows]
        is_compared = any(key in names and names <= {key, *SEEDS} for names in others)
        at_end = best in (values[0], values[-1]) and not best == values[0] == 0  # nothing is smaller than no penalty
        if len(values) > 2 and at_end and is_compared:
            which, way = ("smallest", "smaller") if best == values[0] else ("largest", "larger")
            said.append(
                f"the best {key}, {board.groups[0].settings[key]}, is the {which} that was tried; try {way} ones"
            )
    return said


def _of_seeds(board: Board) -> list[str]:
    if not any(len(group.by_seed) > 1 for group in board.groups):
        return []
    if "data.seed" not in board.keys:
        return ["seeds vary first weights and batches, but not the draw of the data, which data.seed varies"]
    if "seed" not in board.keys:
        return ["data.seed varies the draw of the data, but first weights and batches are the same, which seed varies"]
    return ["seeds vary first weights, batches and the draw of the data"]
