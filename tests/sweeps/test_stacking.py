"""`hydra/launcher=vectorized`: which jobs train as one, what is said of it, and what its keys do."""

import errno
import itertools
import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from fulmen.cli.main import main
from fulmen.data.tensors import Batch
from fulmen.experiment import stacked
from fulmen.runs import checkpoints
from fulmen.runs.files import write_text
from fulmen.runs.signals import Interrupted
from fulmen.sweeps import stacking
from fulmen.sweeps.grid import records
from fulmen.sweeps.launchers import Launcher
from fulmen.training.stack import networks

PLAIN = ("-m", "hydra/launcher=vectorized", "figures=none", "logger=none")
STACKED = (*PLAIN, "data.train_size=96", "data.val_size=40", "data.test_size=40")
"""3 steps a pass, all of the same size, so that each stack records one graph."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pictures that are made, but not painted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)


def configurations(*jobs: str) -> list[dict[str, Any]]:
    return [next(iter(records([job.split()], None))) for job in jobs]


def statuses() -> list[Mapping[str, Any]]:
    (sweep,) = Path("logs/sweeps").iterdir()
    found = sorted(sweep.glob("*/status.json"), key=lambda path: int(path.parent.name))
    return [json.loads(path.read_text("utf-8")) for path in found]


@pytest.mark.parametrize(
    "other",
    [
        "seed=1",
        "optimizer.lr=0.1",
        "optimizer.weight_decay=0.1",
        "penalty=l1 penalty.weight=0.1",
        "init=he_normal",
        "data.seed=3",
        "data.noise=0.2",
    ],
)
def test_runs_that_differ_in_these_train_as_one(other: str) -> None:
    one, two = configurations("data=moons", f"data=moons {other}")
    assert stacking.key(one) == stacking.key(two)


@pytest.mark.parametrize(
    "other",
    [
        "optimizer=sgd",
        "model=deep",
        "model.activation=relu",
        "data=circles",
        "data.batch_size=16",
        "data.train_size=100",
        "trainer.max_epochs=7",
        "trainer.gradient_clip=1",
        "loss=mse",
        "scheduler=cosine",
        "trainer.precision=64-true",
    ],
)
def test_runs_that_differ_in_these_do_not(other: str) -> None:
    one, two = configurations("data=moons", f"data=moons {other}")
    assert stacking.key(one) != stacking.key(two)


def test_a_share_of_dropout_may_differ_but_not_be_none() -> None:
    none, some, more = (stacking.key(each) for each in configurations(*(f"model.dropout={p}" for p in (0, 0.1, 0.5))))
    assert none != some == more


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("optimizer=lbfgs", "L-BFGS decides"),
        ("metrics=[cohen_kappa]", "metrics=[...] are measured of single runs"),
        ("start_from=first", "takes over the weights of another network"),
        ("freeze=[layers.0]", "trains a part of the weights"),
        ("learning_rates={layers.0:0.1}", "several rates for one network"),
        ("callbacks=timer", "callbacks watch a single run"),
        ("backprop=numpy", "found by hand"),
        ("trainer=debug", "looks at each operation"),
        ("trainer.precision=bf16-mixed", "bf16-mixed is not stacked"),
        ("figures.animation=true", "how weights change"),
        ("figures.inside=true", "how weights change"),
    ],
)
def test_what_trains_by_itself_says_why(words: str, why: str) -> None:
    (config,) = configurations(words)
    assert why in str(stacking.obstacle(config))


def test_a_sweep_says_what_trains_as_one_and_what_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STACKED, "seed=1,2", "optimizer=adam,lbfgs", "trainer.max_epochs=1"]) == 0
    said = capsys.readouterr().out
    assert "2 runs train as one, little faster, because they are few: jobs 0, 2" in said
    assert "jobs 1, 3 train one by one: L-BFGS decides" in said
    assert [status.get("stacked") for status in statuses()] == [2, None, 2, None]


@pytest.mark.parametrize(
    ("copies", "sizes", "words"),
    [
        (2, [2, 2, None], ("few: jobs 0 to 1", "job 2 trains by itself: h")),
        (1, [None] * 3, ("jobs 0 to 2 train one by one: hydra.launcher.copies=1",)),
    ],
)
def test_a_stack_has_as_many_copies_as_asked_for(
    copies: int, sizes: list[int | None], words: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*STACKED, "seed=range(3)", "trainer.max_epochs=1", f"hydra.launcher.copies={copies}"]) == 0
    assert [status.get("stacked") for status in statuses()] == sizes
    said = capsys.readouterr().out
    assert all(each in said for each in words)


def test_stacks_fit_into_memory_and_share_it_when_they_train_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def copies(processes: int) -> list[Any]:
        monkeypatch.setattr(Launcher, "processes", processes)
        assert main([*STACKED, "seed=range(5)", "optimizer=sgd,momentum", "trainer.max_steps=1"]) == 0
        shutil.move("logs", f"logs-{processes}")
        found = sorted(Path(f"logs-{processes}").glob("sweeps/*/*/status.json"))
        return [json.loads(path.read_text("utf-8")).get("stacked") for path in found]

    monkeypatch.setattr("fulmen.training.accelerators.free_memory", lambda _device: 50_000)
    alone, together = copies(1), copies(4)
    assert 1 < max(alone) < 5 and max(together) == max(alone) // 2, "two stacks, so each has half"


@pytest.mark.parametrize(("count", "processes"), [(3, 3), (-1, os.cpu_count()), (-10_000, 1)])
def test_joblib_runs_as_many_at_once_as_it_has_workers(count: int, processes: int) -> None:
    launcher = Launcher([STACKED[1], "hydra.launcher.through=joblib", f"hydra.launcher.n_jobs={count}"])
    assert launcher.inner is not None and launcher.inner.processes == processes
    assert Launcher([]).processes == 1


def test_a_run_whose_folder_cannot_be_written_to_costs_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_but_one(path: Path, *args: Any, **named: Any) -> None:
        if path.parts[-2:] == ("1", "history.csv"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        write_text(path, *args, **named)

    with monkeypatch.context() as failing:
        failing.setattr("fulmen.experiment.stacked_records.write_text", write_but_one)
        assert main([*STACKED, "seed=range(3)", "trainer.max_epochs=1"]) == 1
    assert [status["state"] for status in statuses()] == ["completed", "failed", "completed"]
    assert "Input/output error" in statuses()[1]["error"] and statuses()[1]["ended"]
    assert "2 of 3 runs completed" in capsys.readouterr().out
    (sweep,) = Path("logs/sweeps").iterdir()
    assert main(["-m", f"resume={sweep}", "retry=failed"]) == 0
    assert [status["state"] for status in statuses()] == ["completed"] * 3


def test_many_that_end_at_once_have_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("data=regression_1d", "optimizer=sgd", "optimizer.lr=0.001,1e20", "trainer.max_steps=40")
    assert main([*STACKED, "seed=range(12)", *words]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("job ")]
    ended = [line for line in lines if "of 24 done" in line]
    assert sum("diverged" in line for line in ended) == 12 and len(ended) <= 13
    assert "(12 of 24 done, 12 failed" in ended[-1]


FORKING = f"""\
import runpy, warnings
from joblib.externals.loky.backend.context import set_start_method
warnings.filterwarnings("ignore", "`fork` start method should not be used with `loky`")
set_start_method("fork")
runpy.run_path({str(Path(__file__).parents[2] / "train.py")!r}, run_name="__main__")
"""
"""`train.py`, with joblib's workers forked from it, which then need not import for seconds."""


