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

MEANINGS: Final[Mapping[str, str]] = {
    "loss": "what training minimizes, as loss= says; without the penalty",
    "mse": "the mean of the squared errors",
    "rmse": "the root of mse, in the unit of the target",
    "mae": "the mean of the absolute errors",
    "r2": "the share of the variance that is explained: 1 is perfect, 0 as good as the mean",
    "accuracy": "the share of rows whose class is predicted",
    "f1": "the harmonic mean of precision and recall",
    "auroc": "how often a row of a class is ranked above one that is not of it: 0.5 is chance",
    "average_precision": "the area under the curve of precision over recall",
    "balanced_accuracy": "the share of rows whose class is predicted, averaged over the classes",
    "calibration_error": "the distance between predicted probabilities and how often they are right",
    "cohen_kappa": "the agreement of predictions and classes beyond chance: 1 is perfect, 0 is chance",
    "hamming_distance": "the share of rows whose class is not predicted",
    "hinge_loss": "how far scores are on the wrong side of the margin",
    "jaccard_index": "rows rightly predicted as a class, among all that are of it or predicted as it",
    "matthews_corrcoef": "the correlation of predicted and true classes: 1 is perfect, 0 is chance",
    "negative_predictive_value": "the share of rows not predicted as a class that are not of it",
    "precision": "the share of rows predicted as a class that are of it",
    "recall": "the share of rows of a class that are predicted as it",
    "specificity": "the share of rows not of a class that are not predicted as it",
    "top2": "the share of rows whose class is among the two most probable ones",
    "top3": "the same among three",
    "top5": "the same among five",
    "concordance_corrcoef": "the agreement of predicted and true values: 1 is perfect",
    "explained_variance": "as r2, but blind to errors that are the same in all rows",
    "kendall_rank_corrcoef": "the correlation of ranks, by pairs of rows in the same order",
    "log_cosh_error": "the mean logarithm of the hyperbolic cosine of the errors",
    "mean_absolute_percentage_error": "the mean of absolute errors as shares of the true value",
    "mean_squared_log_error": "the mean squared error of the logarithms of 1 + value",
    "normalized_root_mean_squared_error": "rmse over the mean of the targets",
    "pearson_corrcoef": "the linear correlation of predicted and true values",
    "relative_squared_error": "the squared errors as a share of those of the mean",
    "spearman_corrcoef": "the linear correlation of ranks",
    "symmetric_mean_absolute_percentage_error": "absolute errors as shares of the mean of predicted and true value",
    "weighted_mean_absolute_percentage_error": "the sum of absolute errors as a share of the sum of true values",
}
"""Each metric in a line, for `fulmen help`."""

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


def added(metrics: Iterable[Any] | None) -> list[Any]:
    """Returns `metrics=[...]` without those that every run on a task measures, which may be named there, too."""
    measured_anyway = {name for names in METRICS.values() for name in names}
    return [each for each in metrics or () if not (isinstance(each, str) and each in measured_anyway)]


def metric_names(config: Mapping[str, Any]) -> list[str]:
    """Returns the names of the metrics that a configuration adds to the task's own; those of functions are theirs."""
    found = added(config.get("metrics"))
    return [str(each.get("_target_")).rpartition(".")[2] if isinstance(each, Mapping) else str(each) for each in found]
