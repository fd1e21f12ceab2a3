"""The task: values (regression), one of two classes (binary), or one of several (multiclass).

A task says how a model's raw scores are read as predictions.

Shapes: B rows, T targets, K classes. Scores `out` and targets `y` are [B, T] and [B, T] for regression, [B, 1] and
[B, 1] (0 or 1) for binary, [B, K] and [B] (int64) for multiclass, perhaps with an axis of network copies before these.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from fulmen.data import source

TINY = 1e-12
"""Keeps the logarithm of a probability finite where a model's own output activation rounds it to zero."""


@dataclass(frozen=True)
class Task:
    """A task's kind, and how a model's output is read."""

    kind: source.TaskKind
    out_features: int
    gives_probabilities: bool = False
    """True if the model's output activation gives probabilities (which, for multiclass, need not sum to 1)."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    """For regression: a target is mean + std · its scaled value. One number for each target, or one for all."""

    def values(self, scaled: Tensor) -> Tensor:
        """Returns scores or targets of regression, [B, T], in the targets' own units."""
        if (self.mean, self.std) == ((0.0,), (1.0,)):
            return scaled
        return scaled * scaled.new_tensor(self.std) + scaled.new_tensor(self.mean)

    def probabilities(self, out: Tensor) -> Tensor:
        """Returns class probabilities: [B, 1] of class 1 for binary, [B, K] for multiclass."""
        if self.kind == "binary":
            return out if self.gives_probabilities else out.sigmoid()
        return out / out.sum(-1, keepdim=True).clamp_min(TINY) if self.gives_probabilities else out.softmax(-1)

    def comparable(self, out: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Returns prediction and target in one shape: values, or probabilities and the classes as 0 and 1."""
        if self.kind == "regression":
            return out, y
        true = y if self.kind == "binary" else F.one_hot(y, self.out_features).to(out.dtype)
        return self.probabilities(out), true
