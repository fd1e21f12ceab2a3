"""A logger: one of Lightning's, made with the run's folder."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger


class JsonLines(Logger):
    """Each row of the history, and then the final metrics, as a line of JSON."""

    name, version = "lines", ""

    def __init__(self, save_dir: Path, version: str, *, file: str) -> None:
        super().__init__()
        self.path = Path(save_dir) / file

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends a line."""
        with self.path.open("a") as lines:
            lines.write(json.dumps({"step": step, **metrics}) + "\n")

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Does nothing: they are in the run's folder."""
