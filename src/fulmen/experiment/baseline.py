"""The baseline: scikit-learn's equivalent of a network, fitted to the same rows, scaled in the same way.

It replaces the network in the evaluation, so that both are measured by the same code. It is fitted on the CPU in
double precision, after the network is trained. scikit-learn is imported only for this.

Shapes: B rows, F features, K classes, T targets.
"""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from fulmen.data.source import DataSpec
from fulmen.data.tensors import Batch, Rows
from fulmen.errors import warn
from fulmen.experiment.sklearn_equivalent import Amounts, estimator
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.losses import Loss
from fulmen.tasks.task import Task
from fulmen.training.recipe import Recipe

Array = NDArray[np.floating]


class Coefficient(NamedTuple):
    """The weight of a feature, or a bias, in both models."""

    name: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        return self.ours - self.theirs


def coefficients(net: nn.Module, estimator: Any, spec: DataSpec) -> list[Coefficient]:
    """Pairs the coefficients of a linear network with those of a fitted estimator; empty where that is not linear.

    Several classes are centred on their mean: only differences between classes change a probability.
    """
    if not hasattr(estimator, "coef_"):
        return []
    (layer,) = (module for module in net.modules() if isinstance(module, nn.Linear))
    bias = torch.zeros(layer.out_features) if layer.bias is None else layer.bias
    ours: Array = torch.cat([layer.weight, bias[:, None]], 1).detach().cpu().double().numpy()  # [T, F + 1]
    weights = np.atleast_2d(estimator.coef_)
    theirs = np.column_stack([weights, np.broadcast_to(estimator.intercept_, len(weights))])  # [T, F + 1]
    if spec.task == "multiclass":
        ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    features = spec.feature_names or tuple(f"x{i}" for i in range(ours.shape[1] - 1))
    outputs = spec.target_names if len(ours) > 1 else ("",)
    names = [f"{feature}, {out}" if out else feature for out in outputs for feature in (*features, "bias")]
    return [Coefficient(*row) for row in zip(names, ours.ravel().tolist(), theirs.ravel().tolist(), strict=True)]


def none() -> None:
    """Makes no baseline."""


@dataclass(frozen=True)
class Baseline:
    """A scikit-learn estimator to compare a network with."""

    estimator: Any
    task: Task
    loss: Loss
    """The loss it is measured by; it minimizes its own."""

    def metrics(self, splits: Mapping[str, Rows]) -> dict[str, Any]:
        """Fits it to the training rows and measures it on all splits, for `metrics.json` under `baseline/`.

        Returns nothing where it diverges, which is no reason to lose the network's own metrics.
        """
        from sklearn.exceptions import ConvergenceWarning

        splits = {name: split.to("cpu") for name, split in splits.items()}
        x, y = splits["train"].take(slice(None))
        evaluation = Evaluation(_InPlace(self.estimator, self.task), self.task, self.loss, "64-true")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # it takes as many passes as ours, enough or not
                targets = y.flatten() if self.task.out_features == 1 else y  # [B, T], or [B]
                self.estimator.fit(
                    _table(x), (targets.double() if self.task.kind == "regression" else targets.long()).numpy()
                )
            metrics = evaluation.all_metrics(splits)
        except ValueError as error:
            warn(f"no baseline; scikit-learn says: {error}")
            return {}
        return {f"baseline/{name}": value for name, value in metrics.items()}


def sklearn(net: nn.Module, task: Task, train: Rows, recipe: Recipe, amounts: Amounts) -> Baseline:
    """Makes the baseline for a network that is about to be trained on these scaled rows.

    Raises:
        ValueError: scikit-learn has no equivalent, or the rows lack a class or are not in memory.
    """
    if not isinstance(train, Batch):
        raise ValueError(
            "baseline=sklearn: scikit-learn needs all rows in memory, and these are read from their files as "
            "needed; use data.in_memory=true or baseline=none"
        )
    found = estimator(net, task, recipe, amounts)
    classes = 0 if task.kind == "regression" else max(2, task.out_features)
    if classes and (missing := set(range(classes)) - set(torch.unique(train.y).int().tolist())):
        raise ValueError(
            f"baseline=sklearn: scikit-learn learns only the classes it sees, and none of the training rows is of "
            f"class {min(missing)} of 0 to {classes - 1}; use more rows, or baseline=none"
        )
    return Baseline(found, dataclasses.replace(task, gives_probabilities=classes > 0), recipe.loss)


MakeBaseline = Callable[[nn.Module, Task, Rows, Recipe, Amounts], Baseline]


class _InPlace(nn.Module):
    """A fitted estimator as a network: [B, *in_shape] -> values [B, T] or probabilities [B, 1] or [B, K]."""

    def __init__(self, fitted: Any, task: Task) -> None:
        super().__init__()
        self.fitted, self.task = fitted, task

    def forward(self, x: Tensor) -> Tensor:
        if self.task.kind == "regression":
            return torch.from_numpy(self.fitted.predict(_table(x)).reshape(len(x), -1))
        found = torch.from_numpy(self.fitted.predict_proba(_table(x)))  # [B, K]
        return found[:, 1:] if self.task.kind == "binary" else found


def _table(x: Tensor) -> Array:
    """Flattens rows [B, *in_shape] to what scikit-learn takes, [B, F]."""
    table: Array = x.flatten(1).double().numpy()
    return table
