"""A run's folder is read, or what is wrong with it is said in a sentence; leftovers of killed processes go."""

import csv
import errno
import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from fulmen.cli.main import main
from fulmen.errors import ConfigurationError
from fulmen.runs import folder as folders
from fulmen.runs.files import replacing
from fulmen.runs.history import History
from fulmen.runs.recording import claim, recording
from fulmen.sweeps import record

CONFIG = {"choices": {"data": "moons"}, "seed": 0, "score": "val/loss", "weights": "best"}
CONFIG |= {part: {"rate": 0.1} for part in ("data", "model", "optimizer", "scheduler", "loss", "penalty", "init")}
CONFIG |= {"trainer": {"max_epochs": 1}}
STATUS = {"state": "completed", "error": None, "seconds": 1.5, "steps": 10, "threads": 1, "overrides": ["seed=0"]}
METRICS = {"val/loss": 0.5, "val/confusion": [[1, 2], [3, 4]], "parameters": 10}
HISTORY = "step,epoch,seconds,lr,train/loss,val/loss\n1,0.5,0.1,0.1,1.0,1.1\n2,1.0,0.2,0.1,0.9,\n"
SWEEP = {
    "words": ["seed=0,1"],
    "grid": [["seed=0", "seed=1"]],
    "varying": {"seed": ["0", "1"]},
    "score": "val/loss",
    "jobs": 2,
    "config_dir": None,
    "permissions": [],
    "search": {
        "options": {"n_trials": 2, "sampler": "tpe", "n_jobs": 1, "storage": None, "pruner": "none"}
        | {"objectives": None, "n_startup_trials": 5, "study_name": None},
        "space": [{"key": "optimizer.lr", "typed": "interval(0, 1)", "choices": None, "low": 0.0, "high": 1.0}],
        "fixed": [],
        "seed": 0,
        "objectives": ["val/loss"],
        "study": "s",
        "trials": [{"number": 0, "words": ["optimizer.lr=0.1"]}],
    },
}
VALUES: tuple[object, ...] = (None, 3, -1, 1e400, 10**400, [], ["a"], {}, {"a": 1}, "", "x" * 1000, True, [[1]])


def write(folder: Path) -> None:
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (folder / "status.json").write_text(json.dumps(STATUS))
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    (folder / "history.csv").write_text(HISTORY)
    (folder / "sweep.yaml").write_text(yaml.safe_dump(SWEEP))


def mutate(random: random.Random, content: bytes, name: str) -> bytes:
    """A file with a bit flipped, its end cut off, or one of its values replaced."""
    kind = random.choice(["flip", "cut", "value", "value"])
    if kind == "flip":
        changed = bytearray(content)
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        return bytes(changed)
    if kind == "cut" or name.endswith(".csv"):
        return content[: random.randrange(len(content))]
    found: Any = yaml.safe_load(content)
    inside = found
    while True:
        key = random.choice(list(inside) if isinstance(inside, dict) else range(len(inside)))
        if not isinstance(inside[key], (dict, list)) or not inside[key] or random.random() < 0.4:
            break
        inside = inside[key]
    inside[key] = random.choice(VALUES)
    return (json.dumps(found) if name.endswith(".json") else yaml.safe_dump(found)).encode()


def fuzz(folder: Path, seed: int, rounds: int) -> None:
    """Reads mutated files; anything but a success or a sentence with the file's name is raised."""
    write(folder)
    draw = random.Random(seed)
    names = ["config.yaml", "status.json", "metrics.json", "history.csv", "sweep.yaml"]
    whole = {name: (folder / name).read_bytes() for name in names}
    for _ in range(rounds):
        name = draw.choice(names)
        (folder / name).write_bytes(mutate(draw, whole[name], name))
        try:
            folders.read(folder)
            sweep = record.read(folder)
            [sweep.own_overrides(number) for number in range(min(sweep.jobs, 1000))]
            [(one.count, one.probes, one.distribution) for one in sweep.search.space] if sweep.search else None
        except ConfigurationError as error:
            assert re.fullmatch(rf".*{re.escape(name)} .+", str(error))  # noqa: PT017
        (folder / name).write_bytes(whole[name])


def test_damaged_files_are_read_or_named_in_a_sentence(tmp_path: Path) -> None:
    fuzz(tmp_path, 0, 400)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("status.json", b"[" * 100_000),
        ("status.json", b"\xff\xfe"),
        ("metrics.json", b'{"val/loss": 1' + b"0" * 400 + b"}"),
        ("history.csv", b"step,train/loss\n1," + b"2" * 200_000 + b"\n"),
        ("config.yaml", b"a: !!int ''\n"),
    ],
)
def test_what_makes_a_parser_fail_is_a_sentence(name: str, content: bytes, tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigurationError, match=name):
        folders.read(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="kills by a signal")
