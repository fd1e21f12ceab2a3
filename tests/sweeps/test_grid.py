"""`-m`: every combination, each in its folder, whatever becomes of the others."""

import csv
import json
from pathlib import Path

import pytest

from fulmen.cli.main import main
from fulmen.config import compose, validate
from fulmen.experiment import build
from fulmen.experiment.build import resume
from fulmen.runs.names import readable
from fulmen.sweeps import grid, leaderboard

SHORT = ["data=circles", "trainer.max_epochs=1", "logger=none"]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unpainted: None) -> Path:
    """Where the sweep's folder will be."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "logs" / "sweeps"


def the(sweep: Path) -> Path:
    (folder,) = sweep.iterdir()
    return folder


def states(sweep: Path) -> list[str]:
    jobs = sorted((path for path in the(sweep).iterdir() if path.name.isdecimal()), key=lambda job: int(job.name))
    assert [job.name for job in jobs] == [str(number) for number in range(len(jobs))]
    return [json.loads((job / "status.json").read_text())["state"] for job in jobs]


def rows(sweep: Path) -> list[dict[str, str]]:
    with (the(sweep) / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("seed=rnage(3)", "cannot read 'seed=rnage(3)'; did you mean range?"),
        ("seed=range(3", "write it as in 'seed=range(1,4)'"),
        ("seed=1,,2", "a value is missing beside a comma"),
        ("seed=range(0,3,0)", "seed=range(0,3,0) is no list of values"),
        ("seed=range(1e9)", "more values than a sweep may have jobs, 100,000"),
        ("data.seed=range(1000)", "these are 1,000,000 combinations, and a sweep has at most 100,000 jobs"),
    ],
)
def test_what_is_no_list_of_values_is_refused(word: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", word, "optimizer.lr=range(1,1001)"]) == 1
    assert sentence in capsys.readouterr().err


def test_a_grid_is_the_product_of_what_the_words_list() -> None:
    found = grid.grid(["optimizer=sgd,adam", "seed=range(3)", "model=deep", "loss=glob(m*)"], None)
    assert len(found.jobs) == 2 * 3 * 2
    assert found.jobs[0] == ["optimizer=sgd", "seed=0", "model=deep", "loss=mae"]
    assert found.jobs[-1] == ["optimizer=adam", "seed=2", "model=deep", "loss=mse"]
    assert len({tuple(job) for job in found.jobs}) == len(found.jobs)
    assert [found.job(number) for number in range(12)] == found.jobs
    assert found.varying == {"optimizer": ["sgd", "adam"], "seed": ["0", "1", "2"], "loss": ["mae", "mse"]}


@pytest.mark.parametrize(
    "words",
    [
        ["optimizer=sgd,adam", "optimizer.lr=0.001,1e-2", "seed=range(2)", "figures=none"],
        ["experiment=blobs_binary_feedforward", "seed=0,1", "figures=none"],
        ["data=mnist_5k", "data_root=/a,/b", "figures=none"],
        ["data=circles", "data.epochs=3,4", "trainer.max_epochs=null,5", "figures=none"],
        ["model=mlp", "model.hidden=[4,2],[3]", "model.dropout=0,0.5", "figures=none"],
        ["model.hidden=[3]", "++optimizer.lr=0.1,0.2", "optimizer.weight_decay=0.1", "figures=none"],
        ["data.batch_size=16,full", "data.seed=${seed}", "seed=3,4", "score=val/accuracy", "figures=none"],
        ["data=mnist_5k", "data_root=${oc.env:NOWHERE,null},/b", "seed=0,1", "figures=none"],
        ["model.hidden.0=8,9", "figures=none"],
        ["model.activation=relu,tanh", "init=glob(he*)", "figures=none"],
    ],
    ids=" ".join,
)
def test_planned_configurations_equal_composing_each_anew(words: list[str]) -> None:
    jobs = grid.grid(words, None).jobs
    for job, planned in zip(jobs, grid.records(jobs, None), strict=True):
        config = compose.compose(job)
        assert planned == build.record(config, validate.check(config))
        assert repr(planned) == repr(build.record(config, validate.check(config)))  # 1 is not 1.0


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("optimizer=adam seed=1", "optimizer=adam seed=1"),
        ("model.hidden=[64,32]", "model.hidden=64,32"),
        ("data.path='C:\\rows?.csv'", "data.path=C-rows-.csv"),
        ("data.path=$HOME/a.csv", "data.path=-HOME-a.csv"),
        ("data.path=../..", "data.path="),
        ("é" * 200, "é" * 59 + "~"),
        (
            "model.hidden=[64,32] model.activation=relu optimizer.lr=0.001 seed=12",
            "hidden=64,32 activation=relu lr=0.001 seed=12",
        ),
        (
            "data.seed=1 model.activation=leaky_relu trainer.max_epochs=1000 seed=12",
            "data.seed=1 activation=leaky_relu max_epochs=1000 seed=12",
        ),
        (
            "model=feedforward data.seed=100 optimizer=nesterov model.activation=leaky_relu seed=12",
            "~ optimizer=nesterov activation=leaky_relu seed=12",
        ),
        (f"seed=12 data.path={'very' * 20} model=mlp", "~ seed=12 model=mlp"),
        (f"seed=12{' ' * 60}", "seed=12"),
        (f"data.path={'very' * 20}", "data.path=~"),
        ("", ""),
    ],
)
def test_words_become_names_that_every_system_takes(words: str, name: str) -> None:
    assert readable(words) == name


def test_the_dashboard_calls_a_job_by_what_it_varies(sweep: Path) -> None:
    assert main(["-m", *SHORT[:2], "optimizer=sgd", "model.hidden=[4,2],[3]", "seed=0,1", "accelerator=cpu"]) == 0
    (folder,) = sweep.iterdir()
    names = [next(folder.glob(f"{job}/tensorboard/*/events.*")).parent.name for job in range(4)]
    assert names == [f"model.hidden={hidden} seed={seed}" for hidden in ("4,2", "3") for seed in (0, 1)]
    resume(folder / "3", ["trainer.max_epochs=2"], verbose=False)
    assert [path.name for path in (folder / "3" / "tensorboard").iterdir()] == names[3:]


def test_each_job_has_its_folder(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *SHORT, "optimizer=sgd,adam", "seed=0,1"]) == 0
    assert states(sweep) == ["completed"] * 4
    said = capsys.readouterr().out
    assert "4 runs over optimizer=sgd,adam × seed=0,1" in said and "job 3  optimizer=adam seed=1  val/loss" in said
    assert "4 of 4 done, 0 failed, best " in said


def test_flags_may_stand_anywhere(sweep: Path) -> None:
    assert main([*SHORT, "seed=0,1", "--multirun", "model=deep"]) == 0
    assert states(sweep) == ["completed"] * 2


def test_a_job_that_fails_does_not_hurt_the_rest(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-m", "data=regression_1d", "model=linear", "optimizer=sgd", "logger=none", "optimizer.lr=0.01,1e9,0.02"]
    assert main([*words, "trainer.max_epochs=20"]) == 1
    assert states(sweep) == ["completed", "diverged", "completed"]
    assert "2 of 3 runs completed" in capsys.readouterr().out


def test_a_picture_that_cannot_be_drawn_costs_nothing_else(
    sweep: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(leaderboard, "picture", fail)
        assert main(["-m", *SHORT, "seed=1,2"]) == 0
    said = capsys.readouterr().out
    assert "a picture is missing: OSError: no space left" in said and "2 of 2 runs completed" in said
    assert len(rows(sweep)) == 2 and not (the(sweep) / "leaderboard.png").exists()
    assert main(["-m", f"resume={the(sweep)}"]) == 0
    assert (the(sweep) / "leaderboard.png").exists()


def test_a_typo_in_the_last_job_costs_nothing(sweep: Path) -> None:
    assert main(["-m", *SHORT, "optimizer.lr=0.1,0.2,-3"]) == 1
    assert not sweep.exists()


def test_a_job_that_is_refused_leaves_a_record(sweep: Path) -> None:
    assert main(["-m", *SHORT, "model=lenet,deep"]) == 1
    assert states(sweep) == ["failed", "completed"]
    (refused,) = sweep.glob("*/0/status.json")
    assert json.loads(refused.read_text())["error"].startswith("model=lenet needs images")
