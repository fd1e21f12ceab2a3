"""TensorBoard's graph of a network, and its table of runs by their hyperparameters."""

import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.loggers.logger import Logger
from torch import nn

HYPERPARAMETERS = (
    "optimizer.lr",
    "optimizer.weight_decay",
    "model.hidden",
    "model.activation",
    "model.dropout",
    "penalty.weight",
    "data.batch_size",
    "trainer.max_epochs",
    "trainer.max_steps",
    "trainer.precision",
    "seed",
)
"""What matters of a configuration, beside the choice in each group; a key that a choice lacks is left out."""
GROUPS = ("data", "model", "optimizer", "scheduler", "loss", "penalty", "init")


def none() -> None:
    """No logger but the run's own history."""


def show_graph(logger: Logger, net: nn.Module, in_shape: tuple[int, ...]) -> None:
    """Sends the graph of `net` to TensorBoard; a network that torch cannot trace has none, and trains all the same."""
    if not isinstance(logger, TensorBoardLogger):
        return
    row = torch.zeros(1, *in_shape, dtype=next(net.parameters()).dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what tracing cannot follow
        with suppress(RuntimeError, TypeError, ValueError):
            logger.experiment.add_graph(net.eval(), row)
        net.train()


def show_hyperparameters(logger: Logger, config: Mapping[str, Any], metrics: Mapping[str, Any], step: int) -> None:
    """Adds the run to TensorBoard's HParams, with its *final* figures.

    They are called `final/...`, because a figure named like a curve would add a point to that curve.
    """
    if isinstance(logger, TensorBoardLogger):
        figures = {f"final/{name}": value for name, value in metrics.items() if isinstance(value, float)}
        logger.log_hyperparams(hyperparameters(config), figures, step=step)
    logger.finalize("success")


def hyperparameters(config: Mapping[str, Any]) -> dict[str, str | float | bool]:
    """The short list that tells runs apart."""
    found: dict[str, Any] = {group: config["choices"][group] for group in GROUPS if group in config.get("choices", {})}
    for key in HYPERPARAMETERS:
        group, _, name = key.rpartition(".")
        value = (config.get(group, {}) if group else config).get(name)
        if value is not None:
            found[key] = "-".join(map(str, value)) if isinstance(value, list) else value
    return found
