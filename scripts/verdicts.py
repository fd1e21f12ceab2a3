"""Checks verdicts on simulated sweeps of known truth, and writes docs/verdicts.md.

usage: python scripts/verdicts.py [sweeps=10000] [output=FOLDER]
"""

import math
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from fulmen.cli import arguments
from fulmen.errors import ConfigurationError
from fulmen.runs.files import write_text
from fulmen.sweeps.leaderboard import Board, Row
from fulmen.sweeps.verdict import LEVEL, verdict

SEEDS, CONFIGURATIONS = 10, 4
Scores = NDArray[np.float64]
"""[G, S]: a row for each configuration, a column for each seed."""
Draw = Callable[[np.random.Generator], Scores]
SHAPE = (CONFIGURATIONS, SEEDS)
UNEQUAL = np.array([[0.3], [1.0], [2.0], [3.0]])
KINDS: dict[str, Draw] = {
    "normal": lambda draw: draw.normal(size=SHAPE),
    "normal, standard deviations 0.3, 1, 2, 3": lambda draw: draw.normal(size=SHAPE) * UNEQUAL,
    "heavy tails (Student's t, 3 degrees of freedom)": lambda draw: draw.standard_t(3, SHAPE),
    "skewed (lognormal)": lambda draw: draw.lognormal(size=SHAPE),
    "normal, with a part that all configurations of a seed share": lambda draw: (
        draw.normal(size=SHAPE) + 3 * draw.normal(size=SEEDS)
    ),
}


def board(scores: Scores) -> Board:
    """Returns the leaderboard of a sweep with these scores."""
    rows = [
        Row(f"{place}-{seed}", "completed", {"model": str(place), "seed": str(seed)}, {"val/loss": value}, Path())
        for place, row in enumerate(scores.tolist())
        for seed, value in enumerate(row)
    ]
    return Board("val/loss", ["model", "seed"], rows)


def false_claims(draw_scores: Draw, sweeps: int) -> float:
    """Returns the share of sweeps that claim a difference between configurations that are all the same."""
    draw = np.random.default_rng(0)
    return sum(len(verdict(board(draw_scores(draw))).equals) < CONFIGURATIONS for _ in range(sweeps)) / sweeps


def hits(count: int, effect: float, sweeps: int) -> float:
    """Returns how often a configuration that is better by an effect is told from an equal number of others.

    Args:
        count: of all configurations.
        effect: in standard deviations of the differences of pairs.
        sweeps: to simulate.
    """
    draw, found = np.random.default_rng(1), 0
    for _ in range(sweeps):
        scores = draw.normal(size=(count, SEEDS))
        scores[0] -= effect * math.sqrt(2)  # the difference of two has a variance of 2
        pairs = verdict(board(scores)).comparisons
        best = next(place for place, one in enumerate(verdict(board(scores)).estimates) if one.settings["model"] == "0")
        found += sum(pair.is_clear for pair in pairs if best in (pair.better, pair.worse))
    return found / (sweeps * (count - 1))


def power(effect: float, level: float) -> float:
    """Returns how often a paired t-test at this level finds an effect, by the noncentral t distribution."""
    freedom = SEEDS - 1
    return float(stats.nct.sf(stats.t.ppf(1 - level / 2, freedom), freedom, effect * math.sqrt(SEEDS)))


def page(sweeps: int) -> str:
    """Returns the page."""
    claims = [f"| {kind} | {100 * false_claims(draw, sweeps):.1f}% |" for kind, draw in KINDS.items()]
    pairs = math.comb(CONFIGURATIONS, 2)
    rows = [(2, LEVEL, LEVEL), (CONFIGURATIONS, LEVEL / pairs, LEVEL / (CONFIGURATIONS - 1))]
    powers = [
        f"| {count} | {100 * hits(count, 1.0, sweeps):.0f}% | {_span(power(1.0, low), power(1.0, high))} |"
        for count, low, high in rows
    ]
    return "\n".join(
        [
            "# How far a verdict can be trusted",
            "",
            f"Measured by `python scripts/verdicts.py` on {time.strftime('%Y-%m-%d')}, with Python "
            f"{platform.python_version()}, numpy {version('numpy')} and scipy {version('scipy')}, on {sweeps:,} "
            f"simulated sweeps for each row: {CONFIGURATIONS} configurations with {SEEDS} seeds each.",
            "",
            "A verdict compares every pair of configurations by the paired t-test where they share seeds, else by "
            "Welch's test (where all seeds show the same difference, by the exact permutation test), and corrects the "
            "p-values for the number of pairs by Holm's method. If all configurations "
            f"are the same, at most {100 * LEVEL:.0f}% of sweeps should claim a difference (the standard error of the "
            f"shares below is about {100 * math.sqrt(LEVEL * (1 - LEVEL) / sweeps):.1f} percentage points).",
            "",
            "| scores | sweeps that claim a difference where there is none |",
            "| --- | --- |",
            *claims,
            "",
            "A configuration that is better than all others by one standard deviation (of the differences between two "
            "configurations with the same seed) should be found better than each of them about as often as the test's "
            "power predicts. With several pairs, Holm's level varies from step to step, so the power is a range.",
            "",
            "| configurations | difference found | power of the test |",
            "| --- | --- | --- |",
            *powers,
            "",
            "What is assumed: seeds are independent of each other, and the mean of their scores is about normal. "
            "Scores with a long tail make verdicts more careful, not less. Runs that diverged or failed are left out "
            "of the means, and named. Seeds vary what the run's `seed` decides: "
            "first weights, batches and dropout. Whether a difference would hold on other data, only `data.seed` can "
            "tell. Where `seed` and `data.seed` both vary, runs that share one of them are not independent: a sample "
            "is then the mean over the runs of one value, of whichever key has more.",
            "",
        ]
    )


def _span(low: float, high: float) -> str:
    return f"{100 * low:.0f}%" if low == high else f"{100 * low:.0f} to {100 * high:.0f}%"


def main(words: Sequence[str]) -> int:
    """The command."""
    try:
        given = arguments.parse(words, {"sweeps": "a number", "output": "a folder"})
        text = given.options.get("sweeps", "10000")
        if given.subjects or not text.isdecimal() or int(text) < 1:
            raise ConfigurationError(f"{[*given.subjects, f'sweeps={text}'][0]} is not understood; see --help")
        output = Path(given.options.get("output", Path(__file__).parents[1] / "docs"))
    except ConfigurationError as error:
        print(f"verdicts: {error}", file=sys.stderr)
        return 1
    content = page(int(text))
    print(content)
    write_text(output / "verdicts.md", content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
