"""A run that was stopped anywhere, even by SIGKILL, ends as the undisturbed one: weights, history, TensorBoard."""

import csv
import json
import multiprocessing
import random
import re
import runpy
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from filelock import FileLock
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fulmen
from fulmen.cli.main import main
from fulmen.config.groups import choices, conf_dir
from fulmen.errors import Finished
from fulmen.experiment.build import resume

WORDS = ("data=moons", "data.train_size=70", "data.batch_size=8", "data.val_size=20", "data.test_size=20")
NETWORK = ("model=deep", "model.dropout=0.2", "model.hidden=[6,4]", "accelerator=cpu", "seed=3", "weights=last")
BOARD, CSV = ("logger=tensorboard", "optimizer=adam"), ("logger=csv", "optimizer=momentum")
RUN = (*WORDS, "logger=none", "figures=none", *NETWORK, "trainer.max_epochs=10", "trainer.points=5")
"""9 steps a pass, 90 in all; an interval is 2 passes, 18 steps."""
PLACES = {"in a pack's middle": (7, 31), "at a pass's end": (9, 45), "at an interval's end": (9, 54)}
"""Length of packs and the step that is never taken: at 31 the last checkpoint is of step 25, else of that very step."""

EVERYWHERE: list[tuple[str, ...]] = [
    (*BOARD, "figures.inside=true"),
    ("scheduler=plateau", "scheduler.patience=1", "trainer.patience=3", "optimizer.lr=0.5", *CSV),
]
"""What counts passes or writes at their ends is killed at each of the places, and twice at the first; the latter stops
early, at step 81."""
ONCE: list[tuple[str, ...]] = [
    ("optimizer=nesterov", "scheduler=step", "scheduler.epochs=3", "trainer.max_steps=80"),
    ("optimizer=adamw", "scheduler=one_cycle"),
    ("optimizer=rmsprop", "trainer.accumulate=2", "trainer.gradient_clip=0.5"),
    ("optimizer=adagrad", "trainer.max_steps=80"),
    ("optimizer=lbfgs", "trainer.max_steps=40"),
    ("backprop=numpy", "model.dropout=0", "optimizer=sgd", "scheduler=cosine"),
    ("backprop=tensors", "model.dropout=0", "optimizer=gd"),
]
CASES = [*((case, [*PLACES]) for case in EVERYWHERE), *((case, [*PLACES][:1]) for case in ONCE)]


def start(
    folder: Path, words: Sequence[str] | None, at: int | str | None = None, number: int = signal.SIGKILL
) -> BaseProcess:
    """A process that trains in `folder`, anew or on, and sends itself a signal at some step."""
    config = None if words is None else fulmen.compose(words)  # here, where most of it was composed before
    names = {"FOLDER": str(folder), "CONFIG": config, "KILL_AT": at, "SIGNAL": number}
    script = str(Path(__file__).with_name("killed.py"))
    server = multiprocessing.get_context("forkserver")
    process = server.Process(target=runpy.run_path, args=(script,), kwargs={"init_globals": names})
    process.start()
    return process


def train_and_kill(folder: Path, words: Sequence[str] | None, at: int | str) -> None:
    process = start(folder, words, at)
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
    board = EventAccumulator(str(next((folder / "tensorboard").iterdir()))).Reload()
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


TORCHS = {
    *("adadelta", "adafactor", "adamax", "asgd", "muon", "nadam", "radam", "rprop"),
    *("constant_lr", "cosine_annealing", "cosine_annealing_warm_restarts", "cyclic", "exponential", "linear"),
    *("multi_step", "polynomial", "step_lr"),
}
"""Optimizers and schedules of torch, which test_own_parts.py stops and resumes without a kill."""


def test_every_optimizer_and_scheduler_is_killed() -> None:
    for group in ("optimizer", "scheduler"):
        killed = {word for case, _ in CASES for word in case if word.startswith(f"{group}=")}
        files = choices(group, [conf_dir()])
        ours = {f"{group}={name}" for name, path in files.items() if name not in TORCHS}
        assert killed >= ours - {"scheduler=constant"}, "the last is what the other cases have"


