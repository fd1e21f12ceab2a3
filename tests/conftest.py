"""What tests of whole runs share."""

import csv
import functools
import gc
import itertools
import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Generator, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from omegaconf import DictConfig

import fulmen
from fulmen.cli.main import main
from fulmen.experiment.importing import at_once
from fulmen.runs import recording

if TYPE_CHECKING:  # torch: pytest-xdist's own process reads this file, too, and begins its workers after that
    from fulmen.experiment.load import Run

ROOT = Path(__file__).parents[1]
if sys.platform != "win32":
    HEAVY = ("fulmen.experiment.run", "fulmen.sweeps.sweep", "fulmen.figures.plots", "tensorboard.compat")
    multiprocessing.set_forkserver_preload([*HEAVY, "sklearn.datasets"])
# No test tells Weights & Biases, MLflow or Trackio that it ran.
os.environ |= {"DO_NOT_TRACK": "true", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
# No test cuts the power, so none waits for the disk: a run does so sixteen times, which takes as long as training here.
os.fsync = os.fstat  # type: ignore[assignment]  # also raises for a file that is not open
# Every run asks for the commit, and every Trainer for plugins of installed packages; neither changes while tests run.
recording.commit = functools.cache(recording.commit)
metadata.entry_points = functools.cache(metadata.entry_points)  # type: ignore[assignment]


@pytest.fixture(autouse=True, scope="session")
def _trackio_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keeps Trackio out of the user's own runs; it asks for its folder when it is imported."""
    os.environ["TRACKIO_DIR"] = str(tmp_path_factory.mktemp("trackio"))


class Forked:
    """A program in a process of its own, forked from one that has imported, which a fresh one takes seconds for.

    Args:
        outputs: a folder for what it prints.
        program: a Python file.
        words: what stands behind it in the command line.
        environment: variables beside those of this process.
        stdout: the file that it prints to, if it is there already.
    """

    def __init__(
        self, outputs: Path, program: Path, words: tuple[str, ...], environment: dict[str, str], stdout: Path | None
    ) -> None:
        self._outputs = (stdout or outputs / "stdout", outputs / "stderr")
        names = {
            "FOLDER": os.getcwd(),
            "ENVIRONMENT": os.environ | environment,
            "PROGRAM": str(program),
            "WORDS": words,
            "OUTPUTS": [str(path) for path in self._outputs],
        }
        script, server = str(ROOT / "tests" / "forked.py"), multiprocessing.get_context("forkserver")
        self.process = server.Process(target=runpy.run_path, args=(script,), kwargs={"init_globals": names})
        self.process.start()

    def wait(self, timeout: float = 120) -> int:
        """Returns the exit code, negative for a signal."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"still runs after {timeout} seconds"
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends a signal to this process alone."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    @property
    def stdout(self) -> str:
        return self._outputs[0].read_text("utf-8")

    @property
    def stderr(self) -> str:
        return self._outputs[1].read_text("utf-8")


@pytest.fixture
def forked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Forked]]:
    """Starts `train.py`, or another program, with words; it is killed at the test's end if it still runs."""
    if sys.platform == "win32":
        pytest.skip("Windows cannot fork")
    begun: list[Forked] = []

    def start(*words: str, program: Path = ROOT / "train.py", stdout: Path | None = None, **environment: str) -> Forked:
        begun.append(Forked(tmp_path_factory.mktemp("outputs"), program, words, environment, stdout))
        return begun[-1]

    yield start
    for each in begun:
        each.process.kill()
        each.process.join()


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., "Run"]:
    """Trains what words describe, each time in a folder of its own: `run0`, `run1` ...

    The seed, choices in groups and keys of `trainer` may also be given by name: composing takes as long as training
    here, and is then not repeated.
    """
    count = itertools.count()

    def run(*words: str, seed: int | None = None, choices: Mapping[str, str] | None = None, **trainer: object) -> "Run":
        config = _composed(words).copy()
        for group, choice in (choices or {}).items():
            config[group], config.choices[group] = _composed((f"{group}={choice}",))[group], choice
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
def history() -> Callable[["Run"], dict[str, list[float]]]:
    """The columns of a run's `history.csv`; what is undefined is not a number."""

    def read(run: "Run") -> dict[str, list[float]]:
        with (run.folder / "history.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {name: [float(row[name] or "nan") for row in rows] for name in rows[0]}

    return read


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are made, but not painted, which takes a fifth of a short sweep's time."""
    from matplotlib.figure import Figure

    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)


@pytest.fixture
def own_imported_anew() -> Iterator[None]:
    """Modules called `own` or `net`, of which several tests have one, are those that this test finds."""

    def taken() -> dict[str, ModuleType]:
        return {name: sys.modules.pop(name) for name in [*sys.modules] if name.partition(".")[0] in ("own", "net")}

    before, path = taken(), [*sys.path]
    theirs = ("own", "own.py", "net.py")  # in folders of choices, which a command leaves in the path
    sys.path[:] = [place for place in path if not any(Path(place, name).exists() for name in theirs)]
    yield
    taken()
    sys.modules.update(before)
    sys.path[:] = path


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collects without looking for garbage, which takes a fifth of the time, and never looks at what was imported.

    Nor often at what a run leaves, which takes a twentieth of it.
    """
    with at_once():
        found = yield
    gc.freeze()
    gc.set_threshold(20_000)
    return found