def test_leftovers_of_a_killed_process_go_when_the_folder_is_claimed_and_those_of_a_living_one_stay(
    tmp_path: Path,
) -> None:
    (tmp_path / "figures").mkdir()
    program = f"""
import os, signal
from pathlib import Path
from fulmen.runs.files import replacing
with replacing(Path({str(tmp_path / "figures" / "losses.png")!r})) as file:
    file.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program]).returncode == -signal.SIGKILL
    assert len(list(tmp_path.rglob(".tmp-*"))) == 1
    with replacing(tmp_path / "figures" / "living.png") as file:
        file.write(b"whole")
        with claim(tmp_path, goes_on=True):
            assert len(list(tmp_path.rglob(".tmp-*"))) == 1
    assert (tmp_path / "figures" / "living.png").read_bytes() == b"whole"
    assert not list(tmp_path.rglob(".tmp-*"))


def test_a_sweep_that_is_taken_loses_its_leftovers(tmp_path: Path) -> None:
    (tmp_path / ".tmp-0123456789abcdef.md").write_text("half")
    with record.held(tmp_path):
        assert not list(tmp_path.glob(".tmp-*"))


def test_a_folder_with_a_configuration_alone_says_how_to_resume_it(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    with pytest.raises(FileExistsError, match=f"resume={tmp_path}"), claim(tmp_path, goes_on=False):
        pass


@pytest.mark.parametrize("content", ["a: 1\n", "- a list\n", "not: [yaml", ""])
def test_somebody_elses_configuration_is_not_called_a_run(content: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(FileExistsError, match="is not empty"), claim(tmp_path, goes_on=False):
        pass


def test_resume_begins_a_run_that_was_stopped_before_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["data=circles", "trainer.max_epochs=1", "logger=none", "figures=none", "run_dir=run"]
    assert main(command) == 0
    metrics = Path("run/metrics.json").read_bytes()
    for path in sorted(Path("run").rglob("*"), reverse=True):
        if path.name != "config.yaml":
            (path.rmdir if path.is_dir() else path.unlink)()
    assert main(command) == 1
    assert "resume=run" in capsys.readouterr().err
    assert main(["resume=run"]) == 0
    assert Path("run/metrics.json").read_bytes() == metrics


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a full disk to write to")
def test_a_history_on_a_full_disk_names_the_file_the_cause_and_the_way_out(tmp_path: Path) -> None:
    history = History(tmp_path / "history.csv", ["train/loss"], 1)
    history.file.close()
    history.file = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115
    history.writer = csv.DictWriter(history.file, ["step", "train/loss"], "", "ignore")
    with pytest.raises(OSError, match=r"history\.csv") as error:
        history.log_metrics({"train/loss": 1.0}, 1)
    for part in (str(tmp_path / "history.csv"), os.strerror(errno.ENOSPC), f"resume={tmp_path}"):
        assert part in str(error.value)
    history.finalize("failed")


def test_why_a_run_failed_is_not_lost_when_the_status_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail() -> None:
        with recording(tmp_path, CONFIG, {}):
            monkeypatch.setattr(os, "fsync", full)
            raise RuntimeError("the cause")

    with pytest.raises(RuntimeError, match="the cause"):
        fail()
    assert "status.json: No space left" in capsys.readouterr().err


Broken = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("break_it", "key"),
    [
        (lambda found: found.update(grid=3), "grid"),
        (lambda found: found.update(grid=[[]]), "grid"),
        (lambda found: found.update(varying={"seed": None}), "varying"),
        (lambda found: found.update(words=[1]), "words"),
        (lambda found: found.update(score=None), "score"),
        (lambda found: found.update(jobs=1_000_000), "jobs"),
        (lambda found: found.update(jobs=10**400), "jobs"),
        (lambda found: found.pop("score"), "score"),
        (lambda found: found.update(strange=1), "strange"),
        (lambda found: found.update(permissions="x"), "permissions"),
    ],
)
def test_a_sweep_file_is_checked_key_by_key(break_it: Broken, key: str, tmp_path: Path) -> None:
    content: dict[str, Any] = {**SWEEP, "search": None}
    break_it(content)
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError, match=rf"sweep\.yaml cannot be read: {key}"):
        record.read(tmp_path)


@pytest.mark.parametrize(
    ("break_it", "key"),
    [
        (lambda search: search.update(options={}), "search.options"),
        (lambda search: search.update(space=[{"key": 1, "typed": "x"}]), "search.space"),
        (lambda search: search.update(trials=[{"number": "x", "words": []}]), "search.trials"),
        (lambda search: search.update(objectives=[]), "search.objectives"),
        (lambda search: search["options"].update(n_jobs=0), "search.options.n_jobs"),
    ],
)
def test_a_search_is_checked_key_by_key(break_it: Broken, key: str, tmp_path: Path) -> None:
    content: dict[str, Any] = json.loads(json.dumps(SWEEP))
    break_it(content["search"])
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigurationError, match=rf"sweep\.yaml cannot be read: {key}"):
        record.read(tmp_path)


@pytest.mark.parametrize("jobs", [3, 999_999])
def test_jobs_of_a_search_are_between_its_trials_and_n_trials(jobs: int, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**SWEEP, "jobs": jobs}))
    with pytest.raises(ConfigurationError, match=r"sweep\.yaml cannot be read: jobs is \d+, .*; restore the file, or"):
        record.read(tmp_path)


def test_jobs_of_a_search_that_ended_early_are_its_trials(tmp_path: Path) -> None:
    for jobs in (1, 2):
        (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**SWEEP, "jobs": jobs}))
        assert record.read(tmp_path).jobs == jobs
