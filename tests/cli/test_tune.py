"""`fulmen tune`: the rate it recommends against a plain loop, its record, and what it refuses."""

import csv
import json
import math
import os
import shlex
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

import fulmen
from fulmen.cli.main import main
from fulmen.config import validate
from fulmen.sweeps import batch_sizes, learning_rates

LINEAR = ("data=linear_5d", "model=linear", "optimizer=sgd", "data.batch_size=full", "accelerator=cpu")
STEPS = 200


def tune(*words: str) -> tuple[Path, dict[str, Any]]:
    """Runs `fulmen tune` in the current folder; returns the folder it wrote, and its record."""
    before = {*Path("logs/tune").glob("*")}
    assert main(["tune", *words]) == 0
    (folder,) = {*Path("logs/tune").glob("*")} - before
    return folder, json.loads((folder / "tune.json").read_text("utf-8"))


class Quadratic:
    """Gradient descent on the mean squared error of a linear model, in numpy."""

    def __init__(self) -> None:
        splits = validate.check(fulmen.compose(LINEAR)).load()
        (self.x, self.y), (self.x_val, self.y_val) = (
            (np.c_[split.x, np.ones(len(split.x))], split.y) for split in (splits["train"], splits["val"])
        )
        self.largest = 2 * np.linalg.eigvalsh(self.x.T @ self.x / len(self.x))[-1]
        """Eigenvalue of the Hessian."""

    def score(self, rate: float) -> float:
        """Returns the validation loss at the end, a mean over first weights as torch draws them."""
        found = []
        for seed in range(3):
            bound = 1 / math.sqrt(self.x.shape[1] - 1)
            w = np.random.default_rng(seed).uniform(-bound, bound, (self.x.shape[1], 1))
            for _ in range(STEPS):
                w = w - rate * 2 * self.x.T @ (self.x @ w - self.y) / len(self.x)
            found.append(((self.x_val @ w - self.y_val) ** 2).mean())
        return float(np.mean(found))


def test_the_rate_is_near_the_best_of_a_plain_loop_and_a_run_records_where_it_is_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [*LINEAR, f"trainer.max_epochs={STEPS}", "weights=last"]
    folder, found = tune("lr", *words)
    printed, rate, quadratic = capsys.readouterr().out, found["value"], Quadratic()
    assert rate < 2 / quadratic.largest
    rates = 10.0 ** np.arange(-4, math.log10(2 / quadratic.largest), 0.25)
    assert quadratic.score(rate) <= 1.1 * min(map(quadratic.score, rates))
    assert found["steps_of_all_copies"] <= 13 * 3 * STEPS / 10
    assert imread(folder / "tune.png").shape[:2] == (480, 640)
    assert len((folder / "table.csv").read_text("utf-8").splitlines()) == 14

    typed = shlex.split(printed.splitlines()[-1].partition("to train with it: ")[2])
    typed = typed[typed.index(LINEAR[0]) :]
    assert typed == [*words, f"optimizer.lr={rate:g}", f"tuned={folder}"]
    assert main([*typed, "run_dir=run", "figures=none", "logger=none"]) == 0
    assert (Path("run") / "config.yaml").read_text("utf-8").count(f"tuned: {folder}\n") == 1
    assert "was found with other settings" not in capsys.readouterr().err
    fulmen.compose([*typed, "scheduler=cosine", "data.train_size=60", "seed=3", "data.seed=3", "figures=none"])
    assert capsys.readouterr().err == (
        f"fulmen: optimizer.lr={rate:g} in {folder} was found with other settings: scheduler is cosine and was "
        f"constant, data.train_size is 60 and was 80; it may not be the best for this run, and fulmen tune would find "
        "out\n"
    )
    assert main(["rerun=run", "run_dir=repeated"]) == main(["rerun=run", "optimizer.lr=0.1", "run_dir=changed"]) == 0
    assert main(["rerun=run", "tuned=null", "run_dir=untold"]) == 0
    kept = [
        Path(run, "config.yaml").read_text("utf-8").count(f"tuned: {folder}\n")
        for run in ("repeated", "changed", "untold")
    ]
    assert kept == [1, 0, 0], "the rate of the first came from there, that of the second did not, and the last says so"
    with Path("run/history.csv").open(newline="", encoding="utf-8") as file:
        (loss,) = (float(row["val/loss"]) for row in csv.DictReader(file) if int(row["step"]) == 0.3 * STEPS)
    (of_best,) = (each for each in found["tested"] if each["rate"] == rate)
    assert of_best["steps"] == 0.3 * STEPS and of_best["scores"][0] == pytest.approx(loss, rel=1e-5)
    shutil.rmtree(folder)  # which a recorded run no longer needs
    assert main(["resume=run", "trainer.max_epochs=210"]) == 0
    assert main(["rerun=run", "run_dir=again"]) == 0


