"""TensorBoard's private names, all in this file; a test of each function fails when a new version changes them."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from lightning.pytorch.loggers import TensorBoardLogger

from fulmen.errors import warn
from fulmen.runs.files import flush_to_disk

_broken = WeakSet[TensorBoardLogger]()  # loggers with an event that could not be written


def writer(board: TensorBoardLogger) -> Any:
    """Returns the `SummaryWriter` of `board`, which drops all events after the first that cannot be written.

    TensorBoard would let its thread print a traceback and raise the error in whatever call comes next. Lightning
    closes the file when training ends, and whatever is written later opens another one.
    """
    if board._experiment is None or board._experiment.file_writer is None:
        with _forgiving(board):
            board.experiment._get_file_writer()
    return board.experiment


def add_summary(board: TensorBoardLogger, summary: Any, step: int | None = None) -> None:
    """Writes a summary, with all its values, as one event."""
    writer(board)._get_file_writer().add_summary(summary, step)


def flush(board: TensorBoardLogger) -> None:
    """Waits until every event so far has outlasted a power failure."""
    writer(board).flush()
    newest = max(Path(board.log_dir).glob("events.*"), key=lambda path: path.stat().st_mtime_ns, default=None)
    if newest is not None:
        _attempt(board, newest, functools.partial(flush_to_disk, newest))


@contextmanager
def _forgiving(board: TensorBoardLogger) -> Iterator[None]:
    """Gives an event file of `board` that is opened meanwhile records that forgive a full disk."""
    from tensorboard.summary.writer import event_file_writer, record_writer  # not every run needs TensorBoard

    class Records(record_writer.RecordWriter):  # type: ignore[misc]
        def write(self, data: bytes) -> None:
            _attempt(board, self._writer.filename, functools.partial(super().write, data))

        def flush(self) -> None:
            _attempt(board, self._writer.filename, super().flush)

        def close(self) -> None:
            _attempt(board, self._writer.filename, super().close)

    usual, event_file_writer.RecordWriter = event_file_writer.RecordWriter, Records
    try:
        yield
    finally:
        event_file_writer.RecordWriter = usual


def _attempt(board: TensorBoardLogger, path: Any, action: Callable[[], None]) -> None:
    if board in _broken:
        return
    try:
        action()
    except Exception as error:  # with TensorFlow installed, a full disk is no OSError
        _broken.add(board)
        cause = f"{os.fsdecode(path)}: {getattr(error, 'strerror', None) or error}"
        warn(
            f"TensorBoard's events could not be written ({cause}); the run continues without further ones, "
            "and history.csv has every value"
        )
