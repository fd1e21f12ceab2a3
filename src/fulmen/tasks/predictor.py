"""Predictions of a trained network for rows as a file holds them: values, classes and probabilities.

Beside the weights, this takes the metadata of a checkpoint: configuration, data spec, scaling and what the source
learned from its training rows, all as plain values.

Shapes: N rows, T targets, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fulmen.data.scaling import Scaling
from fulmen.data.source import DataSpec
from fulmen.models.activations import PROBABILITIES
from fulmen.models.precision import data_type
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.task import Task


@dataclass(frozen=True)
class Predictor:
    """A network in evaluation mode, on the CPU, and the preparation of its input."""

    evaluation: Evaluation
    spec: DataSpec
    scaling: Scaling
    encode: Callable[[Any], NDArray[Any]]
    """Turns rows as a file holds them into features, [N, *in_shape], before scaling (`Source.encode`)."""

    def scores(self, rows: Any) -> NDArray[np.floating]:
        """Returns values in the targets' units [N, T], or class probabilities [N, K]; for two classes, K is 2."""
        return self.scores_of(self.features(rows))

    def features(self, rows: Any) -> NDArray[Any]:
        """Returns rows as numbers, [N, *in_shape], before scaling; anything but a table counts as an array."""
        return self.encode(rows if hasattr(rows, "columns") else np.asarray(rows))

    def scores_of(self, features: NDArray[Any]) -> NDArray[np.floating]:
        """Returns the scores of features, [N, *in_shape], before scaling."""
        x = features if self.scaling.x is None else self.scaling.x(features)
        scores = self.evaluation.scores(torch.from_numpy(np.ascontiguousarray(x)).to(self.dtype))
        return final(scores, self.evaluation.task).numpy()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of features."""
        return data_type(self.evaluation.precision)

    def predict(self, rows: Any) -> NDArray[Any]:
        """Returns values [N, T], or the likeliest classes [N], of the type that they have in the training rows."""
        scores = self.scores(rows)
        return scores if self.spec.task == "regression" else self.spec.labels[scores.argmax(1)]


def final(scores: Tensor, task: Task) -> Tensor:
    """Returns raw scores as values [N, T], in double precision (targets may be large and differ little), or as [N, K].

    Probabilities have a column for each class: [N, 1] of the second of two classes becomes [N, 2].
    """
    if task.kind == "regression":
        return task.values(scores.double())
    out = task.probabilities(scores.float() if scores.dtype == torch.bfloat16 else scores)
    return torch.cat([1 - out, out], 1) if task.kind == "binary" else out


def task_of(net: nn.Module, spec: DataSpec, scaling: Scaling) -> Task:
    """Returns the task of a network: whether its output gives probabilities, and the units of its targets."""
    units = {} if scaling.y is None else {"mean": scaling.y.mean, "std": scaling.y.std}
    return Task(
        spec.task,
        spec.out_features,
        getattr(net, "output_activation", "") in PROBABILITIES,
        **{name: tuple(values.flatten().tolist()) for name, values in units.items()},
    )
