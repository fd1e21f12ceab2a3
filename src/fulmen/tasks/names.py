"""The words that the parts share: tasks, their metrics and losses, activations.

Nothing here imports torch, so that the command can check a configuration, and say what is wrong with it, before the
seconds that torch and Lightning take to import.
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
"""Metrics of which more is better; losses and errors are minimized."""

LOSSES: Final[dict[TaskKind, tuple[str, ...]]] = {
    "regression": ("mse", "sse", "mae", "huber"),
    "binary": ("bce", "mse", "sse", "mae", "huber"),
    "multiclass": ("cross_entropy", "mse", "sse", "mae", "huber"),
}
"""Losses that make sense for each task, its own first. On classes the errors are those of the probabilities."""


def mode(score: str) -> Literal["min", "max"]:
    """Whether `score`, such as `val/accuracy`, is to be minimized or maximized."""
    return "max" if score.rpartition("/")[2] in MAXIMIZED else "min"


def measured(task: TaskKind, splits: Collection[str]) -> list[str]:
    """The figures that are taken at the end of each interval."""
    validation = ["val/loss", *(f"val/{name}" for name in METRICS[task])]
    return ["lr", "train/loss", *(validation if "val" in splits else [])]
