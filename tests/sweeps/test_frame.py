"""A sweep from Python: its frame and curves are what its files hold, and the process is as it was."""

import functools
import json
import os
import re
import shutil
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from torch import Tensor, nn

import fulmen
from fulmen.config.groups import conf_dir
from fulmen.errors import ConfigurationError, Finished
from fulmen.experiment import build
from fulmen.runs.signals import STOPS, Interrupted
from fulmen.sweeps.frame import SweepResults

SIZES = ["data.train_size=40", "data.val_size=40", "data.test_size=8", "logger=none", "accelerator=cpu"]
GRID = ["optimizer.lr=0.01,1e12", "data.batch_size=20,40", "model.bias=true,false", "init=he_normal,xavier_uniform"]
LINE = ["data=linear_1d", "model=linear", "optimizer=gd", *SIZES, "trainer.max_epochs=4"]
MOODY = ["allow_targets=[moody]", "model=moody", "data=circles", *SIZES, "trainer.max_epochs=2"]
pytestmark = pytest.mark.usefixtures("unpainted")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> SweepResults:
    """Sixteen runs, half of which diverge, in groups that are measured at different steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("sweep"))
        ran = fulmen.sweep([*LINE, *GRID, "hydra/launcher=vectorized"])
        return fulmen.load_sweep(ran.folder.absolute())


class Net(nn.Module):
    """A network with an argument of its own, which has the name of a shipped one as well."""

    def __init__(self, in_shape: tuple[int, ...], out_features: int, width: int = 4, act: Any = nn.Tanh) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_shape[0], width), act(), nn.Linear(width, out_features))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


mlp = type("mlp", (Net,), {"__module__": __name__})


def _json(run: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / name).read_text("utf-8"))
    return content


def test_the_frame_has_what_the_files_of_each_run_have(found: SweepResults) -> None:
    frame = found.frame
    assert [*frame.index] == [*range(16)] and frame.index.name == "job"
    assert [*frame.columns[:6]] == ["state", "score", "optimizer.lr", "data.batch_size", "model.bias", "init"]
    assert [*frame.columns[-3:]] == ["steps", "seconds", "folder"]
    kinds = [frame[name].dtype.kind for name in ("optimizer.lr", "data.batch_size", "model.bias", "steps")]
    assert kinds == ["f", "i", "b", "i"] and pd.api.types.is_string_dtype(frame["init"])
    for number, row in frame.iterrows():
        run, status = Path(row["folder"]), _json(Path(row["folder"]), "status.json")
        assert run == found.folder / str(number)
        assert [row[name] for name in ("state", "steps", "seconds")] == [
            status[name] for name in ("state", "steps", "seconds")
        ]
        config = yaml.safe_load((run / "config.yaml").read_text("utf-8"))
        assert row["optimizer.lr"] == config["optimizer"]["lr"] and row["init"] == config["choices"]["init"]
        assert (row["data.batch_size"], row["model.bias"]) == (config["data"]["batch_size"], config["model"]["bias"])
        if row["state"] == "completed":
            metrics = _json(run, "metrics.json")
            numbers = {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
            assert row[6:-3].to_dict() == numbers and row["score"] == metrics["val/loss"]
        else:
            assert row["state"] == "diverged" and row[6:-3].isna().all() and pd.isna(row["score"])
    assert frame["state"].value_counts().to_dict() == {"completed": 8, "diverged": 8}


def test_the_frame_has_the_columns_of_the_leaderboard(found: SweepResults) -> None:
    board = pd.read_csv(found.folder / "leaderboard.csv", index_col="job").sort_index()
    ours = found.frame.drop(columns=["steps", "seconds", "folder"])
    pd.testing.assert_frame_equal(board.drop(columns="folder"), ours, check_dtype=False, check_exact=True)


def test_curves_are_the_columns_of_the_histories(found: SweepResults) -> None:
    keys = ["optimizer.lr", "data.batch_size", "model.bias", "init"]
    curves = found.curves
    assert [*curves.columns] == ["job", *keys, "step", "metric", "value"]
    assert [curves[name].dtype.kind for name in ("job", "step", "value", "optimizer.lr")] == ["i", "i", "f", "f"]
    tables = {number: pd.read_csv(found.folder / str(number) / "history.csv") for number in range(16)}
    table = pd.concat(tables, names=["job"]).reset_index("job")
    for name in tables[0].columns.drop("step"):
        ours = curves[curves["metric"] == name]
        assert ours["step"].tolist() == table["step"].tolist() and ours["job"].tolist() == table["job"].tolist()
        np.testing.assert_array_equal(ours["value"], table[name])
    assert len(curves) == len(table) * (len(tables[0].columns) - 1)
    pd.testing.assert_frame_equal(
        curves[keys].set_index(curves["job"]).drop_duplicates(), found.frame[keys], check_names=False
    )


@pytest.mark.parametrize(
    ("score", "sentence"),
    [(3, "and not 3"), (["val/loss"], "the name of a metric"), ("val/los", "did you mean val/loss")],
)
def test_a_wrong_score_is_refused_in_a_sentence(found: SweepResults, score: Any, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)):
        found.compare(score)


def test_it_is_shown_in_a_line_that_ranks_nothing(found: SweepResults) -> None:
    losses = [_json(found.folder / str(run), "metrics.json")["val/loss"] for run in range(8)]
    assert repr(found) == (
        f"<sweep {found.folder}: 8 completed, 8 diverged; val/loss from {min(losses):.4g} to {max(losses):.4g}; "
        "compare() tells which configurations differ>"
    )


def test_a_damaged_run_is_listed_and_costs_no_other(
    found: SweepResults, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    shutil.copytree(found.folder, folder)
    (folder / "1" / "metrics.json").write_text('{"val/loss": 0.')
    (folder / "2" / "status.json").write_text('{"state": "fine"}')
    (folder / "3" / "history.csv").write_text("step,train/loss\n2\n")
    (folder / "4" / "history.csv").write_text("step,train/loss\n,1\n")
    damaged = fulmen.load_sweep(folder)
    assert [*damaged.frame["state"][:5]] == ["completed", "damaged", "damaged", "completed", "completed"]
    assert damaged.frame.loc[1:2, "score":"val/loss"].isna().to_numpy()[:, [0, -1]].all()
    assert damaged.frame["steps"][:3].isna().tolist() == [False, False, True], "what can be read is there"
    others = [0, *range(3, 16)]
    columns = [name for name in found.frame.columns if name != "folder"]
    pd.testing.assert_frame_equal(
        damaged.frame.loc[others, columns], found.frame.loc[others, columns], check_dtype=False
    )
    assert "8 diverged" in repr(damaged) and "2 damaged" in repr(damaged)
    expected = found.curves[~found.curves["job"].isin([3, 4])].reset_index(drop=True)
    pd.testing.assert_frame_equal(damaged.curves, expected)
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[2].partition(": ")[0] for line in said] == [
        f"job {number} is left out of the curves" for number in (3, 4)
    ]


def test_refusals_are_sentences(found: SweepResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="there is no folder logs/sweeps/none; sweeps are in logs/sweeps"):
        fulmen.load_sweep("logs/sweeps/none")
    with pytest.raises(ConfigurationError, match=r"is a single run, not a sweep; fulmen\.load loads it"):
        fulmen.load_sweep(found.folder / "0")
    for words, why in {
        "seed=1,2 retry=failed": "retry= goes with -m resume=",
        "rerun=logs/runs/x": "rerun= is for single runs",
        "seed=1,2 modle=deep": "there is no key 'modle'; did you mean model",
        "hydra/launcher=vectorised seed=1,2": "did you mean vectorized",
    }.items():
        with pytest.raises(ConfigurationError, match=why):
            fulmen.sweep(words.split())
    with pytest.raises(ConfigurationError, match=r"not one text; give \['seed=1,2', 'model=deep'\]"):
        fulmen.sweep("seed=1,2 model=deep")
    assert not list(tmp_path.iterdir()), "nothing is written"


def test_a_job_that_fails_is_in_the_frame_and_the_process_is_as_it_was(
    place: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def host() -> dict[str, Any]:
        return {
            "signals": [signal.getsignal(signum) for signum in STOPS],
            "place": os.getcwd(),
            "threads": (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS"), threading.enumerate()),
            "random": torch.get_rng_state().tolist(),
        }

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = host()
    found = fulmen.sweep([*MOODY, "model.mood=fine,raises,exits", "model.number=0,null"], config_dir="own")
    assert host() == before
    frame = found.frame
    assert [*frame["state"]] == ["completed"] * 2 + ["failed"] * 4
    assert [*frame["model.mood"]] == ["fine", "fine", "raises", "raises", "exits", "exits"]
    assert frame["model.number"].isna().tolist() == [False, True] * 3 and frame.loc[0, "model.number"] == 0
    assert frame.loc[2:, ["score", "val/loss", "test/loss"]].isna().all(axis=None)
    again = fulmen.load_sweep(str(found.folder))
    pd.testing.assert_frame_equal(again.frame, frame)
    assert repr(again) == repr(found)


@pytest.mark.parametrize(("cls", "launcher"), [(Net, "basic"), (mlp, "vectorized")])
def test_a_class_and_arrays_are_swept_as_they_are_trained(
    cls: Any, launcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    x = np.random.default_rng(0).normal(size=(60, 3))
    words = ["trainer.max_epochs=2", "logger=none", "figures=none", "accelerator=cpu"]
    varied = [*words, f"hydra/launcher={launcher}", "model.width=2,8", "seed=0,1"]
    found = fulmen.sweep(varied, model=cls, data=(x, x[:, 0]), verbose=False)
    assert capsys.readouterr().out == ""
    assert found.frame["model.width"].tolist() == [2, 2, 8, 8] and set(found.frame["state"]) == {"completed"}
    alone = fulmen.train([*words, "seed=1"], model=functools.partial(cls, width=8), data=(x, x[:, 0]), verbose=False)
    assert found.frame["score"][3] == pytest.approx(alone.metrics["val/loss"], rel=1e-5)
    assert next(fulmen.load(found.frame["folder"][3]).model.parameters()).shape == (8, 3)


def test_a_frame_is_swept_as_it_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0).normal(size=60)
    columns = {
        "a b": draw,
        "it's, a code": [f"{row % 4:03d}" for row in range(60)],
        "the, class": np.where(draw > 0, "007", "x"),
    }
    words = ["trainer.max_epochs=1", "logger=none", "figures=none", "accelerator=cpu"]
    frame = pd.DataFrame(columns)
    found = fulmen.sweep([*words, "seed=0,1"], data=frame, target="the, class")
    alone = fulmen.train([*words, "seed=1"], data=frame, target="the, class", verbose=False)
    assert found.frame["score"][1] == alone.metrics["val/loss"]
    several = fulmen.sweep(
        words, data=pd.DataFrame({"1": draw, "2": draw, "3": draw}), target=["2", "3"], verbose=False
    )
    assert several.frame["state"].tolist() == ["completed"]


def test_a_class_that_runs_would_not_find_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    unnamed = type("Net", (Net,), {"__module__": "__main__"})
    for words, keywords, sentence in (
        (["hydra/launcher=joblib"], {"model": unnamed}, "where Net cannot be found: it is defined in this program"),
        ([], {"model": Net, "config_dir": "own"}, f"make it {Path('own/model/net.yaml')}"),
        (["model=deep"], {"model": Net}, "model=deep and model= are two of a kind"),
        (["data=moons"], {"data": (np.ones((9, 2)), np.ones(9))}, "data=moons and data= are two of a kind"),
        (["model.widht=3"], {"model": Net}, "there is no key 'model.widht'; did you mean model.width?"),
    ):
        with pytest.raises(ConfigurationError, match=re.escape(sentence)):
            fulmen.sweep([*words, "seed=0,1"], **keywords)
        assert not Path("logs/sweeps").exists()


def test_a_launcher_of_hydras_runs_inside_an_application_of_hydras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=1"]  # in this process
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):  # as under @hydra.main
        found = fulmen.sweep([*LINE, "seed=0,1", *launcher])
        assert compose("train").seed == 0, "the application is still there"
    assert [*found.frame["state"]] == ["completed"] * 2 and [*found.frame["seed"]] == [0, 1]


def test_a_signal_is_raised_and_the_sweep_can_be_finished(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRUCK", "1")
    monkeypatch.setenv("STRUCK_BY", "SIGINT")
    handlers = [signal.getsignal(signum) for signum in STOPS]
    with pytest.raises(Interrupted, match="SIGINT"):
        fulmen.sweep([*MOODY, "model.number=0,1,2"], config_dir="own")
    assert [signal.getsignal(signum) for signum in STOPS] == handlers
    stopped = fulmen.load_sweep(place.folder)
    assert [*stopped.frame["state"]] == ["completed", "interrupted", "planned"]
    assert stopped.frame["steps"].isna().tolist()[::2] == [False, True]
    assert f"resume={place.folder.relative_to(place.here)}" in capsys.readouterr().out
    monkeypatch.delenv("STRUCK")
    words = [f"resume={place.folder}", "allow_targets=[moody]"]
    for _ in range(2):  # the second time there is nothing more to do
        resumed = fulmen.sweep(words, config_dir="own")
        assert resumed.folder == place.folder and [*resumed.frame["state"]] == ["completed"] * 3
    assert [*resumed.curves["job"].unique()] == [0, 1, 2] and resumed.curves["value"].notna().all()


def test_a_signal_before_a_stack_trains_makes_no_failure_of_its_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = build.train_stack

    def struck(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        own(*arguments)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fulmen.sweeps.job.train_stack", struck)
    with pytest.raises(Interrupted):
        fulmen.sweep([*LINE, "seed=0,1", "hydra/launcher=vectorized"])
    (folder,) = tmp_path.glob("logs/sweeps/*")
    planned = fulmen.load_sweep(folder)
    assert [*planned.frame["state"]] == ["planned"] * 2
    assert planned.curves.empty and [*planned.curves.columns] == ["job", "seed", "step", "metric", "value"]


def _search(*words: str) -> Sequence[str]:
    space = ["optimizer.lr=tag(log, interval(0.001, 0.1))", "model.hidden=choice([8],[16,16])", "model=mlp"]
    return [
        "sweep=optuna",
        "data=circles",
        *SIZES,
        "trainer.max_epochs=1",
        "hydra.sweeper.sampler=random",
        *space,
        *words,
    ]


def test_a_search_has_a_row_for_each_run_that_it_chose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = fulmen.sweep(_search("hydra.sweeper.n_trials=2"))
    more = fulmen.sweep([f"resume={found.folder}", "hydra.sweeper.n_trials=3"])
    assert [*more.frame["state"]] == ["completed"] * 3 and len(found.frame) == 2
    for _, row in more.frame.iterrows():
        config = yaml.safe_load((Path(row["folder"]) / "config.yaml").read_text("utf-8"))
        assert row["optimizer.lr"] == config["optimizer"]["lr"]
        assert row["model.hidden"] == str(config["model"]["hidden"]).replace(" ", ""), "a list is as it was typed"
    plan = yaml.safe_load((more.folder / "sweep.yaml").read_text("utf-8"))
    plan["jobs"] = plan["search"]["options"]["n_trials"] = 20  # as one that was stopped
    (more.folder / "sweep.yaml").write_text(yaml.safe_dump(plan), "utf-8")
    assert len(fulmen.load_sweep(more.folder).frame) == 3


def test_a_search_that_has_all_its_runs_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = _search("hydra.sweeper.n_trials=1", "hydra.sweeper.storage=sqlite:///study.db")
    assert len(fulmen.sweep(words).frame) == 1
    with pytest.raises(Finished, match="has its 1 run: nothing more to do"):
        fulmen.sweep(words)
    assert len(list(tmp_path.glob("logs/sweeps/*"))) == 1
