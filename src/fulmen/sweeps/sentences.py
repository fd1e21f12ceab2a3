"""A verdict in sentences: which configuration is best, by how much, how sure that is, and what cannot be told apart."""

import math

from fulmen.runs.settings import short
from fulmen.sweeps.verdict import FEW, MOST_SEEDS, PRACTICAL, Estimate, Verdict
from fulmen.tasks.names import mode


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
    times = f", {_figure(pair.difference / spread)} times the spread over seeds" if spread else ""
    return f"{_figure(pair.difference)} behind{times}"


def _apart(found: Verdict, place: int) -> str:
    """Returns the figures of the best and one that cannot be told from it."""
    best, other, pair = found.estimates[0], found.estimates[place], found.of_best(place)
    means = f": {_mean(best)} and {_mean(other)}"
    if pair is None:
        return means
    if pair.low == pair.high == 0:
        return f"{means}; each seed has the same score with both"
    if pair.difference < 0:
        by = f"{_figure(-pair.difference)} ({_figure(-pair.high)} to {_figure(-pair.low)}, {_p(pair.p)})"
        return f"{means}; over the {pair.seeds} seeds that both have, the mean of the latter is better by {by}"
    by = f"{_figure(pair.difference)} ({_figure(pair.low)} to {_figure(pair.high)}, {_p(pair.p)})"
    more = f"about {pair.needed} seeds should be enough to tell"
    if pair.needed is None or pair.needed > PRACTICAL:
        count = f"about {pair.needed}" if pair.needed else f"more than {MOST_SEEDS}"
        more = f"it would take {count} seeds to tell, so the seed matters far more than this choice"
    return f"{means}; the difference is {by}; {more}"


def _name(estimate: Estimate) -> str:
    return " ".join(f"{key}={short(value)}" for key, value in estimate.settings.items()) or "the only configuration"


def _mean(estimate: Estimate) -> str:
    if estimate.low is None:
        return f"{estimate.mean:.4g} from one seed"
    return f"{estimate.mean:.4g} ({estimate.low:.4g} to {estimate.high:.4g} over {estimate.seeds} seeds)"


def _figure(value: float) -> str:
    """Returns two digits of a number, or, from 10 up, the nearest whole number; very large ones have a power."""
    return f"{value:.0f}" if 10 <= abs(value) < 1e6 else f"{value:.2g}"


def _p(value: float) -> str:
    return f"p = {value:.2g}" if value >= 0.001 else "p < 0.001"
