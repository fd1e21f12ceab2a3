"""`history.csv`: one row an interval, complete by itself, whatever becomes of the event files.

It is a Lightning logger, so what the learner reports reaches it as it reaches TensorBoard.
"""

import csv
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger

from fulmen.runs.files import write_text

NO_FIGURES = ("step", "epoch", "seconds")


class History(Logger):
    """Appends `step,epoch,seconds,lr,...` to a file, row by row; a figure that is undefined leaves its cell empty.

    Args:
        path: the file, made with its header at once.
        figures: names of the columns after `seconds`.
        steps_per_epoch: of the optimizer, to tell the epoch of a step.
        step: from which a run resumes; rows that it had written after that are cut off, as is one half written.
    """

    def __init__(self, path: Path, figures: list[str], steps_per_epoch: int, step: int = 0) -> None:
        super().__init__()
        self.path, self.steps_per_epoch = path, steps_per_epoch
        rows = _cut(path, step) if path.exists() else []
        self.began = time.perf_counter() - float(rows[-1]["seconds"] if rows else 0)
        self.file = path.open("a", newline="", encoding="utf-8")
        self.writer = csv.DictWriter(self.file, [*NO_FIGURES, *figures], "", "ignore", lineterminator="\n")
        if self.file.tell() == 0:
            self._write({name: name for name in self.writer.fieldnames})

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> str:
        return ""

    def rows(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Yields the step of every row, and its metrics."""
        for row in _read(self.path):
            figures = {name: float(value) for name, value in row.items() if value and name not in NO_FIGURES}
            yield int(row["step"]), figures

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: a run's configuration has a file of its own."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends a row."""
        assert step is not None
        seconds = time.perf_counter() - self.began
        self._write({"step": step, "epoch": step / self.steps_per_epoch, "seconds": f"{seconds:.4f}", **metrics})

    def _write(self, row: dict[str, Any]) -> None:
        """Appends a row and flushes it.

        Raises:
            OSError: the disk is full, or the file can no longer be written to.
        """
        try:
            self.writer.writerow(row)
            self.file.flush()
        except OSError as error:
            with suppress(OSError):  # closing writes the rest of the row, and fails the same way
                self.file.close()
            raise OSError(
                f"cannot write {self.path}: {error.strerror or error}; make room on the disk, or give permission to "
                f"write, then resume={self.path.parent}"
            ) from error

    def finalize(self, status: str) -> None:
        """Closes the file."""
        self.file.close()


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _cut(path: Path, step: int) -> list[dict[str, str]]:
    """Rewrites the file without what was written after `step`, and returns the rows that are left."""
    header, *lines = path.read_text("utf-8").splitlines(keepends=True) or [""]
    kept = [header, *(line for line in lines if _is_row(line, header) and int(line.partition(",")[0]) <= step)]
    write_text(path, "".join(kept))
    return list(csv.DictReader(kept))


def _is_row(line: str, header: str) -> bool:
    """Returns whether a line is complete; the last one of a killed run may not be."""
    return line.endswith("\n") and line.count(",") == header.count(",") and line.partition(",")[0].isdigit()
