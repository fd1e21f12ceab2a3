"""The metrics and losses of each task, by name.

This file does not import torch, so that a configuration is checked before the seconds that torch takes to import.
"""

from collections.abc import Collection
from typing import Final, Literal

from fulmen.data.source import TaskKind

METRICS: Final[dict[TaskKind, tuple[str, ...]]] = {
    "regression": ("mse", "mae", "r2"),
    "binary": ("accuracy", "f1", "auroc"),
    "multiclass": ("accuracy", "f1", "auroc"),
}
"""Each task's metrics, beside `loss`. A run's history and `metrics.json` hold them under `<split>/<metric>`."""

MAXIMIZED: Final = frozenset({"r2", "accuracy", "f1", "auroc"})
"""Metrics that are maximized; losses and errors are minimized."""

LOSSES: Final[dict[TaskKind, tuple[str, ...]]] = {
    "regression": ("mse", "sse", "mae", "huber"),
    "binary": ("bce", "mse", "sse", "mae", "huber"),
    "multiclass": ("cross_entropy", "mse", "sse", "mae", "huber"),
}
"""Losses that make sense for each task, its default first. For classes, errors are those of the probabilities."""


def mode(score: str) -> Literal["min", "max"]:
    """Returns whether `score`, such as `val/accuracy`, is minimized or maximized."""
    return "max" if score.rpartition("/")[2] in MAXIMIZED else "min"


def measured(task: TaskKind, splits: Collection[str]) -> list[str]:
    """Returns the columns of the history: the metrics that are measured at the end of each interval."""
    validation = ["val/loss", *(f"val/{name}" for name in METRICS[task])]
    return ["lr", "train/loss", *(validation if "val" in splits else [])]
