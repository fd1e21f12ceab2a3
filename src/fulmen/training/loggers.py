"""Loggers, and all that they get beside curves: configuration, final metrics, figures; TensorBoard also gets the graph.

A run is called in TensorBoard by the path of its files, so the last folder of that path describes the run.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger, WandbLogger
from lightning.pytorch.loggers.logger import Logger
from numpy.typing import NDArray
from torch import Tensor, nn

from fulmen.models.dry_run import evaluation_mode
from fulmen.runs.files import flush_to_disk
from fulmen.runs.history import History
from fulmen.runs.settings import settings, typed
from fulmen.training import tensorboard_private, tracking
from fulmen.training.recipe import kind
from fulmen.training.trackio_logger import TrackioLogger

MakeLogger = Callable[..., Logger]
UNITS = {
    "model.hidden": "nodes",
    "data.batch_size": "rows",
    "trainer.max_epochs": "passes",
    "trainer.max_steps": "steps",
}
"""Shown beside the names of hyperparameters."""
IMAGE = "visuals/{}"
"""TensorBoard sorts its cards by name, and opens on the first: after train/ and val/, so that losses come first."""


def none() -> None:
    """Leaves a run with no logger but its own history."""


def make(
    make_logger: MakeLogger,
    folder: Path,
    name: str,
    rows: Iterable[tuple[int, Mapping[str, float]]] = (),
    step: int = 0,
) -> Logger:
    """Returns the logger of a run in `folder`, called `name`, with the `rows` up to `step` of a resumed run.

    TensorBoard's files keep their points; those that the run had taken after its checkpoint are purged. What starts
    empty gets the rows again.
    """
    further = dict[str, Any]()
    if kind(make_logger) is TensorBoardLogger:
        root = Path(make_logger(save_dir=folder, version="").root_dir or folder)
        further = {"sub_dir": name}
        if begun := [*root.rglob("events.*")]:
            further = {"sub_dir": str(begun[0].parent.relative_to(root)), "purge_step": step + 1}
            # TensorBoard reads files by name, which holds the second of their creation: a new one must sort last
            if (newest := max(int(path.name.split(".")[3]) for path in begun)) == int(time.time()):
                time.sleep(max(0.0, newest + 1 - time.time()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Experiment logs directory .* exists")
        if kind(make_logger) in tracking.LOGGERS:
            logger = tracking.start(make_logger, folder, name)
        else:
            logger = make_logger(save_dir=folder, version="", **further)
        for row_step, row in rows if starts_empty(logger) else ():
            logger.log_metrics(dict(row), row_step)
    return logger


def starts_empty(logger: Logger) -> bool:
    """Returns whether a resumed run has to send again what it had sent before."""
    return isinstance(logger, CSVLogger) or tracking.is_offline(logger)


def takes_configuration_again(logger: Logger) -> bool:
    """Returns whether a resumed run sends its configuration: Trackio would replace the one it has by nothing."""
    return isinstance(logger, TrackioLogger) or starts_empty(logger)


def log(loggers: Iterable[Logger], row: Mapping[str, float], step: int) -> None:
    """Sends the metrics of a step to all loggers."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            show_scalars(logger, row, step)
        else:
            logger.log_metrics(dict(row), step)


def show_scalars(board: TensorBoardLogger, row: Mapping[str, float], step: int) -> None:
    """Sends metrics to TensorBoard as one event: Lightning makes an event of each, which takes four times as long."""
    tensorboard_private.add_summary(board, scalars(row), step)


def scalars(row: Mapping[str, float]) -> Any:
    """Returns metrics as TensorBoard's summary."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in row.items()])


def final(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Returns final metrics as `final/...`, because one that is named like a curve would add a point to that curve."""
    return {f"final/{name}": value for name, value in metrics.items() if isinstance(value, float)}


def ranked(metrics: Mapping[str, Any], score: str) -> dict[str, float]:
    """Returns final metrics with the score once more, under a name that TensorBoard sorts before all others."""
    first = {f"final score/{score}": metrics[score]} if isinstance(metrics.get(score), float) else {}
    return first | final(metrics)


def flush(loggers: Iterable[Logger]) -> None:
    """Writes rows and points to the disk before a checkpoint, so that a run resumed from it has no gap."""
    for logger in loggers:
        if isinstance(logger, History):
            flush_to_disk(logger.path)
        if isinstance(logger, TensorBoardLogger):
            tensorboard_private.flush(logger)


