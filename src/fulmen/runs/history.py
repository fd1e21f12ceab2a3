"""`history.csv`: one row an interval, complete by itself, whatever becomes of the event files.

It is a Lightning logger, so what the learner reports reaches it as it reaches TensorBoard.
"""

import csv
import io
import math
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers.logger import Logger
from numpy.typing import NDArray

from fulmen.errors import command
from fulmen.runs.files import write_text

NO_FIGURES = ("step", "epoch", "seconds")


class History(Logger):
    """Appends `step,epoch,seconds,lr,...` to a file, row by row; a figure that is undefined leaves its cell empty.

    Args:
        path: the file, made with its header at once.
        figures: names of the columns after `seconds`; a file that is there keeps its own.
        steps_per_epoch: of the optimizer, to tell the epoch of a step.
        step: from which a run resumes; rows that it had written after that are cut off, as is one half written.
    """

    def __init__(self, path: Path, figures: list[str], steps_per_epoch: int, step: int = 0) -> None:
        super().__init__()
        self.path, self.steps_per_epoch = path, steps_per_epoch
        rows = _cut(path, step) if path.exists() else []
        self.began = time.perf_counter() - float(rows[-1]["seconds"] if rows else 0)
        self.file = path.open("a", newline="", encoding="utf-8")
        columns = [*rows[0]] if rows else [*NO_FIGURES, *figures]  # an earlier version may have measured less
        self.writer = csv.DictWriter(self.file, columns, "", "ignore", lineterminator="\n")
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
        with self.path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            figures = {name: float(value) for name, value in row.items() if value and name not in NO_FIGURES}
            yield int(row["step"]), figures

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: a run's configuration has a file of its own."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Appends a row; what a callback of the user's own logs beside it is for other loggers."""
        if "train/loss" not in metrics:
            return
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
                f"write, then: {command(f'resume={self.path.parent}')}"
            ) from error

    def finalize(self, status: str) -> None:
        """Closes the file."""
        self.file.close()


class StackedHistory:
    """The rows of many runs that train as one, in a file of numbers: memory does not grow with the intervals.

    Shapes: C runs, F columns.

    Args:
        path: the file.
        columns: names of the figures in a row.
        copies: C.
        intervals: rows that a resumed stack has; later ones are cut off.
    """

    def __init__(self, path: Path, columns: Sequence[str], copies: int, intervals: int = 0) -> None:
        self.path, self.columns, self.copies = path, [*NO_FIGURES, *columns], copies
        size = copies * len(self.columns) * 8
        self.file = path.open("r+b" if path.exists() and intervals else "w+b")
        self.file.truncate(size * intervals)
        self.file.seek(0, os.SEEK_END)
        before = self.rows(0, math.inf) if intervals else []
        self.began = time.perf_counter() - (float(before[-1]["seconds"]) if before else 0.0)

    def add(self, step: int, epoch: float, figures: NDArray[np.float64]) -> None:
        """Appends a row for each run, [C, F].

        Raises:
            OSError: the disk is full.
        """
        seconds = round(time.perf_counter() - self.began, 4)
        first = np.broadcast_to([step, epoch, seconds], (self.copies, len(NO_FIGURES)))
        self.file.write(np.concatenate([first, figures], 1).tobytes())

    def flush(self) -> None:
        """Makes what was added outlast a power failure."""
        self.file.flush()
        os.fsync(self.file.fileno())

    def rows(self, copy: int, last: float) -> list[dict[str, float]]:
        """Returns the rows of a run up to a step."""
        self.file.flush()
        shape = (-1, self.copies, len(self.columns))
        blocks = np.memmap(self.path, np.float64, "r").reshape(shape) if self.path.stat().st_size else np.empty(shape)
        return [dict(zip(self.columns, row, strict=True)) for row in blocks[:, copy].tolist() if row[0] <= last]


def text_of(rows: Iterable[Mapping[str, float]], columns: Iterable[str]) -> str:
    """Returns the content of `history.csv` with these rows, of which the columns are as in `History`."""
    lines = io.StringIO()
    writer = csv.DictWriter(lines, [*NO_FIGURES, *columns], "", "ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        first = {"step": int(row["step"]), "epoch": row["epoch"], "seconds": f"{row['seconds']:.4f}"}
        writer.writerow(first | measured(row))
    return lines.getvalue()


def measured(row: Mapping[str, float]) -> dict[str, float]:
    """Returns the figures of a row; a metric that is not finite is undefined, but a loss counts whatever it is."""
    figures = {name: value for name, value in row.items() if name not in NO_FIGURES}
    return {name: value for name, value in figures.items() if math.isfinite(value) or name.endswith("/loss")}


def _cut(path: Path, step: int) -> list[dict[str, str]]:
    """Rewrites the file without what was written after `step`, and returns the rows that are left."""
    header, *lines = path.read_text("utf-8").splitlines(keepends=True) or [""]
    kept = [header, *(line for line in lines if _is_row(line, header) and int(line.partition(",")[0]) <= step)]
    write_text(path, "".join(kept[len(kept) == 1 :]))  # a header alone is written anew
    return list(csv.DictReader(kept))


def _is_row(line: str, header: str) -> bool:
    """Returns whether a line is complete; the last one of a killed run may not be."""
    return line.endswith("\n") and line.count(",") == header.count(",") and line.partition(",")[0].isdigit()
