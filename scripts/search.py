"""Writes docs/search.md: a search with TPE and pruning against one at random in the same time, over five seeds."""

import contextlib
import csv
import json
import os
import platform
import statistics
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from fulmen.cli.main import main as fulmen

PAGE = Path(__file__).resolve().parents[1] / "docs" / "search.md"
SEEDS = range(5)
TRIALS = 30
WORDS = ("data=circles", "model=mlp", "trainer.max_epochs=100", "logger=none", "accelerator=cpu")
SPACE = (
    "optimizer.lr=tag(log, interval(0.0001, 1))",
    "optimizer=sgd,momentum,rmsprop,adam",
    "model.hidden=choice([4],[8],[16],[8,8],[16,16])",
    "model.activation=relu,tanh,sigmoid",
    "data.batch_size=interval(8, 64)",
)
KINDS = {"TPE, pruned": ("sampler=tpe", "pruner=median"), "random": ("sampler=random", "pruner=none")}
Found = tuple[float, list[tuple[float, str, float]]]
"""Seconds of a search, and of each of its runs: seconds from the start to its end, state and score."""


def main() -> None:
    """Searches, in a folder that is deleted afterwards, and writes the page."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        search("TPE, pruned", 99, 2)  # what is imported the first time is no part of a search
        in_turns = [[search(kind, seed, TRIALS) for kind in KINDS] for seed in SEEDS]
        os.chdir(home)
    PAGE.write_text(page(in_turns), "utf-8")


def search(kind: str, seed: int, trials: int) -> Found:
    """One search; what it took, and its runs."""
    before = {*Path("logs/sweeps").glob("*")}
    keys = [f"hydra.sweeper.{key}" for key in (f"n_trials={trials}", *KINDS[kind])]
    began = datetime.now(UTC)
    with contextlib.redirect_stdout(None):
        assert fulmen(["-m", "sweep=optuna", *WORDS, *SPACE, *keys, f"seed={seed}"]) == 0
    (folder,) = {*Path("logs/sweeps").glob("*")} - before
    with (folder / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["job"]))
    runs = []
    for row in rows:
        status = json.loads((folder / row["job"] / "status.json").read_text("utf-8"))
        after = (datetime.fromisoformat(status["ended"]) - began).total_seconds()
        runs.append((after, row["state"], float(row["score"] or "inf")))
    return runs[-1][0], runs


def page(in_turns: list[list[Found]]) -> str:
    """The page's text."""
    lines, bests = [], []
    for seed, ((seconds, runs), (_, others)) in zip(SEEDS, in_turns, strict=True):
        in_time = [run for run in others if run[0] <= seconds]
        best, other = min(run[2] for run in runs), min((run[2] for run in in_time), default=float("inf"))
        whole = min(run[2] for run in others)
        bests.append((best, other, whole))
        pruned = sum(run[1] == "pruned" for run in runs)
        lines.append(
            f"| {seed} | {seconds:.1f} | {len(runs)}, {pruned} of them pruned | {best:.4g} "
            f"| {len(in_time)} | {other:.4g} | {others[-1][0]:.1f} | {whole:.4g} |"
        )
    middle = [statistics.median(column) for column in zip(*bests, strict=True)]
    wins, whole_wins = (sum(row[0] < row[place] for row in bests) for place in (1, 2))
    libraries = ", ".join(f"{name} {version(name)}" for name in ("optuna", "torch", "lightning", "fulmen"))
    machine = f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()})"
    words = " ".join(f"'{word}'" for word in (*WORDS, *SPACE))
    table, load = "\n".join(lines), os.getloadavg()[2]
    header = (
        f"| seed | seconds | TPE: runs | best val/loss | at random, in the same time: runs | best val/loss "
        f"| at random, {TRIALS} runs: seconds | best val/loss |"
    )
    return f"""# A search, measured

Written by `python scripts/search.py` on {datetime.now(UTC):%Y-%m-%d}, on {machine}, one thread,
with Python {platform.python_version()}, {libraries}.

For each seed a search of {TRIALS} runs with `hydra.sweeper.sampler=tpe hydra.sweeper.pruner=median`, and after it one
with `random` and `none`, of which those runs count that had ended when the first search had. Over the last quarter of
an hour {load:.1f} processes ran on average, one of them this. The words of both, with `seed=0` to `seed={SEEDS[-1]}`:

```sh
python train.py -m sweep=optuna hydra.sweeper.n_trials={TRIALS} {words}
```

{header}
| --- | --- | --- | --- | --- | --- | --- | --- |
{table}
| median | | | {middle[0]:.4g} | | {middle[1]:.4g} | | {middle[2]:.4g} |

In the same time the search with TPE and pruning found the smaller loss for {wins} of {len(bests)} seeds;
against all {TRIALS} runs at random, in their own time, for {whole_wins} of {len(bests)}.
Five seeds of one small task say that much and no more.
"""


if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(f"search: {sys.argv[1]} is one word too many; it takes none, some minutes, and writes {PAGE.name}")
    main()