def test_stacks_run_in_other_processes(forked: Callable[..., Any]) -> None:
    Path("forking.py").write_text(FORKING)
    joblib = ("hydra.launcher.through=joblib", "hydra.launcher.n_jobs=2", "hydra.launcher.copies=2")
    done = forked(*STACKED, "seed=range(4)", "trainer.max_epochs=1", *joblib, program=Path("forking.py").absolute())
    assert done.wait() == 0, done.stderr
    assert [(status["state"], status["stacked"]) for status in statuses()] == [("completed", 2)] * 4


def test_a_file_system_without_links_has_stacks_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", link)
    assert main([*STACKED, "seed=range(3)", "trainer.max_epochs=1"]) == 0
    assert [(status["state"], status["stacked"]) for status in statuses()] == [("completed", 3)] * 3
    assert not [*Path("logs/sweeps").rglob(".lock"), *Path("logs/sweeps").rglob("stacks")]


@pytest.mark.skipif(os.name == "nt", reason="a process of Windows holds a file against itself, too")
def test_a_run_that_another_process_takes_meanwhile_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    held, prepare = [], stacked.prepare_stack

    def prepare_and_hold(*args: Any) -> stacked.PreparedStack:
        (sweep,) = Path("logs/sweeps").iterdir()
        held.append((sweep / "1" / ".lock").open("wb"))
        fcntl.flock(held[0], fcntl.LOCK_EX)
        return prepare(*args)

    monkeypatch.setattr(stacked, "prepare_stack", prepare_and_hold)
    assert main([*STACKED, "seed=range(3)", "trainer.max_epochs=1"]) == 1
    assert [(status["state"], status["seed"]) for status in statuses()] == [("completed", 0), ("completed", 2)]
    held[0].close()


