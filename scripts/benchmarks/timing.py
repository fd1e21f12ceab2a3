"""How two ways of doing the same are compared: in turn, A B A B, so that a busy machine slows both."""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from unittest import mock


class Cost(NamedTuple):
    """Of one piece of work."""

    amount: float
    """Seconds that passed, or bytes."""
    cpu: float
    """Seconds of computing, which a busy machine stretches less; not a number where they are not known."""

    def per(self, count: int) -> "Cost":
        """The share of one of `count` equal parts."""
        return Cost(self.amount / count, self.cpu / count)

    def times(self, count: int) -> "Cost":
        """That of as many such pieces."""
        return Cost(self.amount * count, self.cpu * count)


class Clock:
    """What has passed since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> Cost:
        """Seconds, and seconds of computing."""
        return Cost(time.perf_counter() - self.wall, time.process_time() - self.cpu)


@dataclass
class Watch:
    """The calls of one function."""

    costs: list[Cost] = field(default_factory=list)

    @property
    def total(self) -> Cost:
        return Cost(sum(cost.amount for cost in self.costs), sum(cost.cpu for cost in self.costs))


@contextmanager
def watching(owner: Any, *names: str) -> Iterator[Watch]:
    """Times each call of the functions `names` of `owner`, a class or a module, while the block lasts."""
    watch = Watch()

    def timed(call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            clock = Clock()
            try:
                return call(*args, **kwargs)
            finally:
                watch.costs.append(clock.read())

        return run

    patches: dict[str, Any] = {name: timed(getattr(owner, name)) for name in names}
    with mock.patch.multiple(owner, **patches):
        yield watch


Measure = Callable[[], Cost]


@dataclass(frozen=True)
class Comparison:
    """One way against another.

    Args:
        what: is done.
        peer: does the same.
        ours: does it once and says what it cost.
        theirs: likewise.
        goal: the largest ratio that is good, infinite where the amount alone counts; None: it is for information.
        limit: the largest amount that is good.
        count: equal parts, such as steps, that both consist of, and whose cost is wanted.
        unit: of that cost.
        pairs: how often both are measured.
    """

    what: str
    peer: str
    ours: Measure
    theirs: Measure
    goal: float | None = None
    limit: float | None = None
    count: int = 1
    unit: str = "s"
    pairs: int = 3


@dataclass(frozen=True)
class Result:
    """What a comparison found."""

    of: Comparison
    ours: list[Cost]
    theirs: list[Cost]

    @property
    def ratios(self) -> list[float]:
        """Ours to theirs, pair by pair."""
        return [mine.amount / other.amount for mine, other in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def cpu_ratio(self) -> float:
        return statistics.median(mine.cpu / other.cpu for mine, other in zip(self.ours, self.theirs, strict=True))

    @property
    def amounts(self) -> tuple[float, float]:
        """Medians, ours and the peer's."""
        return tuple(statistics.median(cost.amount for cost in costs) for costs in (self.ours, self.theirs))  # type: ignore[return-value]

    @property
    def is_met(self) -> bool | None:
        """Whether the goal is; None where there is none."""
        if self.of.goal is None:
            return None
        return self.ratio <= self.of.goal and (self.of.limit is None or self.amounts[0] <= self.of.limit)


def compare(comparison: Comparison) -> Result:
    """Measures both in turn."""
    ours, theirs = [], []
    for _ in range(comparison.pairs):
        ours.append(comparison.ours().per(comparison.count))
        theirs.append(comparison.theirs().per(comparison.count))
    return Result(comparison, ours, theirs)


def report(comparison: Comparison, quick: bool) -> Result:
    """Measures both, once if `quick`, and says what came of it."""
    result = compare(replace(comparison, pairs=1) if quick else comparison)
    print(f"{comparison.what}: {result.ratio:.3g} of {comparison.peer}", file=sys.stderr, flush=True)
    return result
