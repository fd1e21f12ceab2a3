"""The words that the parts share: tasks, their metrics and losses, activations.

Nothing here imports torch, so that the command can check a configuration, and say what is wrong with it, before the
seconds that torch and Lightning take to import.
"""

from typing import Final, Literal

Task = Literal["regression", "binary", "multiclass"]

METRICS: Final[dict[Task, tuple[str, ...]]] = {
    "regression": ("mse", "mae", "r2"),
    "binary": ("accuracy", "f1", "auroc"),
    "multiclass": ("accuracy", "f1", "auroc"),
}
"""Each task's metrics, beside `loss`. A run's history and `metrics.json` hold them under `<split>/<metric>`."""

MAXIMIZED: Final = frozenset({"r2", "accuracy", "f1", "auroc"})
"""Metrics of which more is better; losses and errors are minimized."""

LOSSES: Final[dict[Task, tuple[str, ...]]] = {
    "regression": ("mse", "sse", "mae", "huber"),
    "binary": ("bce", "mse", "sse", "mae", "huber"),
    "multiclass": ("cross_entropy", "mse", "sse", "mae", "huber"),
}
"""Losses that make sense for each task, its own first. On classes the errors are those of the probabilities."""

ACTIVATIONS: Final = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "selu": "SELU",
    "gelu": "GELU",
    "identity": "Identity",
}
"""Activation functions between layers, and the class of `torch.nn` behind each."""

OUTPUT_ACTIVATIONS: Final = {**ACTIVATIONS, "softmax": "Softmax"}
"""What `model.output_activation` may name."""

PROBABILITIES: Final = ("sigmoid", "softmax")
"""Output activations under which a model gives class probabilities instead of logits."""


def mode(score: str) -> Literal["min", "max"]:
    """Whether `score`, such as `val/accuracy`, is to be minimized or maximized."""
    return "max" if score.rpartition("/")[2] in MAXIMIZED else "min"
