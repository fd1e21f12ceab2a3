"""What tests of sweeps share: a folder to start them in, with a model that does what its mood says."""

import csv
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from fulmen.cli.main import main

CODE = """\
import glob
import os
import signal
import sys
import time
from torch import nn

class Moody(nn.Linear):
    def __init__(self, in_shape, out_features, mood, number):
        super().__init__(in_shape[0], out_features)
        self.mood, self.number, self.steps = mood, number, 0
        if mood == "stillborn":
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "unmade":
            raise RuntimeError("no net")
        if mood == "impatient":
            raise KeyboardInterrupt

    def forward(self, x):
        out = super().forward(x)
        self.steps += self.training
        if not self.training or self.steps < 3:
            return out
        if os.environ.get("STRUCK") == str(self.number):
            os.kill(os.getpid(), getattr(signal, os.environ["STRUCK_BY"]))
        if self.mood in ("slow", "stops"):
            time.sleep(0.3)
        if self.mood == "stops" and self.steps == 3:
            while len(glob.glob("logs/sweeps/*/*/status.json")) < self.number:
                time.sleep(0.1)
            os.killpg(0, signal.SIGINT)
        if self.mood == "neighbour" and not os.path.exists("started"):
            open("started", "w").close()
            time.sleep(20)
            raise RuntimeError("the neighbour's death left this worker alive")
        while self.mood == "killer" and not os.path.exists("started"):
            time.sleep(0.01)
        if self.mood in ("killed", "killer"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mood == "raises":
            raise RuntimeError("no | luck")
        if self.mood == "hungry":
            raise MemoryError
        if self.mood == "garbled":
            raise OSError("no file called \\udcff")
        if self.mood == "exits":
            sys.exit(0)
        return out * float("nan") if self.mood == "diverges" else out
"""
CHOICE = "# As it likes\n_target_: moody.Moody\n_partial_: true\nmood: fine\nnumber: 0\n"
WORDS = [
    "--config-dir",
    "own",
    "allow_targets=[moody]",
    "model=moody",
    "data=circles",
    "logger=none",
    "accelerator=cpu",
]


@dataclass
class Place:
    """A folder in which a sweep is started."""

    here: Path
    forked: Callable[..., Any]
    monkeypatch: pytest.MonkeyPatch
    savefig: Callable[..., None] = Figure.savefig

    @property
    def folder(self) -> Path:
        """The sweep's."""
        (found,) = self.here.glob("logs/sweeps/*")
        return found

    def paint(self) -> None:
        """From here on, pictures are painted, which takes a third of a short search's time."""
        self.monkeypatch.setattr(Figure, "savefig", self.savefig)

    def sweep(self, *words: str) -> int:
        """Starts one in this process."""
        return main(["-m", *WORDS, "trainer.max_epochs=2", *words])

    def go_on(self, *words: str) -> int:
        return main(["-m", f"resume={self.folder}", *words])

    def sweep_apart(self, *words: str, **how: Any) -> Any:
        """Starts a sweep in a process of its own; see `forked`."""
        return self.forked("-m", *WORDS, "trainer.max_epochs=2", *words, **how)

    def states(self) -> dict[int, str]:
        """Of the jobs that have begun, as their statuses say."""
        paths = self.folder.glob("*/status.json")
        return {int(path.parent.name): json.loads(path.read_text("utf-8"))["state"] for path in paths}

    def board(self) -> list[dict[str, str]]:
        """The rows of the leaderboard."""
        with (self.folder / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
            return [{**row, "folder": Path(row["folder"]).name} for row in csv.DictReader(file)]

    def times(self, *numbers: int) -> dict[str, int]:
        """When each file of some jobs was last written."""
        files = [path for number in numbers for path in (self.folder / str(number)).rglob("*") if path.is_file()]
        return {str(path): path.stat().st_mtime_ns for path in files}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]) -> Place:
    """With pictures that are made, but not painted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "moody", raising=False)
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "moody.py").write_text(CODE)
    (tmp_path / "own" / "model" / "moody.yaml").write_text(CHOICE)
    place = Place(tmp_path, forked, monkeypatch)
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    return place