def test_a_sweep_stopped_while_it_writes_records_ends_as_an_undisturbed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    words = (
        "seed=range(3)",
        "data=moons",
        "data.noise=1",
        "optimizer.lr=0.5",
        "trainer.max_epochs=10",
    )
    assert main([*STACKED, *words]) == 0
    (whole,) = Path("logs/sweeps").iterdir()
    save, saved = torch.save, itertools.count()

    def save_and_stop(*args: Any) -> None:
        if next(saved) == 1:
            raise Interrupted(signal.SIGTERM)
        save(*args)

    with monkeypatch.context() as patches:
        patches.setattr(torch, "save", save_and_stop)
        patches.setattr(stacked, "SECONDS", 60.0)  # no checkpoint of the stack
        assert main([*STACKED, *words]) == 128 + signal.SIGTERM
    (sweep,) = {*Path("logs/sweeps").iterdir()} - {whole}
    assert main(["-m", f"resume={sweep}"]) == 0
    for number in "012":
        assert (sweep / number / "metrics.json").read_text() == (whole / number / "metrics.json").read_text()


def test_runs_that_are_retried_start_over(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("seed=range(3)", "data=moons", "trainer.max_epochs=5")
    assert main([*STACKED, *words]) == 0
    (whole,) = Path("logs/sweeps").iterdir()
    monkeypatch.setattr(stacked, "SECONDS", 0.0)
    step, number = networks.Stack.step, itertools.count()

    def wrong(self: networks.Stack, batch: Batch, *args: Any) -> torch.Tensor:
        if next(number) == 10:
            raise RuntimeError("no way")
        return step(self, Batch(batch.x + 1, batch.y), *args)

    with monkeypatch.context() as patches:
        patches.setattr(networks.Stack, "step", wrong)
        assert main([*STACKED, *words]) == 1
    (sweep,) = {*Path("logs/sweeps").iterdir()} - {whole}
    assert (sweep / "stacks" / "0.ckpt").exists()
    assert main(["-m", f"resume={sweep}", "retry=failed"]) == 0
    for job in "012":
        assert (sweep / job / "metrics.json").read_text() == (whole / job / "metrics.json").read_text()


def test_paths_of_a_stack_that_is_begun_from_another_folder_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("rows.csv").write_text("a,y\n" + "".join(f"{row / 50},{row**0.5}\n" for row in range(50)))
    words = ("data=table", "data.path=rows.csv", "data.target=y", "data.seed=0,1", "trainer.max_epochs=1")
    with monkeypatch.context() as patches:  # as if it had been stopped before the first job began
        patches.setattr("fulmen.sweeps.sweep.run_all", lambda *_: None)
        assert main([*PLAIN, *words]) == 1
    (sweep,) = Path("logs/sweeps").iterdir()
    sweep = sweep.absolute()
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert main(["-m", f"resume={sweep}"]) == 0
    assert json.loads((sweep / "1" / "status.json").read_text())["stacked"] == 2
    assert main([f"rerun={sweep / '1'}", "run_dir=again"]) == 0


def test_a_stack_that_cannot_go_on_begins_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("seed=range(2)", "data=moons", "trainer.max_epochs=5")
    assert main([*STACKED, *words]) == 0
    (whole,) = there = {*Path("logs/sweeps").iterdir()}
    save = checkpoints.save
    for lost in ("rows", "shapes"):
        saved = itertools.count()

        def save_and_stop(content: Any, path: Path, saved: Iterator[int] = saved) -> None:
            save(content, path)
            if next(saved) == 3:
                raise Interrupted(signal.SIGTERM)

        with monkeypatch.context() as patches:
            patches.setattr(stacked, "SECONDS", 0.0)
            patches.setattr(stacked, "SHARE", 1e9)
            patches.setattr(checkpoints, "save", save_and_stop)
            assert main([*STACKED, *words]) == 128 + signal.SIGTERM
        (sweep,) = {*Path("logs/sweeps").iterdir()} - there
        there.add(sweep)
        if lost == "rows":
            (sweep / "stacks" / "0.rows").unlink()
        else:
            content = checkpoints.load(sweep / "stacks" / "0.ckpt")
            narrower = {"weights": content["fit"]["weights"][:, 1:]}
            save({**content, "shapes": [], "fit": content["fit"] | narrower}, sweep / "stacks" / "0.ckpt")
        assert main(["-m", f"resume={sweep}"]) == 0
        assert "its runs begin again" in capsys.readouterr().err, lost
        for job in "01":
            assert (sweep / job / "metrics.json").read_text() == (whole / job / "metrics.json").read_text()
            columns = [pd.read_csv(each / job / "history.csv").drop(columns="seconds") for each in (sweep, whole)]
            assert columns[0].equals(columns[1])


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("hydra.launcher.copies=0", "hydra.launcher.copies is 0, but must be a whole number of at least 1"),
        ("hydra.launcher.copies=many", "hydra.launcher.copies is 'many', but must be"),
        ("hydra.launcher.copes=3", "did you mean hydra.launcher.copies?"),
        ("hydra.launcher.through=slurm", "hydra.launcher.through is 'slurm', but must be one of basic, joblib, ray"),
        ("hydra.launcher.n_jobs=2", "keys of joblib or ray go beside hydra.launcher.through="),
    ],
)
def test_a_wrong_key_gets_a_sentence(word: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*STACKED, "seed=1,2", word]) == 1
    assert sentence in capsys.readouterr().err
    assert not Path("logs").exists()


