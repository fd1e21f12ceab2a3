"""What tests of whole runs share."""

import csv
import functools
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

import fulmen
from fulmen.cli.main import main
from fulmen.experiment.load import Run


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Run]:
    """Trains what words describe, each time in a folder of its own: `run0`, `run1` ...

    The seed and keys of `trainer` may also be given by name: composing takes as long as training here, and is then
    not repeated.
    """
    count = itertools.count()

    def run(*words: str, seed: int | None = None, **trainer: object) -> Run:
        config = _composed(words).copy()
        if seed is not None:
            config.seed = seed  # and with it the keys that refer to it
        for key, value in trainer.items():
            config.trainer[key] = value
        return fulmen.train(config, folder=tmp_path / f"run{next(count)}", verbose=False)

    return run


@functools.cache
def _composed(words: tuple[str, ...]) -> DictConfig:
    return fulmen.compose(["logger=none", "figures=none", "accelerator=cpu", *words])


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Gives the command words that are wrong, in `tmp_path`, and returns the sentence that it answers with.

    One sentence and no traceback, exit code 1, and every file as it was before.
    """

    def files() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    def refuse(*words: str) -> str:
        monkeypatch.chdir(tmp_path)
        before = files()
        capsys.readouterr()
        assert main([*words]) == 1
        said = capsys.readouterr().err
        assert said.startswith("fulmen: ") and said.count("\n") == 1, said
        assert files() == before, "nothing is left behind"
        return said.strip()

    return refuse


@pytest.fixture
def history() -> Callable[[Run], dict[str, list[float]]]:
    """The columns of a run's `history.csv`; what is undefined is not a number."""

    def read(run: Run) -> dict[str, list[float]]:
        with (run.folder / "history.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}

    return read
