"""Measures ours against its peers, on this machine, and writes docs/performance.md.

usage: python scripts/benchmark.py [--quick] [option=value ...]

options
  only=NAME,NAME     start, whole, steps, compiled, memory, sweeps, stacks, features, growth, threads; by default
                     all
  quick=true         or --quick: small sizes, one of a kind, once; whether all still runs, and no figures to trust
  output=FOLDER      where performance.md and its pictures go; by default docs, and nowhere if not all is measured

It takes some minutes. The page is printed, too.
"""

import os
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from benchmarks import document, features, goals, growth, ours, stacks, sweeps, threads, whole
from benchmarks.timing import report

from fulmen.cli import arguments
from fulmen.errors import ConfigurationError

NAMES = ("start", "whole", "steps", "compiled", "memory", "sweeps", "stacks", "features", "growth", "threads")
OPTIONS = {"only": "what to measure", "quick": "true or false", "output": "a folder"}
DOCS = Path(__file__).parents[1] / "docs"


def main(words: Sequence[str]) -> int:
    """The command."""
    if not {"--help", "-h"}.isdisjoint(words):
        print(__doc__, end="")
        return 0
    try:
        only, quick, output = options(words)
    except ConfigurationError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    found = measured(only, quick)
    command = " ".join(["python scripts/benchmark.py", *(word for word in words if not word.startswith("output="))])
    print(document.text(found, command))
    if output is not None:
        document.write(found, output, command)
    return 0


def options(words: Sequence[str]) -> tuple[list[str], bool, Path | None]:
    """What to measure, whether quickly, and the folder of the page, if any, which is made.

    Raises:
        ConfigurationError: a word is none of these, or that cannot be a folder.
    """
    given = arguments.parse(["quick=true" if word == "--quick" else word for word in words], OPTIONS)
    if given.subjects:
        raise ConfigurationError(f"there is nothing to do with {given.subjects[0]}; --help says what there is")
    quick = arguments.one_of("quick", given.options.get("quick", "false"), ("true", "false")) == "true"
    only = given.options.get("only", ",".join(NAMES)).split(",")
    for name in only:
        arguments.one_of("only", name, NAMES)
    if "output" in given.options:
        return only, quick, arguments.folder("output", given.options["output"])
    return only, quick, DOCS if set(only) == set(NAMES) and not quick else None


def measured(only: Sequence[str], quick: bool) -> document.Findings:
    """Everything that `only` names."""
    found = document.Findings(load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None)
    ours.fit("trainer.max_epochs=1")  # whatever is imported late is imported now
    comparisons = {
        "start": goals.start(quick),
        "steps": goals.steps(quick),
        "compiled": goals.compiled(quick),
        "memory": goals.memory(quick),
        "sweeps": sweeps.short_runs(quick),
    }
    for comparison in chain.from_iterable(each for name, each in comparisons.items() if name in only):
        found.goals.append(report(comparison, quick))
    if "whole" in only:
        found.whole = whole.seconds(quick)
    if "stacks" in only:
        found.stacks = stacks.stacks(quick)
    if "features" in only:
        found.features = features.features(quick)
    if "growth" in only:
        for curve in growth.curves(quick):
            found.curves.append(curve)
            ratios = ", ".join(f"{result.ratio:.3g}" for _, result in curve.points)
            print(f"{curve.size}: {ratios} of a plain loop", file=sys.stderr, flush=True)
    if "threads" in only:
        found.threads = list(threads.choices(quick))
    return found


if __name__ == "__main__":
    os.environ.pop("OMP_NUM_THREADS", None)  # each measurement sets its threads
    sys.exit(main(sys.argv[1:]))
