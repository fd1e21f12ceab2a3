"""What each feature counts for in a linear network, and in its counterpart of scikit-learn.

Shapes: T targets, or classes; F features.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fulmen.data.source import Joint

Array = NDArray[np.floating]


class Coefficient(NamedTuple):
    """What a feature counts for, or a bias, as both have it."""

    name: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        return self.ours - self.theirs


def coefficients(net: nn.Module, estimator: Any, joint: Joint) -> list[Coefficient]:
    """Those of a linear network and of a fitted estimator; none where that is not linear.

    Several classes have their mean taken off: only differences between classes change a probability.
    """
    if not hasattr(estimator, "coef_"):
        return []
    ours, theirs = _columns(net), _fitted(estimator)  # [T, F + 1]
    if joint.task == "multiclass":
        ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    features = joint.feature_names or tuple(f"x{i}" for i in range(ours.shape[1] - 1))
    outputs = joint.target_names if len(ours) > 1 else ("",)
    names = [f"{feature}, {out}" if out else feature for out in outputs for feature in (*features, "bias")]
    return [Coefficient(*row) for row in zip(names, ours.ravel().tolist(), theirs.ravel().tolist(), strict=True)]


def _columns(net: nn.Module) -> Array:
    """Weights and bias of the one layer, [T, F + 1]; 0 where it has none."""
    (layer,) = (module for module in net.modules() if isinstance(module, nn.Linear))
    bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias
    columns: Array = torch.cat([layer.weight, bias[:, None]], 1).detach().cpu().double().numpy()
    return columns


def _fitted(linear: Any) -> Array:
    """The same of a linear estimator."""
    weights = np.atleast_2d(linear.coef_)
    return np.column_stack([weights, np.broadcast_to(linear.intercept_, len(weights))])