def show_graph(logger: Logger, net: nn.Module, in_shape: tuple[int, ...]) -> None:
    """Sends the graph of `net` to TensorBoard; one that torch cannot trace is trained without."""
    if not isinstance(logger, TensorBoardLogger):
        return
    row = torch.zeros(1, *in_shape, dtype=next(net.parameters()).dtype)
    with warnings.catch_warnings(), evaluation_mode(net):
        warnings.simplefilter("ignore")  # about operations that tracing cannot follow
        with suppress(Exception):  # whatever a network of one's own leads torch to
            tensorboard_private.writer(logger).add_graph(net, row)


def show_image(loggers: Iterable[Logger], name: str, dots: NDArray[np.uint8], step: int) -> None:
    """Sends a figure, [H, W, 3], to the loggers that show figures."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            writer = tensorboard_private.writer(logger)
            writer.add_image(IMAGE.format(name), dots, step, dataformats="HWC")
            writer.flush()
        elif isinstance(logger, WandbLogger):
            logger.log_image(IMAGE.format(name), [dots], step)
        elif isinstance(logger, MLFlowLogger):
            logger.experiment.log_image(logger.run_id, dots, key=name, step=step)
        elif isinstance(logger, TrackioLogger):
            logger.log_image(name, dots, step)


def show_histogram(loggers: Iterable[Logger], name: str, values: Tensor, step: int) -> None:
    """Sends the distribution of values, [...], to TensorBoard."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            tensorboard_private.writer(logger).add_histogram(name, values.float(), step)


def show_charts(logger: Logger, columns: Iterable[str]) -> None:
    """Lays out TensorBoard's custom scalars: a chart for each quantity, with its curves of all splits.

    The charts are the same for every run of a task, whatever its splits, because TensorBoard shows unequal ones twice.
    """
    if isinstance(logger, TensorBoardLogger):
        names = dict.fromkeys(name.rpartition("/")[2] for name in columns if "/" in name)
        charts = {name: ["Multiline", [f"(train|val)/{name}$"]] for name in names}
        layout = {"train and validation": charts, "learning rate": {"lr": ["Multiline", ["lr$"]]}}
        tensorboard_private.writer(logger).add_custom_scalars(layout)


def show_hyperparameters(logger: Logger, config: Mapping[str, Any], keys: Iterable[str], batch_rows: int) -> None:
    """Sends the configuration before the first step, so that a run that fails is listed, too.

    TensorBoard's HParams get the values of `keys`, of which each is a column. Lightning would send a list of columns as
    well. TensorBoard applies the list of an arbitrary run to all runs and hides every column missing from it; without a
    list it shows the columns of all runs.

    A resumed run sends TensorBoard nothing, even if `trainer.max_epochs` has changed: it keeps the hyperparameters that
    it reads first in a run's folder.
    """
    if isinstance(logger, TensorBoardLogger):
        from torch.utils.tensorboard.summary import hparams  # and with it TensorBoard, which not every run needs

        _, started, _ = hparams(hyperparameters(config, keys, batch_rows), {})  # type: ignore[no-untyped-call]
        tensorboard_private.add_summary(logger, started)
    elif not isinstance(logger, CSVLogger):  # whose file has curves, and nothing else
        logger.log_hyperparams(dict(config))


def show_final_figures(logger: Logger, metrics: Mapping[str, Any], score: str, step: int) -> None:
    """Ends the run with its final metrics, in TensorBoard's HParams and elsewhere.

    Their step is one after the last row's, so that a run that is killed before its end and resumed has them only once.
    """
    if isinstance(logger, TensorBoardLogger):
        from torch.utils.tensorboard.summary import hparams

        show_scalars(logger, ranked(metrics, score), step + 1)
        _, _, ended = hparams({}, {})  # type: ignore[no-untyped-call]
        tensorboard_private.add_summary(logger, ended)
    elif not isinstance(logger, CSVLogger):
        logger.log_metrics(final(metrics), step + 1)
    logger.finalize("success")


def hyperparameters(config: Mapping[str, Any], keys: Iterable[str], batch_rows: int) -> dict[str, str | float | bool]:
    """Returns the values of `keys` that TensorBoard accepts, named with units; numbers stay numbers, to be sorted.

    Args:
        config: the run's configuration.
        keys: dotted keys, and groups for their choices; those that the configuration lacks are left out.
        batch_rows: the rows of a batch, where `data.batch_size` may be the word `full`.
    """
    values = {**settings(config), "data.batch_size": batch_rows}
    found: dict[str, str | float | bool] = {}
    for key in filter(values.__contains__, keys):
        name, value = f"{key} [{UNITS[key]}]" if key in UNITS else key, values[key]
        found[name] = value if isinstance(value, bool | int | float | str) else typed(value)
    return found
