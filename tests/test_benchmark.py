"""The benchmark runs, and writes down what it found; how fast anything is depends on the machine and is no test."""

import importlib
import re
import runpy
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
GOALS = (
    "`--help`",
    "start to first step",
    "step, mini-batch of 32",
    "10 passes, mini-batches of 32",
    "step, full batch of 1000",
    "fit of 1001 steps, full batch of 1000",
    "digits, 784-50-10, 10 passes",
    "a run of 3 short ones in a sweep, beside its training",
    *(["10 million rows of 2 features, `data=arrays`"] if sys.platform != "win32" else []),
)
STACKS = (
    "a step of each of 2 copies",
    "2 runs of 64 steps, a whole process",
    "the record of a run, of 3",
    *(["3 copies of 16,010 weights beyond 2, 20 intervals"] if sys.platform != "win32" else []),
)
FEATURES = ("metrics", "validation", "TensorBoard", "history", "checkpoints", "bar")
SIZES = ("Features", "Width", "Depth", "Batch size", "Passes", "Rows")


@pytest.mark.slow
def test_every_benchmark_runs_and_has_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    """Its processes are forked, where it begins fresh ones, which import for seconds; here they would be timed."""

    def run(command: Sequence[str], cwd: str, env: Mapping[str, str] | None = None, **how: object) -> Any:
        _, program, *words = command
        if program == "-c":
            program = str(tmp_path / "code.py")
            Path(program).write_text(words.pop(0))
        with chdir(cwd):
            process = forked(*words, program=Path(program), **(env or {}))
        assert process.wait() == 0, process.stderr
        return process

    monkeypatch.syspath_prepend(ROOT / "scripts")
    for module in ("goals", "whole"):
        monkeypatch.setattr(f"benchmarks.{module}.subprocess", SimpleNamespace(run=run))
    assert importlib.import_module("benchmark").main(["--quick", f"output={tmp_path}"]) == 0
    page = (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert not re.search(r"\b(nan|inf)\b", page)
    rows = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")}
    assert rows.issuperset([*GOALS, *STACKS, *FEATURES])
    assert all(f"### {size}: " in page for size in SIZES) and "## Threads" in page
    assert page.count("A stack is faster") == 3
    assert all((tmp_path / "pictures" / f"{name}.png").stat().st_size > 0 for name in ("performance", "stacks"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["only=speed"], "must be one of start, whole"),
        (["quick=maybe"], "quick is 'maybe'"),
        (["fast"], "nothing to do with fast"),
        ([f"output={__file__}/page"], "cannot be a folder"),
    ],
)
def test_a_wrong_word_gets_a_sentence(
    words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "benchmark.py"), run_name="__main__")
    said = capsys.readouterr().err if ended.value.code == 1 else str(ended.value.code)
    assert ended.value.code != 0 and sentence in said
