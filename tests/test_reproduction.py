"""`scripts/reproduce.py` shows what it measured, says whether that is right, and goes on where it stopped."""

import importlib.util
import multiprocessing
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from filelock import FileLock

from fulmen.experiment.load import Run
from fulmen.runs import folder

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
WANTED = yaml.safe_load((SCRIPTS / "reproduction.yaml").read_text("utf-8"))
DOCUMENT = (ROOT / "docs" / "reproduction.md").read_text("utf-8")


def test_every_experiment_has_a_row_and_its_place_in_the_document() -> None:
    experiments = {path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml")}
    assert {row.get("experiment", name) for name, row in WANTED.items()} == experiments
    for name in experiments:
        assert f"### `experiment={name}`" in DOCUMENT
    assert f"**{len(WANTED)} of {len(WANTED)} are in range.**" in DOCUMENT


def test_the_documents_verdicts_follow_from_its_figures() -> None:
    judged = 0
    for line in DOCUMENT.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        range_ = re.fullmatch(r"(\S+) to (\S+)", cells[2]) if len(cells) == 7 else None
        if range_ is None:
            continue
        low, high = map(float, range_.groups())
        middle = float((cells[3] or cells[4]).split()[0])
        assert cells[5] == ("in range" if low <= middle <= high else "**out of range**"), line
        judged += 1
    assert judged >= 40


def test_every_picture_of_the_document_is_there() -> None:
    for name in WANTED:
        assert f"(pictures/{name}.png)" in DOCUMENT
        assert (ROOT / "docs" / "pictures" / f"{name}.png").is_file()


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_figure_that_was_not_measured_is_not_written(train: Callable[..., Run]) -> None:
    run = train("data=regression_1d", "model=linear", "trainer.max_epochs=1", "logger=none")
    measures = script("measures")
    with pytest.raises(ValueError, match="no figure 'train/acuracy'; it has train/loss"):
        measures.figure("train/acuracy", run)
    with pytest.raises(ValueError, match="no figure 'baseline/train/mse'"):
        measures.apart("train/mse", run)
    assert measures.figure("train/mse", run) == run.metrics["train/mse"]


@pytest.fixture
def reproduce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., int]]:
    """The command of a copy of the scripts, in this process; it returns its exit code."""
    shutil.copytree(SCRIPTS, tmp_path / "scripts")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path / "scripts")  # where its processes find it, too
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = importlib.import_module("reproduce")
    monkeypatch.setattr(command, "get_context", lambda _: multiprocessing.get_context("forkserver"))  # imports once
    yield lambda *words: int(command.main(words))
    for name in ("reproduce", "measures"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_reproducing_goes_on_and_judges(
    tmp_path: Path, reproduce: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = {
        name: WANTED[name] | {"words": ["trainer.max_epochs=1"]} for name in ("perceptron_48", "regression_3d_short")
    }
    rows["perceptron_48"] |= {"figures": {"parameters": 491}}
    rows["regression_3d_short"] |= {"figures": {"parameters": 4}}
    (tmp_path / "scripts" / "reproduction.yaml").write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")
    words = ("seeds=2", "only=perceptron_48,regression_3d_short", "output=found.md")

    assert reproduce(*words) == 1, "one of the two is not what it should be"
    found = (tmp_path / "found.md").read_text("utf-8")
    assert (
        "**1 of 2 are in range.**" in found and "| parameters | 491 | 490 (490 to 490) |  | **out of range** |" in found
    )
    assert "| parameters | 4 | 4 (4 to 4) |  | in range |" in found
    assert (tmp_path / "pictures" / "perceptron_48.png").is_file()

    runs = tmp_path / "logs" / "reproduction"
    (runs / "perceptron_48" / "0" / "metrics.json").unlink()  # half a run is none
    (runs / "regression_3d_short" / "0.sources").write_text("of other code")
    before = (runs / "perceptron_48" / "1" / "metrics.json").stat().st_mtime_ns
    assert reproduce(*words) == 1 and capsys.readouterr().out.count("is kept") == 2
    assert (runs / "perceptron_48" / "1" / "metrics.json").stat().st_mtime_ns == before
    assert (runs / "perceptron_48" / "0" / "metrics.json").is_file()
    same = [line for line in found.splitlines() if line.startswith("|")]
    assert [line for line in (tmp_path / "found.md").read_text("utf-8").splitlines() if line.startswith("|")] == same


def test_a_run_is_of_the_code_that_there_was_when_it_began(
    tmp_path: Path, reproduce: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    command, sources = sys.modules["reproduce"], iter(["before", "while it trained"])
    monkeypatch.setattr(command, "_sources", lambda: next(sources))
    command._train_anew(tmp_path / "run", ["data=circles", "trainer.max_epochs=1", "logger=none", "figures=none"])
    assert (tmp_path / "run.sources").read_text() == "before"


@pytest.mark.slow
def test_a_run_that_fails_is_a_sentence_and_others_go_on(
    tmp_path: Path, reproduce: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    row = WANTED["perceptron_48"] | {"experiment": "perceptron_48", "words": ["trainer.max_epochs=1"]}
    wild = {"notebook": "003", "experiment": "regression_1d", "words": ["optimizer.lr=1e30"]}
    rows = {"wild": wild, "fine": row, "taken": row, "after": row | {"within": {"weights of wild": 1}}}
    (tmp_path / "scripts" / "reproduction.yaml").write_text(yaml.safe_dump(rows, sort_keys=False), encoding="utf-8")
    taken = tmp_path / "logs" / "reproduction" / "taken" / "0"
    taken.mkdir(parents=True)
    with FileLock(taken / ".lock"):
        assert reproduce("seeds=1", "only=taken,fine,after", "output=found.md") == 1
    assert re.search(r"wild, seed 0, failed: the loss became (nan|inf) at step \d+; try", capsys.readouterr().out)
    found = (tmp_path / "found.md").read_text("utf-8")
    assert "**1 of 3 are in range.**" in found and found.count("**not measured: seed 0: ") == 2
    assert f"**not measured: seed 0: {taken.relative_to(tmp_path)} is held by another process**" in found
    assert found.count("**not measured: seed 0: the loss became") == 1


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes that signals go to")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_signal_ends_it_with_a_sentence_and_all_its_processes(
    number: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    """Those that train are forked where it begins fresh ones, which would import for seconds."""
    scripts = shutil.copytree(SCRIPTS, tmp_path / "scripts")
    source = (scripts / "reproduce.py").read_text("utf-8")
    assert source.count('get_context("spawn")') == 1
    (scripts / "reproduce.py").write_text(source.replace('get_context("spawn")', 'get_context("fork")'), "utf-8")
    monkeypatch.chdir(tmp_path)
    words = ("seeds=2", "only=wiggle_deep_wide", "output=found.md")
    row = tmp_path / "logs" / "reproduction" / "wiggle_deep_wide"
    process = forked(*words, program=scripts / "reproduce.py")
    end = time.monotonic() + 100
    while len([*row.glob("*/history.csv")]) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    if number == signal.SIGINT:  # as a terminal sends it: to all
        os.killpg(process.process.pid, number)
    else:
        process.send_signal(number)
    assert process.wait() == code, process.stderr
    said = process.stderr
    if number != signal.SIGKILL:
        assert said.startswith(f"reproduce: stopped by {signal.Signals(number).name}") and said.count("\n") == 1
    runs, end = [run for run in row.iterdir() if run.is_dir()], time.monotonic() + 5
    while any(map(folder.is_locked, runs)) and time.monotonic() < end:
        time.sleep(0.1)
    assert not any(map(folder.is_locked, runs))  # they are gone,
    assert [folder.load_status(run)["state"] for run in runs] == ["running"] * 2  # and wrote nothing more


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["only=perceptron", "output=x.md"], "only is 'perceptron'.*did you mean perceptron_48"),
        (["only=perceptron_48"], "only= with output="),
        (["seed=3"], "there is no option seed=; did you mean seeds"),
        (["seeds=none"], "seeds is 'none', but must be a whole number of 1 or more"),
    ],
)
def test_wrong_words_get_a_sentence(words: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    with pytest.raises(ValueError, match=said):
        script("reproduce").main(words)