def test_what_a_run_says_of_its_rate_must_be_true(tmp_path: Path, refused: Callable[..., str]) -> None:
    choices = {"data": "sine_boundary", "model": "shallow", "optimizer": "sgd"}
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "tune.json").write_text(
        json.dumps({"key": "optimizer.lr", "value": 0.03, "choices": choices})
    )
    assert refused("optimizer=sgd", "optimizer.lr=0.1", "tuned=found") == (
        "fulmen: optimizer.lr is 0.1, but found recommends 0.03; take optimizer.lr=0.03, or leave tuned= out"
    )
    assert "optimizer.lr is 0.1, but found recommends 0.03" in refused(
        "-m", "optimizer=sgd", "optimizer.lr=0.03,0.1", "tuned=found"
    )
    assert refused("optimizer=adam", "optimizer.lr=0.03", "tuned=found") == (
        "fulmen: found recommends optimizer.lr=0.03 for optimizer=sgd, but this run has optimizer=adam; tune again, or "
        "leave tuned= out"
    )
    assert "for data=sine_boundary" in refused("-m", "data=moons", "optimizer=sgd", "optimizer.lr=0.03", "tuned=found")
    assert "nowhere/tune.json: No such file or directory); name such a folder" in refused("tuned=nowhere")
    for key in ("seed", "optimizer", "optimiser.lr", "a.b.c"):
        (tmp_path / "found" / "tune.json").write_text(json.dumps({"key": key, "value": 0, "choices": choices}))
        assert "found/tune.json is damaged); name such a folder" in refused("tuned=found")


def test_a_rate_at_the_end_of_the_range_moves_it_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("trainer.max_epochs=20", "data.train_size=20", "data.val_size=20")
    _, found = tune("lr", *LINEAR, *words, "optimizer.lr=1e-5")
    assert found["value"] > 1e-2
    assert "the best rate, 0.01, is the largest: larger ones follow" in capsys.readouterr().out


def test_what_cannot_be_told_apart_is_said_and_no_caveat_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Full batches and two steps: no rate has moved the accuracy of constant targets, and the test is the whole run."""
    monkeypatch.chdir(tmp_path)
    words = ("data=circles", "data.batch_size=full", "trainer.max_epochs=2", "score=val/accuracy", "accelerator=cpu")
    monkeypatch.setattr(learning_rates, "DECADES", 1)
    folder, found = tune("lr", *words, "init=zeros", "scheduler=step", "++optimizer.lr=1e-5", "figures=all")
    said = capsys.readouterr().out
    assert found["one_by_one_because"] is None, "no figures are drawn, for which networks would train one by one"
    assert f"the next one came as far, so the test does not tell them apart\nfolder: {folder}" in said
    assert f" scheduler=step figures=all optimizer.lr={found['value']} tuned=" in said


def test_rates_that_all_diverge_get_a_sentence(refused: Callable[..., str]) -> None:
    said = refused("tune", "lr", *LINEAR, "trainer.max_epochs=100", "optimizer.lr=1e30")
    assert "learning rates from 1e+21 to 1e+33 diverge; look at the data's scale" in said


def test_a_network_that_cannot_be_stacked_is_tested_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(learning_rates, "DECADES", 1)
    words = (*LINEAR, "backprop=numpy", "trainer.max_epochs=20", "data.train_size=20")
    _, found = tune("lr", *words)
    assert found["one_by_one_because"] == "gradients are found by hand" and found["seeds"] == [0]
    assert "the networks train one by one, for 10% of the run each" in capsys.readouterr().out


def test_ctrl_c_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    for place in ("fulmen.sweeps.learning_rates._Halving.__call__", "fulmen.cli.tune.save_figure"):
        with monkeypatch.context() as patched:
            patched.setattr(place, interrupted)
            assert main(["tune", "lr", *LINEAR, "trainer.max_epochs=20"]) == 130
        assert capsys.readouterr().err == "fulmen: stopped by SIGINT\n"
        assert not [*Path().glob("logs/tune/*")]


def test_a_batch_size_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(batch_sizes, "SECONDS", 0.001)
    folder, found = tune("batch_size", "data=moons", "data.train_size=20", "accelerator=cpu")
    assert found["key"] == "data.batch_size" and found["most_rows"] == 20
    rows = (folder / "table.csv").read_text("utf-8").splitlines()[1:]
    assert [row.split(",")[:2] for row in rows] == [
        [str(size), str(math.ceil(20 / size))] for size in (1, 2, 4, 8, 16, 20)
    ]
    assert f"data.batch_size={found['value']} tuned={folder}" in capsys.readouterr().out


def test_the_smallest_batch_within_a_tenth_of_the_least_time_is_taken() -> None:
    slow = np.array([1.0, 3.0, 1.0])  # a machine that was slower in the second round
    found = batch_sizes.SizeTest(8, [1, 2, 4, 8], np.outer([4.0, 2.0, 1.05, 1.0], slow), 8, "")
    assert found.best == 4 and found.medians.tolist() == [4, 2, 1.05, 1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "name what to tune first; the choices are lr and batch_size"),
        (("lrr",), "there is nothing to tune called lrr; did you mean lr?"),
        (("learning_rate",), "there is nothing to tune called learning_rate; did you mean lr?"),
        (("optimizer.lr", "data=moons"), "there is nothing to tune called optimizer.lr; did you mean lr?"),
        (("data=moons",), "name what to tune first"),
        (("lr", "optimizer=sgd,adam"), "optimizer=sgd,adam names several values; give one"),
        (("lr", "dta=moons"), "there is no key 'dta'; did you mean data?"),
        (("lr", "-m"), "cannot read '-m'"),
        (("batch_size", "trainer.devices=2"), "batches are measured on one device"),
        (("lr", "trainer.devices=2"), "rates are tested on one device"),
    ],
)
def test_wrong_words_get_a_sentence(words: tuple[str, ...], sentence: str, refused: Callable[..., str]) -> None:
    assert sentence in refused("tune", *words)
