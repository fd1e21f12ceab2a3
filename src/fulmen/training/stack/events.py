"""What a logger would have been sent in a run, written at once from its record.

TensorBoard's files are written here: a thousand of its loggers would take too long. Others get what a run sends.
"""

import io
import os
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image
from torch import nn

from fulmen.runs.history import measured
from fulmen.training import loggers, tracking
from fulmen.training.loggers import MakeLogger


class Events:
    """The logs of runs with one network architecture; none without a logger."""

    def __init__(
        self, make_logger: MakeLogger | None, net: nn.Module, in_shape: tuple[int, ...], columns: Sequence[str]
    ) -> None:
        self.make_logger = make_logger
        self.is_board = getattr(make_logger, "func", make_logger) is TensorBoardLogger
        self.first = b""
        """The events that all runs have: the network's graph and the layout of the charts."""
        if make_logger is None or not self.is_board:
            return
        with tempfile.TemporaryDirectory() as folder:
            board = make_logger(save_dir=folder, version="")
            loggers.show_graph(board, net, in_shape)
            loggers.show_charts(board, columns)
            board.finalize("success")
            self.first = b"".join(path.read_bytes() for path in Path(folder).rglob("events.*"))

    def write(
        self,
        folder: Path,
        name: str,
        config: Mapping[str, Any],
        keys: Sequence[str],
        batch_rows: int,
        rows: Sequence[Mapping[str, float]],
        metrics: Mapping[str, Any],
        pictures: Mapping[str, bytes],
    ) -> None:
        """Writes the log of the run in `folder`: the values of `keys`, its history and final metrics, PNG files."""
        if self.make_logger is None:
            return
        if not self.is_board:
            logger = loggers.make(self.make_logger, folder, name)
            step, failed = int(rows[-1]["step"]) if rows else 0, True
            try:
                loggers.show_hyperparameters(logger, config, keys, batch_rows)
                for row in rows:
                    logger.log_metrics(measured(row), int(row["step"]))
                for tag, png in pictures.items():
                    dots = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
                    loggers.show_image([logger], tag, dots, step)
                if metrics:
                    loggers.show_final_figures(logger, metrics, config["score"], step)
                else:
                    logger.finalize("failed")
                failed = not metrics
            finally:
                tracking.end([logger], failed=failed)
            return
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard.summary import hparams

        now, last = time.time(), rows[-1] if rows else {"seconds": 0.0, "step": 0}
        content = io.BytesIO()
        content.write(self.first)
        records = RecordWriter(content)

        def add(summary: Any, seconds: float, step: float = 0) -> None:
            event = Event(wall_time=now - last["seconds"] + seconds, step=int(step), summary=summary)
            records.write(event.SerializeToString())

        shown = loggers.hyperparameters(config, keys, batch_rows)
        _, started, ended = hparams(shown, {})  # type: ignore[no-untyped-call]
        add(started, 0.0)
        for row in rows:
            add(loggers.scalars(measured(row)), row["seconds"], row["step"])
        for tag, png in pictures.items():
            image = Summary.Image(encoded_image_string=png, colorspace=3)
            add(
                Summary(value=[Summary.Value(tag=loggers.IMAGE.format(tag), image=image)]),
                last["seconds"],
                last["step"],
            )
        if metrics:
            add(loggers.scalars(loggers.ranked(metrics, config["score"])), last["seconds"], last["step"] + 1)
            add(ended, last["seconds"])
        home = Path(self.make_logger(save_dir=folder, version="").root_dir or folder) / name
        home.mkdir(parents=True, exist_ok=True)
        for written in home.glob("events.*"):  # before the stack was killed and resumed
            written.unlink()
        path = home / f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}.0"
        path.write_bytes(content.getvalue())