@pytest.mark.parametrize(("case", "places"), CASES, ids=[" ".join(case) for case, _ in CASES])
def test_a_killed_run_ends_as_the_undisturbed_one(case: tuple[str, ...], places: list[str], tmp_path: Path) -> None:
    undisturbed = fulmen.train(fulmen.compose([*RUN, *case]), folder=tmp_path / "undisturbed", verbose=False)
    for place in places:
        folder, (pack, step) = tmp_path / place, PLACES[place]
        train_and_kill(folder, [*RUN, *case, f"trainer.pack={pack}"], step)
        if len(places) > 1 and place == places[0]:
            train_and_kill(folder, None, step + 37)
        resume(folder, verbose=False)
        assert_same(folder, undisturbed.folder)


@pytest.mark.slow
def test_three_kills_in_a_row(tmp_path: Path) -> None:
    """At whatever moment, in training, while saving, or between."""
    words = [*RUN, "trainer.max_epochs=120", "trainer.pack=50", "scheduler=cosine", "optimizer=adamw"]
    undisturbed = fulmen.train(fulmen.compose(words), folder=tmp_path / "undisturbed", verbose=False)
    chance, folder, steps = random.Random(0), tmp_path / "killed", [0]
    last = folder / "checkpoints" / "last.ckpt"
    while len(steps) <= 3:
        process, saved = (
            start(folder, None if last.exists() else words),
            {last.stat().st_mtime_ns if last.exists() else 0},
        )
        while process.is_alive() and len(saved) < 3:  # the one before, the one it begins with, and one that it came to
            time.sleep(0.002)
            saved.add(last.stat().st_mtime_ns if last.exists() else 0)
        process.join(chance.uniform(0, 0.05))
        process.kill()
        process.join()
        assert json.loads((folder / "status.json").read_text())["state"] == "running", "over before it could be killed"
        steps.append(torch.load(last, weights_only=True)["global_step"])
    assert steps == sorted({*steps}), "each came further"
    resume(folder, verbose=False)
    assert_same(folder, undisturbed.folder)


@pytest.mark.parametrize(
    ("number", "at"),
    [(signal.SIGINT, 31), (signal.SIGUSR2, 45), (signal.SIGTERM, 54)],
)
def test_a_signal_ends_a_run_where_it_can_go_on(number: int, at: int, undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, [*RUN, "trainer.pack=7"], at, number)
    process.join(60)
    assert json.loads((folder / "status.json").read_text())["state"] == "interrupted"
    resume(folder, verbose=False)
    assert_same(folder, undisturbed)


def test_a_run_killed_while_it_is_evaluated_is_evaluated(tmp_path: Path) -> None:
    for case in ((), ("trainer.patience=2", "optimizer.lr=0.3")):
        undisturbed = fulmen.train(fulmen.compose([*RUN, *case]), folder=tmp_path / f"a{len(case)}", verbose=False)
        folder = tmp_path / f"b{len(case)}"
        train_and_kill(folder, [*RUN, *case], "evaluation")
        assert not (folder / "metrics.json").exists()
        resume(folder, verbose=False)
        assert_same(folder, undisturbed.folder)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run killed at step 60 of 90; the checkpoint is of step 54, the one before of 50."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    train_and_kill(folder, [*RUN, "trainer.pack=7"], 60)
    return folder


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fulmen.train(fulmen.compose(RUN), folder=tmp_path_factory.mktemp("whole") / "run", verbose=False).folder


