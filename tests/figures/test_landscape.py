"""The loss over a plane of weights, against scikit-learn's components and a plain loop over the path."""

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.decomposition import PCA
from torch import nn

import fulmen
from fulmen.config.validate import check
from fulmen.data.tensors import tensors
from fulmen.experiment.load import Run
from fulmen.figures import landscape
from fulmen.figures.context import RunContext
from fulmen.figures.landscape import find_plane, losses_at
from fulmen.figures.plots.landscape import landscape as plot
from fulmen.training.callbacks.weight_snapshots import WeightSnapshots

Train = Callable[..., Run]


def context(run: Run, *words: str) -> RunContext:
    """A run with its training rows and the snapshots of its last checkpoint."""
    snapshots = WeightSnapshots()
    content = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)
    snapshots.load_state_dict(content["callbacks"]["WeightSnapshots"])
    spec, split = run.predictor.spec, check(fulmen.compose(words)).load()["train"]
    rows = tensors(run.predictor.scaling(split), spec.task, run.predictor.dtype)
    return RunContext(run.predictor, {"train": rows}, run.metrics, [], snapshots)


@pytest.mark.parametrize("loss", ["mse", "sse"])
def test_of_two_weights_the_plane_has_the_loss_of_each_snapshot(loss: str, train: Train) -> None:
    words = ("data=regression_1d", "model=linear", "trainer.precision=64-true", f"loss={loss}")
    found = context(train(*words, "figures.landscape=true", max_epochs=6, patience=9), *words)
    assert found.snapshots is not None and len(found.snapshots.states) == 7
    plane = find_plane(found.net, [weights for _, weights in found.snapshots.states])
    assert plane is not None and plane.shares.sum() == pytest.approx(1)
    x, y = (values.numpy() for values in found.splits["train"].take(slice(None)))
    wanted = [
        np.square(weights["layers.0.weight"].item() * x + weights["layers.0.bias"].item() - y).mean()
        for _, weights in found.snapshots.states
    ]
    evaluation = replace(found.predictor.evaluation, net=copy.deepcopy(found.net))
    assert_allclose(losses_at(evaluation, found.splits["train"].take(slice(None)), plane, plane.path), wanted)


def test_the_directions_are_principal_components_and_the_origin_is_the_last_weights(train: Train) -> None:
    """Of a network with frozen weights and buffers, whose best weights are not the last."""
    states, random = [], torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1).requires_grad_(False))
    for _ in range(5):
        for value in net.parameters():
            value.data.add_(torch.randn(value.shape, generator=random) * value.requires_grad)
        states.append(copy.deepcopy(net.state_dict()))
    plane = find_plane(net, states)
    assert plane is not None
    names = ("0.weight", "0.bias", "1.weight", "1.bias")
    rows = np.array([np.concatenate([state[name].numpy().ravel() for name in names]) for state in states], float)
    pca = PCA(2).fit(rows)
    assert_allclose(plane.shares, pca.explained_variance_ratio_)
    assert_allclose(np.abs((plane.directions * pca.components_).sum(1)), 1)
    moved = pca.transform(rows) - pca.transform(rows[-1:])
    assert_allclose(np.abs(plane.path), np.abs(moved), atol=1e-9)
    assert_allclose(plane.origin, rows[-1])


def test_the_figure_shows_the_loss_of_the_last_weights_and_leaves_the_run_alone(train: Train) -> None:
    words = ("data=circles", "model=mlp", "weights=best")
    run = train(*words, "figures.landscape=true", max_epochs=5, patience=9)
    found, before = context(run, *words), copy.deepcopy(run.model.state_dict())
    assert found.snapshots is not None
    assert [path.name for path in (run.folder / "figures").iterdir()] == ["landscape.png"]
    figure = landscape.landscape(found)
    assert figure is not None
    assert all(torch.equal(before[name], value) for name, value in run.model.state_dict().items())
    axes = figure.axes[0]
    path = axes.get_lines()[0].get_xydata()
    plane = find_plane(found.net, [weights for _, weights in found.snapshots.states])
    assert plane is not None and np.array_equal(path, plane.path)
    assert f"({plane.shares[0]:.1%} of the variance)" in axes.get_xlabel()
    net = copy.deepcopy(run.model)
    net.load_state_dict(found.snapshots.states[-1][1])
    x, y = found.splits["train"].take(slice(None))
    wanted = nn.functional.binary_cross_entropy_with_logits(net(x), y).item()
    evaluation = replace(found.predictor.evaluation, net=copy.deepcopy(net))
    assert losses_at(evaluation, found.splits["train"].take(slice(None)), plane, plane.path[-1:]) == pytest.approx(
        wanted
    )


def test_a_line_a_short_run_and_a_large_network_have_none(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Linear(2, 1)
    ahead = [{name: value + step for name, value in net.state_dict().items()} for step in range(4)]
    assert not any(find_plane(net, states) for states in (ahead, ahead[:1] * 4, ahead[:2]))
    words = ("data=circles",)
    found = context(train(*words, "figures.landscape=true", max_epochs=3, patience=9), *words)
    monkeypatch.setattr(landscape, "GRID", 3)
    assert landscape.landscape(found) is not None and landscape.landscape(replace(found, snapshots=None)) is None
    monkeypatch.setattr(landscape, "LARGEST", 20)
    assert landscape.landscape(found) is None


def test_the_plot_has_the_losses_where_they_are_finite() -> None:
    grid = np.linspace(-1, 1, 5)
    losses = np.add.outer(grid**2, grid**2)
    losses[0, 0] = np.nan
    for least, scale in ((0.1, "Normalize"), (1e-3, "LogNorm")):
        figure = plot((grid, grid), losses + least, np.eye(2), np.array([0.7, 0.2]), 9)
        assert figure is not None
        norm = figure.axes[0].collections[0].norm
        assert type(norm).__name__ == scale and (norm.vmin, norm.vmax) == pytest.approx((least, 2 + least))
    assert plot((grid, grid), np.full((5, 5), 2.0), np.eye(2), np.ones(2), 9) is None
