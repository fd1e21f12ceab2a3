"""The metrics and losses of each task, by name.

This file does not import torch, so that a configuration is checked before the seconds that torch takes to import.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Literal

from fulmen.data.source import TaskKind

METRICS: Final[dict[TaskKind, tuple[str, ...]]] = {
    "regression": ("mse", "rmse", "mae", "r2"),
    "binary": ("accuracy", "f1", "auroc"),
    "multiclass": ("accuracy", "f1", "auroc"),
}
"""Each task's metrics, beside `loss`. A run's history and `metrics.json` hold them under `<split>/<metric>`."""

_OF_CLASSES: Final = (
    "average_precision",
    "balanced_accuracy",
    "calibration_error",
    "cohen_kappa",
    "hamming_distance",
    "hinge_loss",
    "jaccard_index",
    "matthews_corrcoef",
    "negative_predictive_value",
    "precision",
    "recall",
    "specificity",
)
FURTHER: Final[dict[TaskKind, tuple[str, ...]]] = {
    "regression": (
        "concordance_corrcoef",
        "explained_variance",
        "kendall_rank_corrcoef",
        "log_cosh_error",
        "mean_absolute_percentage_error",
        "mean_squared_log_error",
        "normalized_root_mean_squared_error",
        "pearson_corrcoef",
        "relative_squared_error",
        "spearman_corrcoef",
        "symmetric_mean_absolute_percentage_error",
        "weighted_mean_absolute_percentage_error",
    ),
    "binary": _OF_CLASSES,
    "multiclass": (*_OF_CLASSES, "top2", "top3", "top5"),
}
"""Metrics that `metrics=[...]` adds by their names, most of them torchmetrics'."""

MAXIMIZED: Final = re.compile(
    "r2|accuracy|f1|auroc|explained_variance|average_precision|balanced_accuracy|cohen_kappa|jaccard_index|precision|"
    r"negative_predictive_value|recall|specificity|top\d|\w+_corrcoef|\w+_score"
)
"""Names of metrics that are maximized; losses and errors are minimized."""
DIRECTIONS: Final = ("_score", "_error", "_loss", "_deviance")
"""Endings of the names of metrics of one's own: as in scikit-learn, scores are maximized, all others minimized."""

LOSSES: Final[dict[TaskKind, tuple[str, ...]]] = {
    "regression": ("mse", "sse", "mae", "huber"),
    "binary": ("bce", "mse", "sse", "mae", "huber"),
    "multiclass": ("cross_entropy", "mse", "sse", "mae", "huber"),
}
"""Losses that make sense for each task, its default first. For classes, errors are those of the probabilities."""


def mode(score: str) -> Literal["min", "max"]:
    """Returns whether `score`, such as `val/accuracy`, is minimized or maximized."""
    return "max" if MAXIMIZED.fullmatch(score.rpartition("/")[2]) else "min"


def measured(task: TaskKind, splits: Collection[str], further: Iterable[str] = ()) -> list[str]:
    """Returns the columns of the history: the metrics that are measured at the end of each interval."""
    validation = ["val/loss", *(f"val/{name}" for name in (*METRICS[task], *further))]
    return ["lr", "train/loss", *(validation if "val" in splits else [])]


def metric_names(config: Mapping[str, Any]) -> list[str]:
    """Returns the names of the metrics that a configuration adds to the task's own; those of functions are theirs."""
    found = config.get("metrics") or []
    return [str(each.get("_target_")).rpartition(".")[2] if isinstance(each, Mapping) else str(each) for each in found]
