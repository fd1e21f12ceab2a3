"""A sweep that was stopped goes on: what is complete stays, what is missing runs, no number is used twice."""

import functools
import json
import signal
import sys
from typing import Any

import pytest
from filelock import FileLock

from fulmen.cli.main import main
from fulmen.runs import signals
from fulmen.sweeps import results
from fulmen.sweeps.job import Job, forget


def test_a_sweep_that_was_killed_goes_on(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.sweep_apart("model.number=range(4)", STRUCK="2", STRUCK_BY="SIGKILL").wait() == -signal.SIGKILL
    folder = place.folder
    assert place.states() == dict.fromkeys(range(2), "completed") | {2: "running"}
    before = place.times(0, 1)
    assert place.go_on() == 1
    assert "add 'allow_targets=[moody]'" in capsys.readouterr().err, "a file gives no permission"
    (place.here / "own" / "model" / "moody.yaml").write_text(
        "# Changed\n_target_: moody.Moody\n_partial_: true\nmood: raises\n"
    )
    assert place.go_on("allow_targets=[moody]") == 0
    assert place.states() == dict.fromkeys(range(4), "completed")
    assert place.times(0, 1) == before
    assert sorted(path.name for path in folder.iterdir() if path.name.isdecimal()) == [*"0123"]
    assert "2 runs of 4 to go" in capsys.readouterr().out
    assert place.go_on("allow_targets=[moody]") == 0
    assert "nothing more to do" in capsys.readouterr().out and place.times(0, 1) == before


KILLED_AT_ONCE = """\
import os, signal, sys
from fulmen.runs import recording
from fulmen.cli.main import main
recording.environment = lambda: os.kill(os.getpid(), signal.SIGKILL)
sys.exit(main(sys.argv[1:]))
"""
"""Before a run has written its first status."""


def test_a_job_that_was_killed_before_its_first_word_begins_anew(place: Any) -> None:
    program = place.here / "killed.py"
    program.write_text(KILLED_AT_ONCE)
    assert place.sweep_apart("model.number=range(2)", program=program).wait() == -signal.SIGKILL
    assert place.states() == {}
    assert (place.folder / "0" / ".lock").exists(), "it was at work"
    assert place.go_on("allow_targets=[moody]") == 0
    assert place.states() == {0: "completed", 1: "completed"}


def test_what_can_no_longer_be_run_is_recorded_and_the_rest_runs(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A job that had begun, and one that had not."""
    table = place.here / "rows.csv"
    table.write_text("a,y\n" + "".join(f"{row},{row % 2}\n" for row in range(60)))
    monkeypatch.setenv("STRUCK", "1")
    monkeypatch.setenv("STRUCK_BY", "SIGTERM")
    rows = ("data=table", "data.path=rows.csv", "data.target=y", "data.batch_size=32")
    assert place.sweep(*rows, "model.number=range(3)") == 143
    table.unlink()
    assert place.go_on("allow_targets=[moody]") == 1
    assert place.states() == {0: "completed", 1: "failed", 2: "failed"}
    assert capsys.readouterr().out.count("rows.csv") >= 2
    for number in (1, 2):
        assert "rows.csv" in json.loads((place.folder / str(number) / "status.json").read_text("utf-8"))["error"]


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_stops_a_sweep_cleanly(
    name: str, code: int, place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STRUCK", "1")
    monkeypatch.setenv("STRUCK_BY", name)
    assert place.sweep("model.number=range(3)") == code
    folder = place.folder.relative_to(place.here)
    assert place.states() == {0: "completed", 1: "interrupted"}
    said = capsys.readouterr().out
    assert f"fulmen -m resume={folder} 'allow_targets=[moody]'" in said
    assert said.count("job 1  ") == 1 and "2 runs not begun or not ended" in said, "each job is listed once"
    assert [row["state"] for row in place.board()] == ["completed", "interrupted", "planned"]
    assert main([f"resume={folder}"]) == 1
    assert "/0 and so on; to resume it, add -m" in capsys.readouterr().err
    monkeypatch.delenv("STRUCK")
    assert place.go_on("allow_targets=[moody]") == 0
    assert place.states() == dict.fromkeys(range(3), "completed")
    assert "resumed" in json.loads((folder / "1" / "status.json").read_text())


@pytest.mark.skipif(signals.TIME_IS_UP is None, reason="Windows has no such signal")
def test_a_job_whose_time_is_up_is_saved_before_its_launcher_hears_of_it(
    place: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Which may then queue it again, to go on."""
    assert place.sweep("model.number=range(1)") == 0
    forget(place.folder / "0")
    heard: list[dict[int, str]] = []
    request.addfinalizer(functools.partial(signal.signal, signal.SIGUSR2, signal.getsignal(signal.SIGUSR2)))
    signal.signal(signal.SIGUSR2, lambda *_: heard.append(place.states()))
    job = Job(["allow_targets=[moody]"], "own", str(place.here), -1, False, "launch")
    with monkeypatch.context() as struck:
        struck.setenv("STRUCK", "0")
        struck.setenv("STRUCK_BY", "SIGUSR2")
        job({"folder": place.folder / "0"})
    assert heard == [{0: "interrupted"}]
    job({"folder": place.folder / "0"})
    assert place.states() == {0: "completed"}
    assert "resumed" in json.loads((place.folder / "0" / "status.json").read_text())


def test_failures_run_again_when_asked(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.sweep("model.mood=fine,raises,diverges") == 1
    folder = place.folder
    before = place.times(0)
    assert place.go_on("allow_targets=[moody]") == 1
    assert "retry=failed,diverged" in capsys.readouterr().out
    status = (folder / "1" / "status.json").read_text("utf-8")
    (folder / "1" / "status.json").write_text(status[:99])
    assert place.go_on("retry=failed", "allow_targets=[moody]") == 1
    assert "status.json cannot be read" in capsys.readouterr().err and (folder / "1" / "history.csv").exists()
    (folder / "1" / "status.json").write_text(status, "utf-8")
    mended = (place.here / "own" / "moody.py").read_text().replace('if self.mood == "raises"', "if False")
    (place.here / "own" / "moody.py").write_text(mended)
    sys.modules.pop("moody")
    assert place.go_on("retry=failed", "allow_targets=[moody]") == 1
    assert place.states() == {0: "completed", 1: "completed", 2: "diverged"}
    assert place.times(0) == before
    assert json.loads((folder / "1" / "status.json").read_text())["overrides"][-1] == "allow_targets=[moody]"


def test_two_processes_cannot_run_the_same_sweep(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.sweep() == 0
    folder = place.folder
    with FileLock(folder / ".lock"):
        assert place.go_on("allow_targets=[moody]") == 1
    assert "held by another process" in capsys.readouterr().err
    with FileLock(folder / "0" / ".lock"):
        (folder / "0" / "status.json").write_text('{"state": "running"}')
        assert results.read(folder / "0").state == "running"
        assert place.go_on("allow_targets=[moody]") == 1
    assert "job 0 still runs" in capsys.readouterr().err


def test_what_cannot_go_on_is_said(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (place.here / "logs" / "sweeps" / "torn" / "0").mkdir(parents=True)
    (place.here / "logs" / "sweeps" / "torn" / "0" / "config.yaml").write_text("seed: 0\n")
    for words, sentence in {
        ("resume=logs/sweeps/torn",): "stopped before its first job",
        ("resume=logs/sweeps/tron",): "did you mean torn?",
        ("resume=logs/sweeps/torn", "retry=faild"): "did you mean failed?",
        ("resume=logs/sweeps/torn", "seed=1"): "is resumed as it was planned",
        ("resume=",): "needs the folder of a sweep",
    }.items():
        assert main(["-m", *words]) == 1
        assert sentence in capsys.readouterr().err


def test_a_job_whose_status_is_gone_or_wrong_is_left_as_it_is(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.sweep("model.number=range(2)") == 0
    noted = place.folder / "1" / "status.json"
    (place.folder / "1" / "mine.txt").write_text("precious")
    for status in (None, '{"state": null}', "3", "[]", '{"state": "complete"}'):
        noted.unlink() if status is None else noted.write_text(status)
        before = place.times(0, 1)
        capsys.readouterr()
        assert place.go_on("allow_targets=[moody]") == 1, status
        said = capsys.readouterr().err
        assert str(place.folder / "1") in said and said.count("\n") == 1, status
        assert place.times(0, 1) == before, status


def test_a_count_of_jobs_that_cannot_be_is_refused(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.sweep("model.number=range(2)") == 0
    plan = place.folder / "sweep.yaml"
    planned = plan.read_text("utf-8")
    assert planned.count("jobs: 2") == 1
    for jobs in ("-1", "1000000000000", "two"):
        plan.write_text(planned.replace("jobs: 2", f"jobs: {jobs}"), "utf-8")
        assert place.go_on("allow_targets=[moody]") == 1
        assert "sweep.yaml cannot be read: jobs is" in capsys.readouterr().err, jobs


def test_a_sweep_can_be_resumed_after_clean(place: Any) -> None:
    assert place.sweep("model.mood=fine,raises") == 1
    assert main(["clean", str(place.folder), "remove=failed"]) == 0
    assert (place.folder / "1" / "config.yaml").exists()
    assert place.go_on("retry=failed", "allow_targets=[moody]") == 1
    assert place.states() == {0: "completed", 1: "failed"}
