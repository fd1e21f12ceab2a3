"""Measures how good the rates are that `fulmen tune lr` recommends, against a grid, and writes docs/tuning.md.

usage: python scripts/tuning.py [output=FOLDER]
"""

import contextlib
import csv
import itertools
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np

from fulmen.cli import arguments
from fulmen.cli.main import main as fulmen
from fulmen.errors import ConfigurationError
from fulmen.runs.files import write_text

PAGE = "tuning.md"
DATA = ("moons", "circles", "iris_species", "iris_petals", "regression_3d", "sine_boundary", "spirals", "mnist_5k")
OPTIMIZERS = ("sgd", "adam", "rmsprop")
UNSEEN = (("blobs_binary", "momentum"), ("blobs_binary", "nesterov"), ("linear_1d", "adagrad"), ("gaussian", "adamw"))
"""Others, which played no part when the method was chosen."""
SETTINGS = {
    "spirals": ("trainer.max_epochs=500", "data.scale=none"),
    "mnist_5k": ("trainer.max_epochs=10", "data.batch_size=64"),
    "regression_3d": ("trainer.max_epochs=100", "data.scale=none"),
    "adam": ("optimizer.lr=0.005",),
    "adamw": ("optimizer.lr=0.005",),
}
"""Of data sets and optimizers, so that the measurement does not change with the defaults; else 100 passes."""
SEEDS, OTHERS = (0, 1, 2), (3, 4, 5)
"""Seeds that a test trains with, and as many others."""
NEAR, FLOOR = 0.1, 0.01
"""Shares of the best loss, and of that of networks that have hardly trained, by which a loss may be worse."""
PLAIN = ("figures=none", "logger=none", "accelerator=cpu")


@dataclass(frozen=True)
class Case:
    """A data set and an optimizer: what was recommended, and what each rate of the grid came to."""

    words: list[str]
    rate: float
    losses: dict[float, list[float]]
    """val/loss of each rate after whole runs, a mean over the seeds of the test, and one over others."""
    untrained: float
    steps: int
    """Of all copies in the test."""
    grid_steps: int
    seconds: float
    grid_seconds: float

    def best(self, group: int) -> float:
        """Returns the least loss, with the seeds of the test (0) or others (1)."""
        return min(losses[group] for losses in self.losses.values())

    def within(self, group: int) -> str:
        """Returns whether the recommended rate is as good as the best, but for what is allowed."""
        loss, near = self.losses[self.rate][group], (1 + NEAR) * self.best(group)
        return "yes" if loss <= near else "by the floor" if loss <= near + FLOOR * self.untrained else "no"


def measured(data: str, optimizer: str) -> tuple[Case, bytes]:
    """Tunes, then trains all rates of the grid to the end; returns also the picture of the test."""
    words = [f"data={data}", f"optimizer={optimizer}"]
    further = [*SETTINGS.get(data, ("trainer.max_epochs=100",)), *SETTINGS.get(optimizer, ())]
    before = {*Path("logs/tune").glob("*")}
    run("tune", "lr", *words, *further, "accelerator=cpu")
    (folder,) = {*Path("logs/tune").glob("*")} - before
    found = json.loads((folder / "tune.json").read_text("utf-8"))
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        rates = [float(row["rate"]) for row in csv.DictReader(file)]
    began = time.perf_counter()
    losses = grid([*words, *further], rates)
    seconds = (time.perf_counter() - began) / 2 * 13 / len(rates)
    case = Case(
        words,
        found["value"],
        losses,
        float(np.mean(found["tested"][0]["first"])),
        found["steps_of_all_copies"],
        13 * len(SEEDS) * found["steps_of_a_run"],
        found["seconds"],
        seconds,
    )
    return case, (folder / "tune.png").read_bytes()


