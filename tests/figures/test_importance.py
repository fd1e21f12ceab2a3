"""Permutation importance, against scikit-learn's and closed forms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance

import fulmen
from fulmen.config.validate import check
from fulmen.data.source import Split
from fulmen.data.tensors import tensors
from fulmen.experiment.load import Run
from fulmen.figures import importance
from fulmen.figures.context import RunContext
from fulmen.figures.importance import find_importance

Train = Callable[..., Run]


class Estimator(BaseEstimator):  # type: ignore[misc]
    """A trained network as scikit-learn sees one."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def fit(self, x: Any, y: Any) -> None:
        """Does nothing."""

    def predict(self, x: Any) -> Any:
        scores = self.run.predictor.scores_of(x)
        return scores if self.run.predictor.spec.task == "regression" else scores.argmax(1)


def context(run: Run, words: tuple[str, ...]) -> tuple[RunContext, Split]:
    """A run with its validation rows, and these before scaling."""
    source = check(fulmen.compose(words))
    split, spec = source.load()["val"], run.predictor.spec
    rows = tensors(run.predictor.scaling(split), spec.task, run.predictor.dtype)
    return RunContext(run.predictor, {"val": rows}, run.metrics, [], feature_groups=source.feature_groups), split


@pytest.mark.parametrize(
    ("words", "scoring"),
    [
        (("data=linear_5d", "data.scale=both", "model=shallow"), "r2"),
        (("data=iris_petals", "data.scale=both", "model=two_layer"), "r2"),
        (("data=blobs", "data.val_size=300"), "accuracy"),
    ],
    ids=["one target", "two targets", "classes"],
)
def test_importance_is_that_of_scikit_learn(
    words: tuple[str, ...], scoring: str, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within four standard errors, since the permutations differ."""
    monkeypatch.setattr(importance, "REPEATS", 60)
    run = train(*words, max_epochs=10)
    found, split = context(run, words)
    ours = find_importance(found, "val")
    assert ours is not None
    wanted = permutation_importance(Estimator(run), split.x, split.y, scoring=scoring, n_repeats=60, random_state=1)
    error = np.hypot(ours.std, wanted.importances_std) / np.sqrt(60)
    assert (np.abs(ours.mean - wanted.importances_mean) < 4 * error + 1e-6).all() and (ours.mean > 3 * error).any()
    assert_allclose(ours.std, wanted.importances_std, rtol=0.5)


def test_a_linear_model_has_the_expected_drop_of_its_formula(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """(2 w² var(x) + 2 w cov(x, residual)) / var(y), over all permutations; 0 of a feature with a weight of 0."""
    monkeypatch.setattr(importance, "REPEATS", 200)
    words = ("data=linear_5d", "model=linear", "data.scale=none", "trainer.precision=64-true")
    run = train(*words, max_epochs=20)
    weight = run.model.get_parameter("layers.0.weight")
    weight.data[0, 2] = 0
    found, split = context(run, words)
    ours = find_importance(found, "val")
    assert ours is not None
    w, y = weight.detach().numpy()[0], split.y[:, 0]
    residual = y - run.predictor.scores_of(split.x)[:, 0]
    covariance = ((split.x - split.x.mean(0)) * residual[:, None]).mean(0)
    wanted = (2 * w**2 * split.x.var(0) + 2 * w * covariance) / y.var()
    assert (np.abs(ours.mean - wanted) <= 4 * ours.std / np.sqrt(200)).all()
    assert ours.mean[2] == ours.std[2] == 0
    assert (np.argsort(ours.mean) == np.argsort(wanted)).all()


def test_features_of_one_column_are_permuted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.RandomState(0)
    colours, size = np.array(["red", "green", "blue"])[random.randint(0, 3, 200)], random.rand(200)
    rows = [f"{colour},{number:.4f},{int(colour == 'red')}" for colour, number in zip(colours, size, strict=True)]
    Path("table.csv").write_text("\n".join(["colour,size,is_it", *rows]))
    words = ("data=table", "data.path=table.csv", "data.target=is_it", "logger=none", "figures=none", "accelerator=cpu")
    config = fulmen.compose([*words, "figures.importance=true", "trainer.max_epochs=40"])
    run = fulmen.train(config, tmp_path / "run", verbose=False)
    assert (tmp_path / "run" / "figures" / "importance.png").exists()
    found, _ = context(run, words)
    assert found.feature_groups == {"colour": [0, 1, 2], "size": [3]}
    permuted, scores = list[Any](), importance.scores

    def watched(context: RunContext, x: Any, y: Any) -> Any:
        permuted.append(x)
        return scores(context, x, y)

    monkeypatch.setattr(importance, "scores", watched)
    figure = importance.importance(found)
    assert figure is not None
    whole, by_colour, by_size = permuted
    known = {tuple(row) for row in whole[0, :, :3].tolist()}
    assert {tuple(row) for row in by_colour[..., :3].reshape(-1, 3).tolist()} == known and len(known) == 3
    assert torch.equal(by_colour[..., 3], whole[..., 3].expand(10, -1)) and torch.equal(
        by_size[3, :, 0], whole[0, :, 0]
    )
    assert not torch.equal(by_size[0], by_size[1]), "repeats differ"
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["colour", "size"]
    first, second = (bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle))
    assert first > 0.3 > abs(second) and axes.get_xlabel() == "drop in accuracy"


def test_one_column_images_and_constant_targets_have_none(train: Train) -> None:
    words = ("data=wiggle",)
    found, _ = context(train(*words, max_epochs=1), words)
    assert importance.importance(found) is None
    words = ("data=linear_5d",)
    found, _ = context(train(*words, max_epochs=1), words)
    found.splits["val"].take(slice(None)).y.fill_(1)
    assert importance.importance(found) is None


def test_of_many_columns_the_most_important_are_shown(train: Train) -> None:
    words = ("data=gaussian",)
    found, _ = context(train(*words, max_epochs=1), words)
    figure = importance.importance(found)
    assert figure is not None
    assert (
        figure.axes[0].get_title() == "the 20 most important of 48 columns" and len(figure.axes[0].get_yticks()) == 20
    )
