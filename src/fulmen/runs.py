"""Run folders: made exclusively, described, never shared.

The folder is the record: what anyone may want of a run later stands in files, each of them either whole or absent.
"""

import platform
import socket
import subprocess
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from fulmen.files import write_json, write_text
from fulmen.learner import Diverged
from fulmen.signals import Interrupted

LIBRARIES = ("torch", "lightning", "torchmetrics", "hydra-core", "omegaconf", "tensorboard", "scikit-learn", "numpy")


class RunFolder:
    """A run's folder, claimed for one run.

    Args:
        path: the folder; made where it is absent.

    Raises:
        FileExistsError: another run has it already.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        if any(path.iterdir()):
            raise FileExistsError(
                f"{path} is not empty, and every run has a folder of its own; name one that does not exist"
            )
        with (path / "status.json").open("x"):
            pass
        self.status: dict[str, Any] = {}

    @contextmanager
    def recording(self, config: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Writes down what runs and how it ends; yields the status, to which a run adds what it learns.

        Args:
            config: the content of `config.yaml`.
            facts: entries of `status.json`.
        """
        write_text(self.path / "config.yaml", yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True))
        began = datetime.now(UTC)
        self.status = {
            "state": "running",
            "error": None,
            "traceback": None,
            "started": began.isoformat(),
            **facts,
            **environment(),
        }
        self._write_status()
        try:
            yield self.status
            self.status["state"] = "completed"
        except BaseException as error:
            self._describe(error)
            raise
        finally:
            ended = datetime.now(UTC)
            self.status |= {"ended": ended.isoformat(), "seconds": (ended - began).total_seconds()}
            self._write_status()

    def _describe(self, error: BaseException) -> None:
        states = {Diverged: "diverged", Interrupted: "interrupted"}
        self.status["state"] = states.get(type(error), "failed")
        self.status["error"] = str(error) or type(error).__name__
        self.status["traceback"] = "".join(traceback.format_exception(error))

    def _write_status(self) -> None:
        write_json(self.path / "status.json", self.status)


def environment() -> dict[str, Any]:
    """Where a run runs: commit, versions, host."""
    return {
        **commit(),
        "versions": {"fulmen": version("fulmen"), "python": platform.python_version()}
        | {library: version(library) for library in LIBRARIES},
        "host": socket.gethostname(),
    }


def commit() -> dict[str, Any]:
    """The commit that is worked on, and whether files differ from it.

    Of the repository that the working directory is in, or else of Fulmen's own; None for both where there is neither.
    """
    for folder in (Path.cwd(), Path(__file__).parent):
        try:
            return {"commit": _git(folder, "rev-parse", "HEAD"), "dirty": _git(folder, "status", "--porcelain") != ""}
        except (OSError, subprocess.SubprocessError):
            continue
    return {"commit": None, "dirty": None}


def _git(folder: Path, *words: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