def grid(words: Sequence[str], rates: Sequence[float]) -> dict[float, list[float]]:
    """Returns the losses of each rate, see `Case`; infinite where a run diverged."""
    before = {*Path("logs/sweeps").glob("*")}
    lists = [f"optimizer.lr={','.join(map(repr, rates))}", f"seed={','.join(map(str, SEEDS + OTHERS))}"]
    run("-m", "hydra/launcher=vectorized", *words, *lists, *PLAIN)
    (folder,) = {*Path("logs/sweeps").glob("*")} - before
    found: dict[float, dict[int, float]] = {rate: {} for rate in rates}
    with (folder / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            loss = float(row["score"]) if row["state"] == "completed" else np.inf
            found[float(row["optimizer.lr"])][int(row["seed"])] = loss
    return {
        rate: [float(np.mean([by_seed[seed] for seed in group])) for group in (SEEDS, OTHERS)]
        for rate, by_seed in found.items()
    }


def run(*words: str) -> None:
    """Runs the command without its output; runs that diverge are part of a grid."""
    with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
        fulmen(list(words))


def page(cases: Sequence[Case]) -> str:
    """Returns the page's text."""
    lines = []
    for each in cases:
        cells = [f"`{' '.join(each.words)}`", f"{each.rate:g}"]
        for group in (0, 1):
            loss, best = each.losses[each.rate][group], each.best(group)
            cells += [f"{loss:.4g}", f"{best:.4g}", each.within(group)]
        cells += [f"{each.steps / each.grid_steps:.1%}", f"{each.seconds:.1f}", f"{each.grid_seconds:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    same, other = ([each.within(group) for each in cases] for group in (0, 1))
    said = [
        f"{len(cases) - found.count('no')} of {len(cases)} ({found.count('by the floor')} of them by the floor)"
        for found in (same, other)
    ]
    steps = sum(each.steps for each in cases) / sum(each.grid_steps for each in cases)
    seconds = sum(each.seconds for each in cases) / sum(each.grid_seconds for each in cases)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning", "fulmen"))
    machine = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()})"
    table = "\n".join(lines)
    return f"""# Tuning

`fulmen tune lr` and `fulmen tune batch_size` recommend a value, explain it, and print the command that trains with it;
they do not run that command. Each writes a folder under `logs/tune` with `tune.json`, `table.csv` and `tune.png`. A run
with `tuned=<folder>` records the folder in its `config.yaml`, and is refused if its value is not the recommended one
or its data set, model or optimizer is another.

## A learning rate

Thirteen rates are tried, two in each decade, from a thousandth of `optimizer.lr` to a thousand times as much. With each
rate and each of three seeds, your run is started as it would be trained, with the same batches, schedule and length,
and stopped early. After 5% of the steps, the best rate and its two neighbours continue; after 15%, the better two of
these; after 30%, the better one is recommended. Rates are compared by their best `score` so far, a mean over the seeds,
because a run keeps its best weights; with `weights=last`, by the latest score. No rate is dropped before the tenth
step, and a rate that diverges with any seed comes last. If the best rate is the smallest or the largest, the range is
extended by three decades, at most twice.

This is successive halving (Jamieson and Talwalkar, *Non-stochastic best arm identification and hyperparameter
optimization*, AISTATS 2016), applied to the range test of Smith (*Cyclical learning rates for training neural
networks*, WACV 2017). It was chosen on recorded runs, {CHOSEN}
Two decisions mattered. First, the neighbours of the best rate continue, not the next best rates: plotted over the
logarithm of the rate, the loss has one valley, and its lowest point moves to smaller rates during a run. Second, at 5%,
all rates within 2% of the best count as equal, and the largest of them as the best: on a plateau all look alike, and
large rates leave it first.

The method assumes that the rate that leads after 30% of the steps still leads at the end. That may be wrong if the loss
stays on a plateau for longer, if seeds differ more than rates do, or if a schedule changes the rate later. Networks
that cannot be stacked ([stacking.md](stacking.md)) are trained one by one, each rate with one seed for a tenth of the
run, which is less reliable.

![The validation loss of thirteen learning rates after 5% of a run, and of two after 30%](pictures/tuning.png)

## A batch size

Training steps on 1, 2, 4, ... rows, up to all of them, are timed in five rounds over all sizes, and each size is
compared with the fastest of the same round. The smallest size whose median time per row is within 10% of the shortest
is recommended. Sizes that would need more than half of the free memory, estimated from the sizes of the layers, are
left out; on a GPU, the first size that does not fit ends the measurement. The recommendation is about speed alone: a
larger batch means fewer steps in a pass, and often another learning rate, so run `fulmen tune lr` again afterwards.

## Rates that were recommended, measured

Written by `python scripts/tuning.py` on {datetime.now(UTC):%Y-%m-%d}, on {machine}, with Python
{platform.python_version()}, {libraries}. Over the last quarter of an hour {os.getloadavg()[2]:.1f} processes ran on
average, one of them this, so that seconds say little.

For each data set and optimizer, `fulmen tune lr` recommends a rate, and a stacked sweep trains all rates that it tried
to the end, with the seeds of the test, {", ".join(map(str, SEEDS))}, and with others,
{", ".join(map(str, OTHERS))}. Losses are `val/loss` as runs report it, with the best weights, means over three
seeds. A rate is *within* if its loss is at most {NEAR:.0%} above the least of all rates with the same seeds; *by the
floor*, if it is with {FLOOR:.0%} of the loss of networks that have hardly trained added to that (the smallest rate
after 5% of the run), since two losses of nearly nothing need not be alike. Steps are those of all copies, as a share
of the grid, which is thirteen rates with three seeds. Runs take 100 passes over the data, of spirals 500 and of
mnist_5k 10 (in batches of 64 rows); `adam` and `adamw` begin with a rate of 0.005, and neither spirals nor
regression_3d are scaled.

{HEADER}
{table}

With the seeds of the test {said[0]} are within, with others {said[1]}.
The tests took {steps:.1%} of the steps of the grids and {seconds:.0%} of their seconds: the grids were stacked, so that
a step of many copies takes hardly longer than one of few. A finer grid, or other seeds, would find other least losses.
"""


HEADER = """\
| words | rate | loss | least | within | loss, other seeds | least | within | steps | seconds | of the grid |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"""
CHOSEN = """\
those of eleven data sets with `sgd`, `adam` and `rmsprop`
(25 rates, eight seeds, whole runs), on which variants that take a tenth of the grid were replayed. The table below has
some of the same data sets; the rows of mnist_5k, and the last four, played no part in the choice."""


def main(argv: Sequence[str]) -> int:
    """Measures all cases, in a folder that is deleted afterwards, and writes the page."""
    try:
        given = arguments.parse(argv, {"output": "the folder of the page"})
        if given.subjects:
            raise ConfigurationError(f"{given.subjects[0]} is one word too many; there is output= alone")
        default = Path(__file__).resolve().parents[1] / "docs"
        output = arguments.folder("output", given.options.get("output", str(default))).resolve()
    except ConfigurationError as error:
        print(f"tuning: {error}", file=sys.stderr)
        return 1
    home, cases, pictures = Path.cwd(), list[Case](), list[bytes]()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            run("tune", "lr", "data=moons", "trainer.max_epochs=2", "accelerator=cpu")  # imports
            for data, optimizer in (*itertools.product(DATA, OPTIMIZERS), *UNSEEN):
                case, picture = measured(data, optimizer)
                cases.append(case)
                pictures.append(picture)
                print(case, flush=True)
        finally:
            os.chdir(home)
    write_text(output / PAGE, page(cases))
    (output / "pictures").mkdir(exist_ok=True)
    (output / "pictures" / "tuning.png").write_bytes(pictures[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
