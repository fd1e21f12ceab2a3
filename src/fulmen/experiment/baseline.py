"""The second opinion: what scikit-learn's counterpart of a network finds on the same rows, scaled in the same way.

It stands in the network's place where figures are taken, so that both are measured by the same code. It learns on the
CPU in double precision, after the network has. scikit-learn is imported only for this.

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
from fulmen.experiment.sklearn_equivalent import Amounts as Amounts
from fulmen.experiment.sklearn_equivalent import estimator
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.losses import Loss
from fulmen.tasks.task import Task
from fulmen.training.recipe import Recipe

Array = NDArray[np.floating]


class Coefficient(NamedTuple):
    """What a feature counts for, or a bias, as both have it."""

    name: str
    ours: float
    theirs: float

    @property
    def difference(self) -> float:
        return self.ours - self.theirs


def coefficients(net: nn.Module, estimator: Any, spec: DataSpec) -> list[Coefficient]:
    """Those of a linear network and of a fitted estimator; none where that is not linear.

    Several classes have their mean taken off: only differences between classes change a probability.
    """
    if not hasattr(estimator, "coef_"):
        return []
    ours, theirs = _columns(net), _fitted(estimator)  # [T, F + 1]
    if spec.task == "multiclass":
        ours, theirs = ours - ours.mean(0), theirs - theirs.mean(0)
    features = spec.feature_names or tuple(f"x{i}" for i in range(ours.shape[1] - 1))
    outputs = spec.target_names if len(ours) > 1 else ("",)
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


def none() -> None:
    """No second opinion."""


@dataclass(frozen=True)
class Baseline:
    """An estimator of scikit-learn beside a network."""

    estimator: Any
    task: Task
    loss: Loss
    """By which it is measured; it learns by its own."""

    def figures(self, splits: Mapping[str, Rows]) -> dict[str, Any]:
        """Fits it on train and measures it on all splits: what `metrics.json` holds, under `baseline/`.

        Nothing where it diverges, which is no reason to lose the network's own figures.
        """
        from sklearn.exceptions import ConvergenceWarning

        splits = {name: split.to("cpu") for name, split in splits.items()}
        x, y = splits["train"].take(slice(None))
        evaluation = Evaluation(_InPlace(self.estimator, self.task), self.task, self.loss, "64-true")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # it takes as many passes as ours, enough or not
                self.estimator.fit(_table(x), _targets(y, self.task))
            figures = evaluation.all_metrics(splits)
        except ValueError as error:
            warn(f"there is no second opinion; scikit-learn says: {error}")
            return {}
        return {f"baseline/{name}": value for name, value in figures.items()}


def sklearn(net: nn.Module, task: Task, train: Rows, recipe: Recipe, amounts: Amounts) -> Baseline:
    """The second opinion on a network that is about to be trained.

    Args:
        net: the network.
        task: how its output is read.
        train: the rows to learn from, scaled.
        recipe: how the network is trained.
        amounts: how much it is trained.

    Raises:
        ValueError: scikit-learn has no counterpart, or the rows lack a class or are not in memory.
    """
    if not isinstance(train, Batch):
        raise ValueError(
            "baseline=sklearn: scikit-learn learns from rows in memory, and these are read from their files when they "
            "are needed; take data.in_memory=true, or baseline=none"
        )
    found = estimator(net, task, recipe, amounts)
    classes = 0 if task.kind == "regression" else max(2, task.out_features)
    if classes and (missing := set(range(classes)) - set(torch.unique(train.y).int().tolist())):
        raise ValueError(
            f"baseline=sklearn: scikit-learn learns only the classes it sees, and none of the training rows is of "
            f"class {min(missing)} of 0 to {classes - 1}; take more rows, or baseline=none"
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
    """Rows [B, *in_shape] as scikit-learn takes them, [B, F]."""
    table: Array = x.flatten(1).double().numpy()
    return table


def _targets(y: Tensor, task: Task) -> NDArray[Any]:
    """[B, T], or [B] for one target and for classes."""
    if task.kind == "regression":
        return np.asarray(y.double().squeeze(1) if y.shape[1] == 1 else y.double())
    return np.asarray(y.flatten().long())
