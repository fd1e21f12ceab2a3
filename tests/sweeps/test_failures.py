"""Jobs that raise, exit, diverge or are killed: recorded with their cause, and the rest runs, under every launcher."""

import errno
import json
import os
import shlex
import signal
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from threading import Timer
from typing import Any, cast

import pytest

from fulmen.cli.main import main
from fulmen.rules import SIGNATURES
from fulmen.runs.signals import Interrupted, raising
from fulmen.sweeps import execute, record
from fulmen.sweeps.job import Job, forget
from fulmen.sweeps.launchers import BASIC, LAUNCHERS, VECTORIZED

MOODS = ["fine", "raises", "exits", "diverges"]
ENDS = {"fine": "completed", "exits": "failed", "raises": "failed", "diverges": "diverged"}
CAUSES = {"exits": "SystemExit: 0", "raises": "RuntimeError: no | luck", "diverges": "diverged: "}


def check_ends(place: Any, moods: list[str], said: str) -> None:
    assert place.states() == {number: ENDS[mood] for number, mood in enumerate(moods)}
    rows = place.board()
    assert [row["state"] for row in rows] == [ENDS[mood] for mood in moods]
    assert rows[0]["score"] == rows[0]["val/loss"]
    text = (place.folder / "leaderboard.md").read_text("utf-8")
    for number, mood in enumerate(moods[1:], start=1):
        assert f"job {number}  model.mood={mood}  " in said
        assert CAUSES[mood] in said and CAUSES[mood].removeprefix("diverged: ").replace("|", "\\|") in text
    assert f"1 of {len(moods)} runs completed" in said


