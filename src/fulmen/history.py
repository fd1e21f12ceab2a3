"""`history.csv`: one row an interval, complete by itself, whatever becomes of the event files.

It is a Lightning logger, so what the learner reports reaches it as it reaches TensorBoard.
"""

import csv
import time
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger


class History(Logger):
    """Appends `step,epoch,seconds,lr,...` to a file, row by row; a figure that is undefined leaves its cell empty.

    Args:
        path: the file, made with its header at once.
        figures: names of the columns after `seconds`.
        steps_per_epoch: of the optimizer, to tell the epoch of a step.
    """

    def __init__(self, path: Path, figures: list[str], steps_per_epoch: int) -> None:
        super().__init__()
        self.steps_per_epoch = steps_per_epoch
        self.began = time.perf_counter()
        self.file = path.open("a", newline="", encoding="utf-8")
        self.writer = csv.DictWriter(self.file, ["step", "epoch", "seconds", *figures], extrasaction="ignore")
        if self.file.tell() == 0:
            self.writer.writeheader()
            self.file.flush()

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """A run's configuration has a file of its own."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends a row."""
        assert step is not None
        seconds = time.perf_counter() - self.began
        self.writer.writerow(
            {"step": step, "epoch": step / self.steps_per_epoch, "seconds": f"{seconds:.4f}", **metrics}
        )
        self.file.flush()

    def finalize(self, status: str) -> None:
        """Closes the file."""
        self.file.close()
