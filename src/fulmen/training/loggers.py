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
from fulmen.training import tensorboard_private, tracking
from fulmen.training.recipe import kind
from fulmen.training.trackio_logger import TrackioLogger

MakeLogger = Callable[..., Logger]
HYPERPARAMETERS = {
    "optimizer.lr": "",
    "optimizer.weight_decay": "",
    "model.hidden": "nodes",
    "model.activation": "",
    "model.dropout": "",
    "penalty.weight": "",
    "data.batch_size": "rows",
    "trainer.max_epochs": "passes",
    "trainer.max_steps": "steps",
    "trainer.precision": "",
    "seed": "",
}
"""Keys shown beside each group's choice, with their units; a key that the choice lacks is left out."""
IMAGE = "visuals/{}"
"""TensorBoard sorts its cards by name, and opens on the first: after train/ and val/, so that losses come first."""
GROUPS = ("data", "model", "optimizer", "scheduler", "loss", "penalty", "init", "backprop")


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


def show_hyperparameters(logger: Logger, config: Mapping[str, Any], batch_rows: int) -> None:
    """Sends the configuration before the first step, so that a run that fails is listed, too.

    TensorBoard's HParams get the few hyperparameters that tell runs apart. Lightning would send a list of columns as
    well. TensorBoard applies the list of an arbitrary run to all runs and hides every column missing from it; without a
    list it shows the columns of all runs.

    A resumed run sends TensorBoard nothing, even if `trainer.max_epochs` has changed: it keeps the hyperparameters that
    it reads first in a run's folder.
    """
    if isinstance(logger, TensorBoardLogger):
        from torch.utils.tensorboard.summary import hparams  # and with it TensorBoard, which not every run needs

        _, started, _ = hparams(hyperparameters(config, batch_rows), {})  # type: ignore[no-untyped-call]
        tensorboard_private.add_summary(logger, started)
    elif not isinstance(logger, CSVLogger):  # whose file has curves, and nothing else
        logger.log_hyperparams(dict(config))


def show_final_figures(logger: Logger, metrics: Mapping[str, Any], step: int) -> None:
    """Ends the run with its final metrics, in TensorBoard's HParams and elsewhere.

    Their step is one after the last row's, so that a run that is killed before its end and resumed has them only once.
    """
    if isinstance(logger, TensorBoardLogger):
        from torch.utils.tensorboard.summary import hparams

        show_scalars(logger, final(metrics), step + 1)
        _, _, ended = hparams({}, {})  # type: ignore[no-untyped-call]
        tensorboard_private.add_summary(logger, ended)
    elif not isinstance(logger, CSVLogger):
        logger.log_metrics(final(metrics), step + 1)
    logger.finalize("success")


def hyperparameters(config: Mapping[str, Any], batch_rows: int) -> dict[str, str | float | bool]:
    """Returns the few hyperparameters that tell runs apart, named with units; numbers stay numbers, to be sorted."""
    found: dict[str, Any] = {group: config["choices"][group] for group in GROUPS if group in config.get("choices", {})}
    for key, unit in HYPERPARAMETERS.items():
        group, _, name = key.rpartition(".")
        value = (config.get(group, {}) if group else config).get(name)
        if key == "data.batch_size" and value is not None:
            value = batch_rows  # it may be the word full
        if value is not None:
            found[f"{key} [{unit}]" if unit else key] = _plain(value)
    return found


def _plain(value: Any) -> str | float | bool:
    """Returns a value that TensorBoard accepts; a key of a user's own model may hold anything."""
    if isinstance(value, list):
        return "-".join(map(str, value))
    return value if isinstance(value, bool | int | float | str) else str(value)