@pytest.fixture
def copy(stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the stopped run, `run` in the working directory."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(stopped, tmp_path / "run")
    return tmp_path / "run"


def test_the_command_goes_on(copy: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume=run"]) == 0
    said = capsys.readouterr()
    assert "resumes at: step 54" in said.out and "final metrics" in said.out and not said.err
    assert_same(copy, undisturbed)
    status = json.loads((copy / "status.json").read_text())
    assert status["state"] == "completed" and status["overrides"] == [*RUN, "trainer.pack=7"]
    assert [part["step"] for part in status["resumed"]] == [54]


@pytest.mark.parametrize("damage", [lambda content: content[: len(content) // 2], lambda content: b"", lambda _: b"x"])
def test_a_torn_checkpoint_is_passed_over(
    damage: Any, copy: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = copy / "checkpoints" / "last.ckpt"
    last.write_bytes(damage(last.read_bytes()))
    (copy / "checkpoints" / ".tmp-abc.ckpt").write_bytes(b"half")
    assert main(["resume=run"]) == 0
    said = capsys.readouterr()
    assert "resumes at: step 50" in said.out
    assert str(Path("run/checkpoints/last.ckpt")) in said.err and said.err.count("\n") == 1
    assert_same(copy, undisturbed)


def test_without_a_whole_checkpoint_a_run_begins_anew(
    copy: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (copy / "checkpoints").iterdir():
        path.write_bytes(b"torn")
    assert main(["resume=run"]) == 0
    assert "restarting from step 0 (the result will be the same)" in capsys.readouterr().err
    assert_same(copy, undisturbed)


@pytest.mark.parametrize("scheduler", ["constant", "cosine", "one_cycle", "step"])
def test_a_run_made_longer_goes_along_the_longer_schedule(scheduler: str, tmp_path: Path) -> None:
    """From the step where it goes on, rates are those of a run that was as long from the start."""
    words = [*RUN, f"scheduler={scheduler}", "optimizer=momentum", "trainer.points=1000"]
    short = fulmen.train(fulmen.compose(words), folder=tmp_path / "short", verbose=False)
    long = fulmen.train(fulmen.compose([*words, "trainer.max_epochs=15"]), folder=tmp_path / "long", verbose=False)
    resume(short.folder, ["trainer.max_epochs=15"], verbose=False)
    rates = [[float(row["lr"]) for row in rows(folder)][-5:] for folder in (short.folder, long.folder)]
    np.testing.assert_allclose(rates[0], rates[1], rtol=1e-9)
    if scheduler in ("constant", "step"):
        assert all(torch.equal(value, weights(long.folder)[name]) for name, value in weights(short.folder).items())
    assert yaml.safe_load((short.folder / "config.yaml").read_text())["trainer"]["max_epochs"] == 15


def test_a_finished_run_says_that_nothing_is_left_to_do(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume=run"]) == 0
    times = {path: path.stat().st_mtime_ns for path in copy.rglob("*")}
    capsys.readouterr()
    for words, sentence in {
        ("resume=run",): r"completed after 90 steps: nothing more to do; .* larger trainer.max_epochs",
        ("resume=run", "trainer.max_epochs=10"): r"has taken its 90 steps, and the limits given end at 90",
        ("resume=run", "trainer.max_epochs=7"): r"has taken its 90 steps, and the limits given end at 63",
    }.items():
        assert main(words) == 0
        assert re.search(sentence, capsys.readouterr().out)
    assert times == {path: path.stat().st_mtime_ns for path in copy.rglob("*")}, "a file was touched"


def test_a_run_is_quiet_or_not_as_whoever_resumes_it_wants(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume=run", "quiet=true"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["resume=run", "quiet=false"]) == 0
    assert "nothing more to do" in capsys.readouterr().out, "quiet= is no reason to train"
    assert main(["resume=run", "trainer.max_epochs=12", "quiet=false"]) == 0
    assert "final metrics" in capsys.readouterr().out
    with pytest.raises(ValueError, match="quiet is 'loud', but must be true or false"):
        resume(copy, ["quiet=loud"])


def test_a_run_that_stopped_early_has_nothing_more_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*RUN, "trainer.patience=2", "optimizer.lr=0.3", "weights=best"]
    run = fulmen.train(fulmen.compose(words), folder=tmp_path / "run")
    losses = run.history["val/loss"].to_numpy()
    best, last = int(losses.argmin()), len(losses) - 1
    assert last - best == 2
    step, of = run.history["step"][last], run.history["step"][best]
    said = f"stopped:    at step {step} of 90, val/loss was not better than {losses[best]:.4g} in 2 intervals\n"
    printed = capsys.readouterr().out
    assert said in printed and f"weights:    from step {of}, where val/loss was best\n" in printed
    with pytest.raises(Finished, match="stopped early") as found:
        resume(run.folder, ["trainer.max_epochs=500"])
    assert "resume=" not in str(found.value), "that would lead back here"


def test_a_run_of_a_version_that_did_not_measure_rmse_keeps_the_columns_of_its_history(tmp_path: Path) -> None:
    """It may have asked for `rmse` by `metrics=`, which is refused now."""
    words = ["data=linear_1d", "model=linear", "logger=none", "figures=none", "trainer.max_epochs=4"]
    folder = fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False).folder
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"metrics": ["rmse", "explained_variance"]}))
    history = fulmen.load(folder).history.drop(columns="val/rmse")
    history.assign(**{"val/explained_variance": 0.5, "val/rmse": 0.25}).to_csv(folder / "history.csv", index=False)
    run = resume(folder, ["trainer.max_epochs=6"], verbose=False)
    assert [*run.history] == [*history, "val/explained_variance", "val/rmse"]
    assert run.history["val/mse"].to_numpy() ** 0.5 == pytest.approx(
        [*history["val/mse"] ** 0.5, *run.history["val/rmse"][4:]]
    )


def test_a_run_that_goes_on_has_no_figures_until_it_ends(tmp_path: Path) -> None:
    folder = fulmen.train(fulmen.compose(RUN), folder=tmp_path / "run", verbose=False).folder
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["trainer"]["max_epochs"] = 20
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"state": "interrupted"}))
    train_and_kill(folder, None, 100)
    assert not (folder / "metrics.json").exists()


def test_a_completed_run_without_a_checkpoint_is_not_begun_anew(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume=run"]) == 0
    (copy / "checkpoints" / "last.ckpt").unlink()
    best = (copy / "checkpoints" / "best.ckpt").read_bytes()
    capsys.readouterr()
    assert main(["resume=run", "trainer.max_epochs=40"]) == 1
    assert "has no last.ckpt to resume from; use fulmen rerun=run" in capsys.readouterr().err
    assert (copy / "checkpoints" / "best.ckpt").read_bytes() == best


def test_final_figures_stand_once(tmp_path: Path) -> None:
    """Killed after they were sent to TensorBoard and before the run was complete."""
    words = [*RUN, *BOARD]
    folder = fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False).folder
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps(status | {"state": "running"}))
    (folder / ".tmp-old.json").write_text("half")
    resume(folder, verbose=False)
    assert {tag: len(found) for tag, found in points(folder).items() if len(found) != 5} == {
        tag: 1 for tag in points(folder) if tag.startswith("final")
    }
    assert not list(folder.glob(".tmp-*"))


