"""`-m`: every combination, each in its folder, whatever becomes of the others."""

import json
from pathlib import Path

import pytest

from fulmen.cli import main
from fulmen.experiment import resume
from fulmen.names import readable
from fulmen.sweeps import grid
from fulmen.words import conf_dir, expand, read

SHORT = ["data=circles", "trainer.max_epochs=1", "logger=none"]


LEAVES = """\
import sys
from torch import nn

class Leaves(nn.Linear):
    def __init__(self, in_shape, out_features, code):
        super().__init__(in_shape[0], out_features)
        self.code = code

    def forward(self, x):
        if self.training and self.code >= 0:
            sys.exit(self.code)
        return super().forward(x)
"""


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sweep's folder will be."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "logs" / "sweeps"


def states(sweep: Path) -> list[str]:
    (folder,) = sweep.iterdir()
    jobs = sorted(folder.iterdir(), key=lambda job: int(job.name))
    assert [job.name for job in jobs] == [str(number) for number in range(len(jobs))]
    return [json.loads((job / "status.json").read_text())["state"] for job in jobs]


def test_a_grid_is_the_product_of_what_the_words_list() -> None:
    words = [read(word) for word in ("optimizer=sgd,adam", "seed=range(3)", "model=deep", "loss=glob(m*)")]
    jobs = list(expand(words, [conf_dir()]))
    assert len(jobs) == 2 * 3 * 2
    assert jobs[0] == ["optimizer=sgd", "seed=0", "model=deep", "loss=mae"]
    assert jobs[-1] == ["optimizer=adam", "seed=2", "model=deep", "loss=mse"]
    assert len({tuple(job) for job in jobs}) == len(jobs)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("optimizer=adam seed=1", "optimizer=adam seed=1"),
        ("model.hidden=[64,32]", "model.hidden=64,32"),
        ("data.path='C:\\rows?.csv'", "data.path=C-rows-.csv"),
        ("data.path=$HOME/a.csv", "data.path=-HOME-a.csv"),
        ("data.path=../..", "data.path="),
        ("é" * 200, "é" * 60),
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
    assert "4 jobs over optimizer=sgd,adam, seed=0,1" in said and "job 3  optimizer=adam seed=1  val/loss" in said


def test_flags_may_stand_anywhere(sweep: Path) -> None:
    assert main([*SHORT, "seed=0,1", "--multirun", "model=deep"]) == 0
    assert states(sweep) == ["completed"] * 2


def test_a_job_that_fails_does_not_hurt_the_rest(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["-m", "data=regression_1d", "model=linear", "optimizer=sgd", "logger=none", "optimizer.lr=0.01,1e9,0.02"]
    assert main([*words, "trainer.max_epochs=20"]) == 1
    assert states(sweep) == ["completed", "diverged", "completed"]
    assert "2 of 3 jobs completed" in capsys.readouterr().out


def test_a_job_that_exits_is_a_failure(sweep: Path, tmp_path: Path) -> None:
    own = tmp_path / "own" / "model"
    own.mkdir(parents=True)
    (tmp_path / "own" / "leaves.py").write_text(LEAVES)
    (own / "leaves.yaml").write_text("# leaves\n_target_: leaves.Leaves\n_partial_: true\ncode: 0\n")
    words = ["--config-dir", "own", "allow_targets=[leaves]", "model=leaves", "model.code=0,-1"]
    assert main(["-m", *SHORT, *words]) == 1
    assert states(sweep) == ["failed", "completed"]


def test_a_typo_in_the_last_job_costs_nothing(sweep: Path) -> None:
    assert main(["-m", *SHORT, "optimizer.lr=0.1,0.2,-3"]) == 1
    assert not sweep.exists()


def test_the_plan_is_the_configuration_of_the_moment() -> None:
    jobs = grid.plan(["model=deep,shallow", "seed=3"], None)
    assert [job.choices.model for job in jobs] == ["deep", "shallow"] and {job.seed for job in jobs} == {3}


def test_a_job_that_is_refused_leaves_a_record(sweep: Path) -> None:
    assert main(["-m", *SHORT, "model=lenet,deep"]) == 1
    assert states(sweep) == ["failed", "completed"]
    (refused,) = sweep.glob("*/0/status.json")
    assert "lenet needs images" in json.loads(refused.read_text())["error"]