def test_a_job_that_fails_does_not_hurt_the_rest(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    moods = [*MOODS, "fine", "hungry", "unmade", "impatient", "garbled"]
    assert place.sweep(f"model.mood={','.join(moods)}") == 1
    folder, said = place.folder, capsys.readouterr().out
    assert place.states() == {number: ENDS.get(mood, "failed") for number, mood in enumerate(moods)}
    ends = [json.loads((folder / str(number) / "status.json").read_text()) for number in range(9)]
    assert "MemoryError" in ends[5]["error"] and "KeyboardInterrupt" in ends[7]["error"]
    refused = "model Moody failed with RuntimeError: no net ("
    assert ends[6]["error"].startswith(refused) and "in __init__" in ends[6]["traceback"]
    assert ends[8]["error"].startswith("OSError: no file called")
    scores = [row["score"] for row in place.board()[:2]]
    assert float(scores[0]) <= float(scores[1])
    assert "seeds" not in (folder / "leaderboard.md").read_text("utf-8"), "the same run twice is one sample"
    assert (folder / "leaderboard.png").exists() and not list(folder.glob("*/figures"))
    (alone,) = [line.split(":", 1)[1] for line in said.splitlines() if "alone:" in line and line.count("/1 ")]
    assert main(shlex.split(alone)[1:]) == 1, "the command that reruns it alone does"
    assert "no | luck" in next(place.here.glob("logs/runs/*/status.json")).read_text()


@pytest.mark.parametrize("search", [(), ("sweep=optuna", "hydra.sweeper.n_trials=2")])
def test_a_key_that_a_class_of_ones_own_does_not_take_is_refused_before_the_first_job(
    search: tuple[str, ...], place: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    choice = place.here / "own" / "model" / "moody.yaml"
    whole = choice.read_text()
    choice.write_text(whole + "widht: 3\n")
    assert place.sweep("seed=0,1", *search) == 1
    error = capsys.readouterr().err
    assert "unexpected keyword argument 'widht'" in error and SIGNATURES["model"] in error
    choice.write_text(whole.replace("number: 0\n", ""))
    assert place.sweep("seed=0,1", *search) == 1
    assert "missing a required argument: 'number'" in capsys.readouterr().err
    assert not (place.here / "logs").exists()


TRAIN = str(Path(__file__).parents[2] / "train.py")
FORKING = {
    "joblib": f"""\
import runpy, warnings
from joblib.externals.loky.backend.context import set_start_method
warnings.filterwarnings("ignore", "`fork` start method should not be used with `loky`")
set_start_method("fork")
runpy.run_path({TRAIN!r}, run_name="__main__")
""",
    "submitit_local": f"""\
import os, runpy, signal, sys
from multiprocessing import get_context
from types import SimpleNamespace
from submitit.local import local

class Popen(get_context("fork").Process):
    def __init__(self, command, env, stdout=None, stderr=None, **_):
        super().__init__(target=run, args=(command[command.index("-m") + 1 :], env, stdout, stderr))
        self.start()

    def poll(self):
        return self.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

def run(words, env, *files):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.update(env)
    for number, file in enumerate(files, start=1):
        os.dup2(number if file is None else file.fileno(), number)
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__")

local.subprocess = SimpleNamespace(Popen=Popen)
runpy.run_path({TRAIN!r}, run_name="__main__")
""",
}
"""`train.py`, with processes that are forked from it where a launcher starts fresh ones, which import for seconds."""


def forking(place: Any, launcher: str = "joblib") -> Path:
    (place.here / "forking.py").write_text(FORKING[launcher])
    return Path(place.here / "forking.py")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [name for name in LAUNCHERS if name not in (BASIC, VECTORIZED)])
def test_every_launcher_records_the_same(launcher: str, place: Any) -> None:
    """Ray starts fresh processes; with one of them, as each imports for seconds."""
    extra = LAUNCHERS[launcher].extra
    if find_spec(f"hydra_plugins.hydra_{extra}_launcher") is None:
        pytest.skip(f"the extra {extra} is not installed")
    if launcher == "submitit_slurm" and which("sbatch") is None:
        pytest.skip("there is no Slurm here")
    words = f"model.mood={','.join(MOODS)}"
    assert place.sweep(words) == 1
    basic = place.board()
    os.rename(place.here / "logs", place.here / "basic")
    how = {"program": forking(place, launcher)} if launcher in FORKING else {}
    one = ["+hydra.launcher.ray.init.num_cpus=1"] if launcher == "ray" else []
    done = place.sweep_apart(words, f"hydra/launcher={launcher}", *one, **how)
    assert done.wait(280) == 1, done.stderr
    check_ends(place, MOODS, done.stdout)
    assert place.board() == basic
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_worker_that_is_killed_takes_nobody_with_it(place: Any) -> None:
    """It is killed when its neighbour is in the middle of a run, which dies with the pool and is then run alone."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    moods = "model.mood=neighbour,killer,stillborn"
    done = place.sweep_apart(moods, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", program=forking(place))
    assert done.wait() == 1, done.stderr
    assert place.states() == {0: "completed", 1: "failed", 2: "failed"}
    for number in (1, 2):
        assert "killed" in json.loads((place.folder / str(number) / "status.json").read_text())["error"]


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "at_once"), [("joblib", 2), ("submitit_local", 1)])
def test_ctrl_c_lets_the_workers_save(launcher: str, at_once: int, place: Any) -> None:
    """It goes to all processes of a terminal; a step takes longer than it takes to notice that the sweep is stopped."""
    pytest.importorskip(f"hydra_plugins.hydra_{LAUNCHERS[launcher].extra}_launcher")
    moods = ["slow", "stops"][-at_once:]
    long = ("trainer.max_epochs=100000", f"model.mood={','.join(moods)},fine,fine", f"model.number={at_once}")
    # all cores for a job, which makes it one at a time
    how = [] if launcher == "joblib" else [f"hydra.launcher.cpus_per_task={os.cpu_count()}"]
    forked = {"program": forking(place)} if launcher == "joblib" else {}
    done = place.sweep_apart(*long, f"hydra/launcher={launcher}", *how, **forked)
    code = done.wait()
    assert code == 130 and "Traceback" not in done.stderr, done.stderr
    assert place.states() == dict.fromkeys(range(at_once), "interrupted")
    ends = [json.loads((place.folder / str(number) / "status.json").read_text()) for number in range(at_once)]
    assert all(end["steps"] > 0 for end in ends), "not in the middle of the first steps"
    assert len([*place.folder.glob("*/checkpoints/last.ckpt")]) == at_once
    assert not [*place.folder.rglob(".lock")]


def test_a_process_that_comes_late_begins_no_job_of_a_sweep_that_goes_on(place: Any) -> None:
    """It may still have imported when its launch was stopped."""
    assert place.sweep("model.number=range(2)") == 0
    for number in (0, 1):
        forget(place.folder / str(number))
    (place.folder / record.STOP).write_text("an-older\nstopped\n")
    for number, launched in enumerate(["stopped", "going-on"]):
        Job(["allow_targets=[moody]"], "own", str(place.here), -1, False, launched)(
            {"folder": place.folder / str(number)}
        )
    assert place.states() == {1: "completed"}


class Broken:
    """A launcher that breaks off while its jobs run."""

    name = workers = "joblib"
    outlived, inner, kind = False, None, LAUNCHERS["joblib"]._replace(patience=60.0)

    def launch(self, *_: object) -> None:
        raise RuntimeError("a worker is gone")


def test_a_signal_ends_the_jobs_of_a_launcher_that_broke_off(tmp_path: Path) -> None:
    (tmp_path / "0").mkdir()
    Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
    with raising(), pytest.raises(Interrupted):
        execute.run_all([tmp_path / "0"], cast(Any, Broken()), Job([], None, "", os.getpid(), False, "this"))
    assert (tmp_path / record.STOP).read_text() == "this\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["hydra/launcher=jobib"], "did you mean joblib?"),
        (["hydra/launcher=joblib", "hydra.launcher.n_job=2"], "did you mean hydra.launcher.n_jobs?"),
        (["hydra/launcher=joblib", "hydra.launcher.n_jobs=many"], "many"),
        (["hydra.launcher.n_jobs=2"], "hydra/launcher=basic has no keys"),
        (["sweep=optimisers"], "did you mean optimizers?"),
        (["seed=1,2", "seed=3"], "seed=1,2 and seed=3 are about the same"),
        (["allow_targets=[a],[b]"], "would vary what is allowed"),
        (["hydra/launcher=joblib,basic"], "one launcher"),
        (["data=table", "data.target=y", "data.path=a.csv,b.csv"], "data.path='a.csv','b.csv'"),
        (["retry=failed"], "retry= goes with -m resume="),
        (["score=val/loss,val/accuracy"], "one score"),
        (["resume=logs/sweeps/none"], "there is no folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_before_anything_is_written(
    words: list[str], sentence: str, place: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    if "joblib" in " ".join(words):
        pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    assert main(["-m", *words]) == 1
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1
    assert not (place.here / "logs").exists()


class Silent(Broken):
    """A launcher that breaks off and leaves a folder that cannot be written to."""

    kind = LAUNCHERS["joblib"]


@pytest.mark.timeout(30)
def test_a_folder_that_cannot_be_written_to_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "0" / ".lock").mkdir(parents=True)
    execute.run_all([tmp_path / "0"], cast(Any, Silent()), Job([], None, "", os.getpid(), False, "this"))
    assert "killed" in (tmp_path / "0" / "status.json").read_text()


@pytest.mark.parametrize("name", ["leaderboard.csv", "leaderboard.md"])
def test_a_full_disk_is_a_sentence_with_the_command_to_go_on(
    name: str, place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace = os.replace

    def fill(source: Any, target: Any) -> None:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fill)
        assert place.sweep("model.number=range(2)") == 1
    said = capsys.readouterr()
    assert "2 of 2 runs completed" in said.out and said.err.count("\n") == 1
    assert f"{name}: No space left on device; runs that completed are safe in logs" in said.err
    assert main(shlex.split(said.err.partition("resume with: ")[2])[1:]) == 0
    assert len(place.board()) == 2


def test_a_full_disk_names_the_file_of_a_run(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fill(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "replace", fill)
    assert main(["data=circles", "logger=none", "accelerator=cpu", "trainer.max_epochs=1", "run_dir=one"]) == 1
    said = capsys.readouterr().err
    assert ".yaml: No space left on device" in said or ".json: No space left on device" in said
    assert "[Errno" not in said


@pytest.mark.slow
def test_workers_end_with_the_process_that_launched_them(place: Any) -> None:
    """And save first: two jobs at work, and none is begun after."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    long = ("trainer.max_epochs=100000", "model.mood=slow", "model.number=range(3)")
    words = (*long, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    launching = place.sweep_apart(*words, program=forking(place))
    while len([*place.here.glob("logs/sweeps/*/*/history.csv")]) < 2:
        time.sleep(0.1)
    launching.send_signal(signal.SIGKILL)
    assert launching.wait() == -signal.SIGKILL
    deadline = time.monotonic() + 8
    while workers := _processes_in(place.here):
        assert time.monotonic() < deadline, workers
        time.sleep(0.1)
    assert set(place.states().values()) == {"interrupted"} and len(place.states()) == 2


def _processes_in(folder: Path) -> list[str]:
    """Those that work in a folder and train; joblib's own tracker of files may take a little longer."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (process / "cmdline").read_bytes().decode()
            if process.name != str(os.getpid()) and (process / "cwd").readlink() == folder and "tracker" not in line:
                found.append(line)
    return found
