"""A trained network put to use: from rows as a file holds them to values, classes and probabilities.

What that takes beside the weights is a checkpoint's *metadata*: configuration, joint, scaling and what the source
learned from its training rows, all of it plain values.

Shapes: N rows, T targets, K classes.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fulmen.data.scaling import Scaling
from fulmen.data.source import Joint, Source
from fulmen.evaluation import Evaluation
from fulmen.precision import data_type, default_dtype
from fulmen.tasks import Task
from fulmen.vocabulary import PROBABILITIES


@dataclass(frozen=True)
class Predictor:
    """A network in evaluation, on the CPU, and how rows become its input."""

    evaluation: Evaluation
    joint: Joint
    scaling: Scaling
    encode: Callable[[Any], NDArray[Any]]
    """From rows as a file holds them to features, [N, *in_shape], before scaling (`Source.encode`)."""

    def scores(self, rows: Any) -> NDArray[np.floating]:
        """Values in the targets' units [N, T], or class probabilities [N, K]; for two classes, K is 2."""
        return self.scores_of(self.features(rows))

    def features(self, rows: Any) -> NDArray[Any]:
        """Rows as numbers, [N, *in_shape], not scaled; what is no table counts as an array."""
        return self.encode(rows if hasattr(rows, "columns") else np.asarray(rows))

    def scores_of(self, features: NDArray[Any]) -> NDArray[np.floating]:
        """The same for features, [N, *in_shape], before scaling."""
        x = features if self.scaling.x is None else self.scaling.x(features)
        scores = self.evaluation.scores(torch.from_numpy(np.ascontiguousarray(x)).to(self.dtype))
        return final(scores, self.evaluation.task).numpy()

    @property
    def dtype(self) -> torch.dtype:
        """Of features."""
        return data_type(self.evaluation.precision)

    def predict(self, rows: Any) -> NDArray[Any]:
        """Values [N, T], or the names of the likeliest classes [N]."""
        scores = self.scores(rows)
        return scores if self.joint.task == "regression" else np.array(self.joint.target_names)[scores.argmax(1)]


def final(scores: Tensor, task: Task) -> Tensor:
    """Raw scores as values [N, T], in double precision (targets may be large and differ little), or as probabilities.

    Those have a column for each class: [N, 1] of the second of two classes becomes [N, 2].
    """
    if task.kind == "regression":
        return task.predictions(scores.double())
    out = task.predictions(scores.float() if scores.dtype == torch.bfloat16 else scores)
    return torch.cat([1 - out, out], 1) if task.kind == "binary" else out


@dataclass(frozen=True)
class Run:
    """A run in memory; all of it is in its folder, too."""

    metrics: dict[str, Any]
    """The content of `metrics.json`."""
    model: nn.Module
    """The network with the weights that were evaluated, on the CPU, in evaluation mode."""
    folder: Path
    """The run's folder, or the checkpoint alone that it was loaded from."""
    predictor: Predictor
    """Turns new rows into predictions."""

    def predict(self, rows: Any) -> NDArray[Any]:
        """What the network says of new rows, which are treated as the training rows were.

        Args:
            rows: a pandas DataFrame, matched by the names of the features, or an array or lists, [N, *in_shape].

        Returns:
            Values [N, T] in the targets' units, or the names of classes [N].

        Raises:
            ValueError: rows lack a feature, or have another shape.
        """
        return self.predictor.predict(rows)

    def features(self, rows: Any) -> NDArray[Any]:
        """New rows as numbers, [N, *in_shape], not scaled: what an exported network takes.

        Raises:
            ValueError: as `predict`.
        """
        return self.predictor.features(rows)

    def predict_proba(self, rows: Any) -> NDArray[np.floating]:
        """Class probabilities of new rows, [N, K], in the order of the classes' names.

        Raises:
            ValueError: as `predict`, and where values are learned and not classes.
        """
        if self.predictor.joint.task == "regression":
            raise ValueError("this network gives values and no probabilities; use predict")
        return self.predictor.scores(rows)


def metadata(
    config: Mapping[str, Any], source: Source, scaling: Scaling, fingerprint: str, threads: int
) -> dict[str, Any]:
    """What a checkpoint keeps beside the weights, as plain values."""
    return {
        "config": dict(config),
        "joint": dataclasses.asdict(source.joint),
        "scaling": scaling.plain(),
        "learned": source.learned(),
        "fingerprint": fingerprint,
        "threads": threads,
    }


def task_of(net: nn.Module, joint: Joint, scaling: Scaling) -> Task:
    """How a network's output is to be read."""
    units = {} if scaling.y is None else {"mean": scaling.y.mean, "deviation": scaling.y.deviation}
    return Task(
        joint.task,
        joint.out_features,
        getattr(net, "output_activation", "") in PROBABILITIES,
        **{name: tuple(values.flatten().tolist()) for name, values in units.items()},
    )


def new_network(
    model: Callable[..., nn.Module],
    joint: Joint,
    precision: str,
    seed: int = 0,
    init: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """A network that fits the data, with its first values drawn in double precision where it computes in that."""
    torch.manual_seed(seed)
    double = data_type(precision) == torch.float64
    with default_dtype(torch.float64 if double else torch.float32):
        net = model(in_shape=joint.in_shape, out_features=joint.out_features)
        if init is not None:
            init(net)
    return net
