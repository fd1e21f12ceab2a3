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
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from fulmen.errors import ConfigurationError, command
from fulmen.rules import split_override
from fulmen.runs.folder import load_status, read_config
from fulmen.runs.settings import SEEDS, TARGET, Settings, differing, settings, short, typed
from fulmen.sweeps.leaderboard import LOST, Board, Group
from fulmen.tasks.names import LOSSES, mode

LEVEL: Final = 0.05
"""How often a difference may be claimed where there is none."""
POWER: Final = 0.8
"""How often a difference of the size that was seen is to be found with the seeds that are advised."""
FEW: Final = 5
"""Seeds up to which they are said to be few."""
ALL_PAIRS: Final = 100
"""Configurations of which a file lists all pairs; those of a thousand would take 100 MB."""
MOST_SEEDS: Final = 1000
"""Seeds that are advised at most."""
ROUNDING: Final = 1e-9
"""A standard error so small beside the difference is none: the same difference, rounded in other ways."""
SAME: Final = 1e-6
"""A difference so small beside the scores is none: sums in single precision that were rounded in other ways."""
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
        return _has_one_meaning(self.score, [key for estimate in self.estimates for key in estimate.settings])

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
    found = _comparisons(sign * scores) if _has_one_meaning(board.score, board.keys) else []
    better = Counter(each.worse for each in found if each.is_clear)
    return Verdict(board.score, [_estimate(group, 1 + better[place]) for place, group in enumerate(groups)], found)


def _has_one_meaning(score: str, keys: Iterable[str]) -> bool:
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


def sentences(found: Verdict) -> list[str]:
    """Returns what a verdict says: which is best, how sure that is, and what cannot be told apart."""
    if not found.estimates:
        return []
    best, *others = found.estimates
    if not others:
        return [f"{found.score} is {_mean(best)}"]
    if not found.is_comparable:
        return [
            f"{found.score} measures something else with each loss, so no configuration is best by it; rank them by a "
            "metric, as with score=val/accuracy or score=val/mse"
        ]
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
        than += f", {'which' if worse == 1 else 'the next of which'} is {_behind(found)}"
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


def _behind(found: Verdict) -> str:
    """Returns how far the next is behind the best: a difference may be sure, and too small to matter."""
    pair = min((each for each in found.comparisons if each.better == 0), key=lambda each: each.difference)
    stds = [found.estimates[place].std or 0.0 for place in (0, pair.worse)]
    spread = math.sqrt((stds[0] ** 2 + stds[1] ** 2) / 2)
    times = f", {pair.difference / spread:.2g} times the spread over seeds" if spread else ""
    return f"{pair.difference:.2g} behind{times}"


def advised_seeds(found: Verdict) -> int | None:
    """Returns how many seeds to run next: those that would tell the two best apart, or enough for a first look."""
    if len(found.estimates) < 2 or not found.is_comparable:
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
    if pair.difference < 0:
        by = f"{-pair.difference:.2g} ({-pair.high:.2g} to {-pair.low:.2g}, {_p(pair.p)})"
        return f"{means}; over the {pair.seeds} seeds that both have, the mean of the latter is better by {by}"
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
    edges = _edges(board) if _has_one_meaning(board.score, board.keys) else []
    tasks = [f"the data sets differ, and with them how hard it is to reach a good {board.score}"] * (
        "data" in board.keys
    )
    return [
        *_left_out(board),
        *_repeated(board),
        *_longer(board),
        *tasks,
        *_unasked(board, configs),
        *edges,
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
            best, *ties = {float(group.settings[key]) for group in board.groups if group.mean == board.groups[0].mean}
        except (KeyError, ValueError):  # no numbers, or not of all
            continue
        # Only where some other value was tried with all else equal: among any runs, much may differ along with it.
        others = [{name for name, _ in board.groups[0].settings.items() ^ row.settings.items()} for row in board.rows]
        is_compared = any(key in names and names <= {key, *SEEDS} for names in others)
        at_end = best in (values[0], values[-1]) and not best == values[0] == 0  # nothing is smaller than no penalty
        if len(values) > 2 and at_end and is_compared and not ties:
            which, way = ("smallest", "smaller") if best == values[0] else ("largest", "larger")
            said.append(
                f"the best {key}, {board.groups[0].settings[key]}, is the {which} that was tried; try {way} ones"
            )
    return said


def _of_seeds(board: Board) -> list[str]:
    group = max(board.groups, key=lambda group: len(group.by_seed), default=None)
    if group is None or len(group.by_seed) < 2:
        return []
    values = {key: {row.settings.get(key) for row in group.rows} for key in SEEDS}
    (other,) = {*SEEDS} - {board.seed}
    if len({tuple(map(row.settings.get, SEEDS)) for row in group.rows}) > len(values[board.seed]):
        return [
            f"{board.seed} and {other} both vary: the score of each {board.seed} is the mean over up to "
            f"{len(values[other])} values of {other}, because runs that share one are not independent"
        ]
    if len(values["seed"]) == 1:
        return ["data.seed varies the draw of the data, but first weights and batches are the same, which seed varies"]
    if len(values["data.seed"]) == 1 and not _data_follows(group, board.seed):
        return ["seeds vary first weights and batches, but not the draw of the data, which data.seed varies"]
    return ["seeds vary first weights, batches and the draw of the data"]


def _data_follows(group: Group, seed: str) -> bool:
    """Returns whether data.seed is another in two runs of a configuration, as with data.seed=${seed}."""
    folders = {row.settings.get(seed): row.folder for row in group.rows}
    with suppress(ConfigurationError):  # a damaged one is listed as that
        return len({settings(read_config(folder)).get("data.seed") for folder in [*folders.values()][:2]}) > 1
    return False
