"""A run that was stopped anywhere, even by SIGKILL, ends as the undisturbed one: weights, history, TensorBoard."""

import csv
import json
import multiprocessing
import random
import runpy
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fulmen
from fulmen.experiment import resume
from fulmen.words import choices, conf_dir

WORDS = ("data=moons", "data.train_size=70", "data.batch_size=8", "data.val_size=20", "data.test_size=20")
NETWORK = ("model=deep", "model.dropout=0.2", "model.hidden=[6,4]", "accelerator=cpu", "seed=3", "weights=last")
BOARD = ("logger=tensorboard", "optimizer=adam")
RUN = (*WORDS, "logger=none", *NETWORK, "trainer.max_epochs=20", "trainer.points=10")
"""9 steps a pass, 180 in all; an interval is 2 passes, 18 steps."""
PLACES = {"in a pack's middle": (7, 31), "at a pass's end": (9, 45), "at an interval's end": (9, 54)}
"""Length of packs and the step that is never taken: at 31 the last checkpoint is of step 25, else of that very step."""

CASES: list[tuple[str, ...]] = [BOARD, ("logger=csv", "optimizer=gd")]
CASES += [(f"optimizer={name}",) for name in choices("optimizer", [conf_dir()])]
CASES += [(f"scheduler={name}", "optimizer=momentum") for name in choices("scheduler", [conf_dir()])]
CASES += [("trainer.accumulate=2", "trainer.gradient_clip=0.5"), ("trainer.max_steps=100",), ("trainer.patience=3",)]

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["fulmen.run", "fulmen.experiment", "tensorboard.compat", "sklearn.datasets"])


def start(folder: Path, words: Sequence[str] | None, kill_at: int | None = None) -> BaseProcess:
    """A process that trains in `folder`: anew, or on."""
    names = {"FOLDER": str(folder), "WORDS": words, "BESIDE": [], "KILL_AT": kill_at}
    script = str(Path(__file__).with_name("killed.py"))
    process = SERVER.Process(target=runpy.run_path, args=(script,), kwargs={"init_globals": names})
    process.start()
    return process


def train_and_kill(folder: Path, words: Sequence[str] | None, kill_at: int) -> None:
    process = start(folder, words, kill_at)
    process.join(60)
    assert process.exitcode == -9
    assert json.loads((folder / "status.json").read_text())["state"] == "running", "nobody could write the end down"


def weights(folder: Path) -> dict[str, Any]:
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    state: dict[str, Any] = content["state_dict"]
    return state


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        return [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def points(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Every curve in TensorBoard."""
    board = EventAccumulator(str(folder / "tensorboard")).Reload()
    return {tag: [(event.step, event.value) for event in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


def assert_same(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert rows(one) == rows(other)
    for file in one.glob("csv/metrics.csv"):
        assert file.read_bytes() == (other / "csv" / "metrics.csv").read_bytes()
    if (one / "tensorboard").exists():
        assert points(one) == points(other)
    assert (one / "metrics.json").read_bytes() == (other / "metrics.json").read_bytes()
    best = [torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True) for folder in (one, other)]
    assert best[0]["global_step"] == best[1]["global_step"] and best[0]["score"] == best[1]["score"]
    assert {path.name for path in (one / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_a_killed_run_ends_as_the_undisturbed_one(case: tuple[str, ...], tmp_path: Path) -> None:
    """Killed at each of the three places, and once more when it has gone on."""
    undisturbed = fulmen.train(fulmen.compose([*RUN, *case]), folder=tmp_path / "undisturbed", verbose=False)
    for place, (pack, step) in PLACES.items():
        folder = tmp_path / place
        train_and_kill(folder, [*RUN, *case, f"trainer.pack={pack}"], step)
        if "patience" not in case[0]:
            train_and_kill(folder, None, step + 37)
        resume(folder, verbose=False)
        assert_same(folder, undisturbed.folder)


@pytest.mark.slow
def test_twenty_kills_in_a_row(tmp_path: Path) -> None:
    """At whatever moment, in training, while saving, or between."""
    words = [*RUN, "trainer.max_epochs=1500", "scheduler=cosine", "optimizer=adamw"]
    undisturbed = fulmen.train(fulmen.compose(words), folder=tmp_path / "undisturbed", verbose=False)
    chance, folder, kills = random.Random(0), tmp_path / "killed", 0
    while kills < 20:
        process = start(folder, None if (folder / "config.yaml").exists() else words)
        while process.is_alive() and not (folder / "checkpoints").exists():
            time.sleep(0.01)  # what is killed before it has begun shows nothing
        process.join(chance.uniform(0.02, 0.3))
        if process.is_alive():
            process.kill()
            kills += 1
        process.join()
        assert json.loads((folder / "status.json").read_text())["state"] == "running", "over before it could be killed"
    resume(folder, verbose=False)
    assert_same(folder, undisturbed.folder)
