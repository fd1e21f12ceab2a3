"""The search space: ranges and lists, in Hydra's syntax.

optimizer.lr=tag(log, interval(0.0001, 1))    numbers between two, by their size
model.dropout=interval(0, 0.5)                numbers between two
data.batch_size=int(interval(8, 64))          whole numbers, both ends included
trainer.max_epochs=range(10, 50, 10)          as in a grid, without the end
model.hidden=choice([8],[16,16])              one of a list; choice() may be left out
"""

import itertools
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep, Sweep

from fulmen.config.overrides import product
from fulmen.errors import ConfigurationError
from fulmen.rules import split_override

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS: Final = 6
"""Significant digits of chosen numbers: enough to say where in an interval, and few enough to read."""


@dataclass(frozen=True)
class Dimension:
    """One key or group, and its values."""

    key: str
    typed: str
    """The value as typed."""
    choices: list[str] | None = None
    """All values, as overrides have them; None of an interval and a range."""
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False

    @property
    def distribution(self) -> "BaseDistribution":
        """The same for Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution(self.choices)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), self.log, 1 if self.log else int(self.step or 1))
        return FloatDistribution(self.low, self.high, self.log, self.step)

    @property
    def probes(self) -> list[str]:
        """Values to check before anything starts: all of a list, the ends of all else."""
        return self.choices if self.choices is not None else [self.text(self.low), self.text(self.high)]

    @property
    def count(self) -> int | None:
        """How many values there are; None where they cannot be counted."""
        if self.choices is not None:
            return len(self.choices)
        step = self.step or (1 if self.whole else None)
        return None if step is None else round((self.high - self.low) / step) + 1

    def point(self, place: int) -> str | int | float:
        """Returns a point, as Optuna has it, by its place from 0 on."""
        if self.choices is not None:
            return self.choices[place]
        value = _add(self.low, self.step or 1, place)
        return int(value) if self.whole else value

    def text(self, value: Any) -> str:
        """Returns a chosen value as an override has it."""
        if self.choices is not None:
            return str(value)
        if self.whole:
            return str(int(value))
        return repr(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))


def size(space: Sequence[Dimension]) -> int | None:
    """Returns how many points there are; None where they cannot be counted, or nobody would count them."""
    counts = [one.count for one in space]
    points = math.prod(count for count in counts if count is not None)
    return None if None in counts or points > sys.maxsize else points


def dimension(override: Override, default: Any, folders: Sequence[Path]) -> Dimension:
    """Returns the dimension that a sweep override describes.

    Args:
        override: as Hydra reads it.
        default: the key's value without it; what is whole stays so.
        folders: of choices.

    Raises:
        ConfigurationError: it names nothing, or is a range or an interval that cannot be.
    """
    line, value = override.input_line or "", override.value()
    key, typed = override.get_key_element(), split_override(line)[1]
    log = _is_log(line, value)
    if isinstance(value, IntervalSweep):
        low, high = value.start, value.end
        assert low is not None and high is not None
        whole = isinstance(low, int) and isinstance(high, int)
        whole = whole or (type(default) is int and float(low).is_integer() and float(high).is_integer())
        found = Dimension(key, typed, None, low, high, 1 if whole and not log else None, log, whole)
    elif isinstance(value, RangeSweep):
        found = _of_range(line, key, typed, [*override.sweep_string_iterator()], float(value.step), log)
    elif log:
        raise ConfigurationError(f"{line} is a list, and tag(log, ...) is for intervals and ranges; leave it out")
    else:
        overrides = product([override], folders)[0]
        return Dimension(key, typed, list(dict.fromkeys(split_override(override)[1] for override in overrides)))
    if found.choices is None:
        _check(line, found)
    return found


def _of_range(line: str, key: str, typed: str, values: list[str], step: float, log: bool) -> Dimension:
    if not values:
        raise ConfigurationError(f"{line} matches nothing")
    numbers = [float(value) for value in values]
    whole = all("." not in value and "e" not in value for value in values)
    low, high = min(numbers[0], numbers[-1]), max(numbers[0], numbers[-1])
    if not whole:
        low, high = (min(numbers), _add(min(numbers), abs(step), len(numbers) - 1))
        if log:
            return Dimension(key, typed, None, low, high, None, True)
    if len(numbers) == 1:
        return Dimension(key, typed, values)
    return Dimension(key, typed, None, low, high, None if log else abs(step), log, whole)


def _add(low: float, step: float, times: int) -> float:
    """Adds decimals as they are written: 0.1 + 0.1 + 0.1 is 0.3."""
    return float(Decimal(str(low)) + Decimal(str(step)) * times)


def _is_log(line: str, value: Any) -> bool:
    tags = value.tags if isinstance(value, Sweep) else set()
    if strange := sorted(tags - {"log"}):
        raise ConfigurationError(f"{line} has the tag {strange[0]}, and a search knows one: tag(log, interval(1, 100))")
    return "log" in tags


def _check(line: str, found: Dimension) -> None:
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        raise ConfigurationError(f"{line} has no end; give two numbers")
    if found.low >= found.high:
        raise ConfigurationError(f"{line} holds nothing: give the smaller number first")
    if found.log and found.low <= 0:
        way_out = "begin above 0, or leave tag(log, ...) out"
        raise ConfigurationError(f"{line} begins at {found.low:g}, which is on no logarithmic scale; {way_out}")


def probes(dimensions: Sequence[Dimension], groups: Sequence[str], fixed: Sequence[str]) -> list[list[str]]:
    """Words of jobs that have, with every combination of choices, each value to be checked once.

    Args:
        dimensions: what is chosen from.
        groups: the names of groups; the others are keys.
        fixed: the overrides that all jobs have.
    """
    chosen = [[f"{one.key}={value}" for value in one.probes] for one in dimensions if one.key in groups]
    keys: Mapping[str, list[str]] = {one.key: one.probes for one in dimensions if one.key not in groups}
    rows = max(map(len, keys.values()), default=1)
    values = [[f"{key}={found[min(row, len(found) - 1)]}" for key, found in keys.items()] for row in range(rows)]
    return [[*fixed, *choices, *row] for choices in itertools.product(*chosen) for row in values]