def test_limits_that_are_passed_already_are_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (copy / "config.yaml").read_bytes()
    assert main(["resume=run", "trainer.max_steps=40"]) == 0
    assert "has taken its 54 steps, and the limits given end at 40" in capsys.readouterr().out
    assert (copy / "config.yaml").read_bytes() == before


def test_a_run_that_diverged_would_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = [
        "data=regression_1d",
        "model=linear",
        "optimizer=sgd",
        "optimizer.lr=1e6",
        "logger=none",
        "figures=none",
        "run_dir=run",
    ]
    assert main(words) == 3
    assert main(["resume=run"]) == 1
    assert re.search(r"run diverged .* at step \d+.*use fulmen rerun=run", capsys.readouterr().err)
    status = json.loads(Path("run/status.json").read_text())
    del status["error"]
    Path("run/status.json").write_text(json.dumps(status))
    assert main(["resume=run"]) == 1
    assert "run diverged and would again; use fulmen rerun=run" in capsys.readouterr().err


def test_a_run_is_trained_by_one_process_at_a_time(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FileLock(copy / ".lock"):
        assert main(["resume=run"]) == 1
    assert "run is held by another process" in capsys.readouterr().err
    assert main(["resume=run", "accelerator=cpu"]) == 0
    assert not (copy / ".lock").exists()


BAD_WORDS = {
    "resume=rnu": r"there is no folder rnu; did you mean run\?",
    "resume=": r"resume= needs exactly one run folder",
    "resume=run resume=run": r"resume= needs exactly one run folder",
    "resume=.": r"\. holds runs, but is not one itself; name one of them, such as run",
    "resume=run rerun=run": r"give one of the two",
    "resume=run optimizer.lr=1": r"optimizer.lr=1 is not one of trainer.max_epochs, .*take fulmen rerun=run",
    "resume=run model=deep": r"model=deep is not one of",
    "resume=run accelerator=gpx": r"there is no accelerator=gpx; did you mean gpu\?",
    "resume=run accelerator=gpu": r"there is no gpu here",
    "resume=run trainer.max_epochs=0": r"trainer.max_epochs is 0",
    "resume=run trust_checkpoint=maybe": r"trust_checkpoint is 'maybe', but must be true or false",
    "resume=run trainer.max_epochs=null": r"are both null, and a run must end somewhere",
    "resume=run accelerator=cpu,gpu": r"names several values",
    "resume=run trainer.max_epochs=1,2": r"names several values",
    "resume=run trainer.max_epochs=many": r"trainer.max_epochs is 'many'",
    "-m resume=run": r"is a single run; leave out -m",
    "rerun=rnu": r"there is no folder rnu; did you mean run\?",
    "rerun=run experiment=sine_boundary_adam": r"experiment= is a configuration of its own",
    "rerun=run optimizer.lrr=1": r"there is no key 'optimizer.lrr'; did you mean optimizer.lr\?",
    "rerun=run model=depe": r"there is no model=depe; did you mean deep\?",
    "rerun=run seed=-1": r"seed is -1",
}


@pytest.mark.parametrize("words", BAD_WORDS)
def test_bad_words_get_their_sentence(words: str, copy: Path, refused: Callable[..., str]) -> None:
    assert re.search(BAD_WORDS[words], refused(*words.split()))


@pytest.mark.parametrize("content", ["", "a: [1", "- 1\n- 2", "seed: 0", "!!python/object/apply:os.system [touch ran]"])
def test_a_damaged_configuration_is_named(content: str, copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "config.yaml").write_text(content)
    for word in ("resume=run", "rerun=run"):
        assert main([word]) == 1
        assert re.search(r"run.config.yaml cannot be read: .*", capsys.readouterr().err)
    assert not Path("ran").exists()


@pytest.mark.parametrize("target", ["os.system", "torch.load", "lightning.fabric.utilities.cloud_io._load"])
def test_a_recorded_configuration_may_run_no_more_than_a_typed_one(
    target: str, copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["model"]["_target_"], config["allow_targets"] = target, [target.partition(".")[0]]
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    status = json.loads((copy / "status.json").read_text())
    (copy / "status.json").write_text(json.dumps(status | {"overrides": [f"allow_targets=[{target}]"]}))
    for word in ("resume=run", "rerun=run"):
        assert main([word]) == 1
        assert f"names {target}, which is none of Fulmen's parts" in capsys.readouterr().err


def test_other_training_rows_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    rows_of = "a,b\n" + "".join(f"{row},{row % 7}.5\n" for row in range(40))
    (tmp_path / "t.csv").write_text(rows_of)
    words = ["data=table", "data.path=t.csv", "data.target=b", "run_dir=run", "trainer.max_epochs=2"]
    assert main([*words, "accelerator=cpu", "logger=none", "figures=none"]) == 0
    assert main(["resume=run", "trainer.max_epochs=3"]) == 0
    assert "training rows" not in capsys.readouterr().err
    (tmp_path / "t.csv").write_text(rows_of.replace("0.5", "0.6"))
    assert main(["resume=run", "trainer.max_epochs=4"]) == 0
    assert "the training data has changed since run started" in capsys.readouterr().err


def test_a_history_that_cannot_be_read_stops_resuming_before_anything_is_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    fulmen.train(fulmen.compose([*RUN, "trainer.max_epochs=2"]), folder=folder, verbose=False)
    (folder / "history.csv").write_bytes(b"step,\xff\n1,2\n")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main([f"resume={folder}", "trainer.max_epochs=3"]) == 1
    said = capsys.readouterr().err
    assert "history.csv cannot be read" in said and said.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