def test_an_ordinary_sweep_says_that_it_could_be_stacked(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "seed=range(8)", "trainer.max_steps=1", "figures=none", "logger=none"]) == 0
    assert "hint: all 8 runs could train together, in steps about 3 times faster" in capsys.readouterr().out


@pytest.mark.parametrize("words", ["optimizer=lbfgs", "data=mnist_5k model=mlp model.hidden=[500] data.batch_size=256"])
def test_it_says_nothing_where_it_would_gain_nothing(words: str) -> None:
    assert stacking.hint(configurations(*(f"{words} seed={seed}" for seed in range(8)))) is None


@pytest.mark.parametrize("hidden", [8, None, "wide", ["wide"]])
def test_a_model_of_ones_own_may_mean_something_else_by_hidden(hidden: object) -> None:
    found = configurations(*(f"seed={seed}" for seed in range(8)))
    assert "8 runs" in str(stacking.hint([each | {"model": each["model"] | {"hidden": hidden}} for each in found]))


def test_a_search_chooses_several_runs_at_once() -> None:
    words = ("sweep=optuna", "optimizer.lr=tag(log, interval(0.001, 0.1))", "hydra.sweeper.n_trials=10")
    assert main([*STACKED, *words, "trainer.max_epochs=1"]) == 0
    assert [status.get("stacked") for status in statuses()] == [8] * 8 + [2] * 2
    (sweep,) = Path("logs/sweeps").iterdir()
    assert main(["-m", f"resume={sweep}", "hydra.sweeper.n_trials=13"]) == 0
    assert [status.get("stacked") for status in statuses()] == [8] * 8 + [2] * 2 + [3] * 3


KILLED = """\
import os, signal, sys
from fulmen.cli.main import main
from fulmen.experiment import stacked
from fulmen.runs import checkpoints

def save_and_kill(content, path):
    save(content, path)
    if path.parent.name == "stacks" and content["fit"]["number"] >= 20:
        os.kill(os.getpid(), signal.SIGKILL)

save, checkpoints.save = checkpoints.save, save_and_kill
vars(stacked).update(SECONDS=0.0, SHARE=1e9)  # saves at every place where it may
main(sys.argv[1:])
"""


def test_a_sweep_that_was_killed_goes_on_as_a_stack(forked: Callable[..., Any]) -> None:
    words = ("seed=range(3)", "trainer.max_epochs=20", "model=deep", "model.dropout=0.2")
    assert main([*STACKED, *words]) == 0
    (whole,) = Path("logs/sweeps").iterdir()
    Path("killed.py").write_text(KILLED)
    killed = forked(*STACKED, *words, program=Path("killed.py").absolute())
    assert killed.wait() == -signal.SIGKILL, killed.stderr
    (sweep,) = {*Path("logs/sweeps").iterdir()} - {whole}
    assert main(["-m", f"resume={sweep}"]) == 0
    for number in "012":
        assert (sweep / number / "metrics.json").read_text() == (whole / number / "metrics.json").read_text()
        status = json.loads((sweep / number / "status.json").read_text())
        assert status["stacked"] == 3 and status["resumed"][0]["step"] >= 20
    assert not (sweep / "stacks").exists()
