"""Recommends a learning rate or a batch size for a run, and says why.

usage: fulmen tune lr [group=choice ...] [key=value ...]
       fulmen tune batch_size [group=choice ...] [key=value ...]

lr: trains with thirteen rates, from a thousandth of optimizer.lr to a thousand times as much, and three seeds
each. After 5% of the run's steps, the best rate and its two neighbours continue; after 15%, two of these; the
better one after 30% is recommended. This takes a tenth of the steps of all those runs. If the best rate is the
smallest or the largest, more are tried beyond it.

batch_size: times steps on 1, 2, 4 ... rows, and recommends the smallest batch whose time per row is within 10%
of the shortest.

The run itself is not trained: the command that does so is printed. Its tuned=FOLDER records where the value came
from. That folder, under logs/tune, holds tune.json, table.csv and tune.png.

as in
  fulmen tune lr data=moons optimizer=sgd
  fulmen tune batch_size data=mnist_5k model=lenet
"""

import csv
import io
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from fulmen.config import recorded, tuned, validate
from fulmen.config.compose import check_single, compose
from fulmen.config.overrides import read
from fulmen.config.project import to_type
from fulmen.data.source import Source
from fulmen.errors import ConfigurationError, command
from fulmen.experiment import importing
from fulmen.rules import alternatives, split_override
from fulmen.runs import recording
from fulmen.runs.files import TEMPORARY, save_figure, write_json, write_text
from fulmen.runs.names import stamp

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TUNED = Path("logs/tune")


@dataclass(frozen=True)
class Found:
    """A recommendation, and what it rests on."""

    key: str
    value: float | int
    reason: str
    caveat: str
    table: list[list[str]]
    """A row of names, and then those of the cells."""
    facts: Mapping[str, Any]
    figure: "Figure"


def main(argv: Sequence[str], config_dir: str | None = None) -> int:
    """Runs the command.

    Raises:
        ValueError: says what is wrong with its arguments, or what is refused as a run with these words would be.
    """
    if not argv or argv[0] not in TUNERS:
        there = f"the choices are {' and '.join(TUNERS)}, as in {command('tune', 'lr', 'data=moons')}"
        if not argv or "=" in argv[0]:
            raise ConfigurationError(f"name what to tune first; {there}")
        meant = "lr" if argv[0] == "learning_rate" else argv[0].rpartition(".")[2]
        raise ConfigurationError(f"there is nothing to tune called {argv[0]}{alternatives(meant, TUNERS)}")
    name, *overrides = argv
    for text in overrides:
        check_single(read(text))
    began = time.perf_counter()
    config = compose(overrides, config_dir)
    source = validate.check(config)
    found = TUNERS[name](config, source)
    facts = {"key": found.key, "value": found.value, "reason": found.reason, "overrides": overrides, **found.facts}
    facts["choices"] = {group: config.choices[group] for group in tuned.GROUPS}
    facts["settings"] = tuned.basis(found.key, recorded.plain(config))
    facts |= {"seconds": round(time.perf_counter() - began, 3), **recording.environment()}
    folder = _write(found, facts)
    kept = [text for text in overrides if split_override(text)[0].strip("+~") not in (found.key, "tuned")]
    own = [] if config_dir is None else ["--config-dir", config_dir]
    typed = command(*to_type([*own, *kept, f"{found.key}={found.value}", f"tuned={folder}"], Path.cwd()))
    console = Console()
    table = Table(*found.table[0])
    for row in found.table[1:]:
        table.add_row(*row)
    console.print(table)
    said = f"{found.key}={found.value}: {found.reason}", *([found.caveat] if found.caveat else []), f"folder: {folder}"
    for line in (*said, f"to train with it: {typed}"):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    return 0


def _rate(config: DictConfig, source: Source) -> Found:
    with importing.at_once():
        from fulmen.experiment import build
        from fulmen.figures import plots
        from fulmen.sweeps import learning_rates, stacking

    why_alone = stacking.obstacle({**build.record(config, source), "figures": {}})  # none are drawn
    found = learning_rates.find(build.build(config, source), why_alone, lambda line: print(line, flush=True))
    best, caveats = found.best, []
    if found.is_at_edge:
        caveats.append(
            f"{best.rate:g} is at the end of what was tried, and a better rate may lie beyond it; "
            f"optimizer.lr={best.rate:g} among the words tries rates on both sides of it"
        )
    if found.why_alone is not None:
        caveats.append(f"with one seed the lead may be luck; more would take long one by one ({found.why_alone})")
    if found.is_tied:
        caveats.append("the next one came as far, so the test does not tell them apart")
    if config.choices.scheduler != "constant" and best.steps < found.total_steps:
        caveats.append(f"scheduler={config.choices.scheduler} changes the rate later than the test lasted")
    curves = [(f"after {step} steps", found.scores_at(step)) for step in found.stages]
    rates = [each.rate for each in found.tested]
    rows = [["rate", "steps", f"{found.score}, mean", *(f"seed {seed}" for seed in found.seeds)]]
    for each in found.tested:
        rows.append([f"{each.rate:g}", str(each.steps), *(f"{x:.4g}" for x in (each.mean, *each.scores))])
    facts = {
        "score": found.score,
        "seeds": found.seeds,
        "steps_of_a_run": found.total_steps,
        "steps_of_all_copies": found.steps,
        "tested": [
            {"rate": each.rate, "steps": each.steps, "scores": _finite(each.scores), "first": _finite(each.first)}
            for each in found.tested
        ],
        "one_by_one_because": found.why_alone,
    }
    figure = plots.learning_rates(rates, curves, best.rate, found.score)
    return Found("optimizer.lr", best.rate, found.reason, "; ".join(caveats), rows, facts, figure)


def _batch_size(config: DictConfig, source: Source) -> Found:
    with importing.at_once():
        from fulmen.experiment import build
        from fulmen.figures import plots
        from fulmen.sweeps import batch_sizes

    found = batch_sizes.measure(build.build(config, source))
    best = found.best
    caveat = (
        f"a larger batch means fewer steps in a pass ({-(-found.rows // best)} here), and often another learning rate: "
        "tune lr again"
    )
    rows = [["rows", "steps per pass", "µs per row", "times the least"]]
    medians = found.medians.tolist()
    for size, seconds in zip(found.sizes, medians, strict=True):
        rows.append([str(size), str(-(-found.rows // size)), f"{1e6 * seconds:.3g}", f"{seconds / min(medians):.2f}"])
    fits = "all rows fit into memory" if found.most >= found.rows else f"{found.most} rows fit into memory"
    facts = {"rows": found.rows, "most_rows": found.most, "ends": found.ends}
    figure = plots.batch_sizes(found.sizes, found.seconds, found.medians, best)
    return Found("data.batch_size", best, f"{found.reason}; {fits}", caveat, rows, facts, figure)


def _finite(scores: Sequence[float]) -> list[float | None]:
    """Returns scores as JSON has them: null where a network diverged."""
    return [score if math.isfinite(score) else None for score in scores]


def _write(found: Found, facts: Mapping[str, Any]) -> Path:
    """Writes the folder, which appears under its name only when it is whole."""
    folder = TUNED / stamp()
    unfinished = folder.with_name(f"{TEMPORARY}{folder.name}")
    unfinished.mkdir(parents=True)
    try:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows(found.table)
        write_text(unfinished / "table.csv", text.getvalue())
        save_figure(found.figure, unfinished / "tune.png")
        write_json(unfinished / tuned.FILE, facts)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder


TUNERS: Mapping[str, Callable[[DictConfig, Source], Found]] = {"lr": _rate, "batch_size": _batch_size}
