"""What a run writes of its training: losses and figures, the best and the last weights; seeds; how it ends early."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from numpy.testing import assert_allclose
from torch import Tensor, nn

import fulmen
from fulmen.data import tensors
from fulmen.data.sets.points import Moons
from fulmen.data.source import Split
from fulmen.errors import Diverged
from fulmen.experiment import run as runs
from fulmen.experiment.experiment import Experiment, Session
from fulmen.experiment.load import Run
from fulmen.models import initializers
from fulmen.models.dropout import Dropout
from fulmen.tasks import losses
from fulmen.training.recipe import Recipe
from fulmen.training.trainer import TrainerOptions

Train = Callable[..., Run]
History = Callable[[Run], dict[str, list[float]]]
STILL = ("optimizer=sgd", "optimizer.lr=1e-30")
"""Weights stay where they begin."""
WORSENING = ("data=gaussian", "data.train_size=40", "data.val_size=40", "model=mlp", "optimizer.lr=0.0005")
"""Noise that a large network learns by heart: the validation loss falls for a few passes and then rises."""


def rows(*words: str) -> dict[str, Split]:
    splits: dict[str, Split] = instantiate(fulmen.compose(words).data).load()
    return splits


def checkpoint(run: Run, name: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(run.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
    return content


def network(run: Run, name: str) -> nn.Module:
    """The run's network with the weights of a checkpoint."""
    weights = {key.removeprefix("net."): value for key, value in checkpoint(run, name)["state_dict"].items()}
    run.model.load_state_dict(weights)
    return run.model


def status(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "status.json").read_text(encoding="utf-8"))
    return content


def equal(one: Run, other: Run) -> bool:
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def squared_error(net: nn.Module, split: Split) -> float:
    with torch.no_grad():
        return F.mse_loss(net(torch.tensor(split.x).float()), torch.tensor(split.y).float()).item()


# Figures


@pytest.mark.parametrize("pack", [1, 7])
@pytest.mark.parametrize(("loss", "sums"), [("mse", False), ("sse", True)])
def test_the_training_loss_is_that_of_each_batch_before_its_step(
    train: Train, history: History, loss: str, sums: bool, pack: int
) -> None:
    """Here nothing moves, so it is the loss of the rows: the mean, or for `sse` the sum over one pass."""
    words = (*STILL, f"loss={loss}", "data=regression_1d", "data.scale=none", "data.train_size=70", "weights=last")
    run = train(*words, "trainer.precision=64-true", pack=pack, points=3, max_epochs=8)
    split = rows(*words)["train"]
    with torch.no_grad():
        error = ((run.model(torch.from_numpy(split.x)) - torch.from_numpy(split.y)) ** 2).numpy()
    expected = error.sum() if sums else error.mean()
    columns = history(run)
    assert columns["epoch"] == [3, 6, 8]
    assert_allclose(columns["train/loss"], expected)
    assert_allclose(run.metrics["train/loss"], expected)


def test_half_precision_adds_losses_up_in_full(train: Train, history: History) -> None:
    """bfloat16 has 8 bits: a sum of four hundred numbers of 0.7 would end at 256, by steps of 1 from 128 on."""
    words = (*STILL, "data=moons", "data.train_size=800", "data.batch_size=2", "trainer.precision=bf16-true")
    run = train(*words, pack=1, max_epochs=1)
    assert_allclose(history(run)["train/loss"], run.metrics["train/loss"], rtol=0.01)


def test_the_first_training_loss_of_a_moving_network(train: Train, history: History) -> None:
    """One pass of two full batches by hand: the mean of the loss at the start and after one step."""
    words = ("data=linear_1d", "data.batch_size=full", "model=linear", "init=zeros", "optimizer=gd")
    run = train(*words, "trainer.precision=64-true", points=1, max_epochs=2)
    x, y = rows(*words)["train"]
    weight, bias = 0.1 * 2 * (x * y).mean(), 0.1 * 2 * y.mean()
    expected = ((y**2).mean() + ((y - weight * x - bias) ** 2).mean()) / 2
    assert_allclose(history(run)["train/loss"], [expected])


@pytest.mark.parametrize("weights", ["best", "last"])
def test_metrics_are_those_of_the_weights_asked_for(train: Train, history: History, weights: str) -> None:
    run = train(*WORSENING, f"weights={weights}", max_epochs=15)
    columns = history(run)
    best = int(np.argmin(columns["val/loss"]))
    assert 0 < best < 14, "the case does not worsen, so it shows nothing"
    row = best if weights == "best" else -1
    for name in ("loss", "mse", "mae", "r2"):
        assert_allclose(run.metrics[f"val/{name}"], columns[f"val/{name}"][row], rtol=1e-6)
    for name, split in rows(*WORSENING).items():
        assert_allclose(run.metrics[f"{name}/loss"], squared_error(run.model, split), rtol=1e-5)
    assert json.loads((run.folder / "metrics.json").read_text(encoding="utf-8")) == run.metrics


def test_checkpoints_are_really_the_best_and_the_last(train: Train, history: History) -> None:
    run = train(*WORSENING, max_epochs=15)
    columns, val = history(run), rows(*WORSENING)["val"]
    best = int(np.argmin(columns["val/loss"]))
    assert_allclose(squared_error(network(run, "best"), val), columns["val/loss"][best], rtol=1e-5)
    assert_allclose(squared_error(network(run, "last"), val), columns["val/loss"][-1], rtol=1e-5)
    assert checkpoint(run, "best")["global_step"] == columns["step"][best]
    assert checkpoint(run, "last")["global_step"] == columns["step"][-1] == 30


def test_best_is_the_highest_of_a_score_to_be_maximized(train: Train, history: History) -> None:
    run = train("data=moons", "data.noise=0.5", "score=val/accuracy", "optimizer.lr=0.1", max_epochs=12)
    accuracy = history(run)["val/accuracy"]
    assert min(accuracy) < max(accuracy)
    assert checkpoint(run, "best")["global_step"] == 10 * (accuracy.index(max(accuracy)) + 1), "the first of the best"
    assert_allclose(run.metrics["val/accuracy"], max(accuracy))


def test_without_validation_rows_the_training_loss_tells_the_best(train: Train, history: History) -> None:
    run = train("data=moons", "data.val_size=0", "score=train/loss", max_epochs=3)
    assert not any(name.startswith("val/") for name in [*history(run), *run.metrics])
    assert run.metrics.keys() >= {"train/loss", "test/loss"}


def test_a_score_of_rows_that_are_not_there_is_refused(train: Train, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="score=train/loss"):
        train("data=moons", "data.val_size=0", max_epochs=3)
    assert not (tmp_path / "run0").exists()


@pytest.mark.parametrize("data", ["moons", "blobs"])
def test_classes_are_counted_in_a_confusion_matrix(train: Train, data: str) -> None:
    run = train(f"data={data}", "data.test_size=50", max_epochs=3)
    split = rows(f"data={data}", "data.test_size=50")["test"]
    table = np.array(run.metrics["test/confusion_matrix"])
    assert table.sum(1).tolist() == np.bincount(split.y).tolist()
    assert_allclose(np.trace(table) / 50, run.metrics["test/accuracy"], rtol=1e-6)


def test_a_split_is_evaluated_in_chunks(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("data=moons", "model.dropout=0.5")
    whole = train(*words, max_epochs=2)
    monkeypatch.setattr(tensors, "CHUNK_BYTES", 7 * 8)
    chunked = train(*words, max_epochs=2)
    assert equal(whole, chunked)
    for name in ("loss", "accuracy", "f1", "auroc"):
        assert_allclose(chunked.metrics[f"test/{name}"], whole.metrics[f"test/{name}"], rtol=1e-6)
    assert chunked.metrics["test/confusion_matrix"] == whole.metrics["test/confusion_matrix"]


@pytest.mark.parametrize(("rows", "batches"), [(72, 9), (60, 8), (53, 7)])
def test_every_batch_has_a_dropout_mask_of_its_own(
    train: Train, monkeypatch: pytest.MonkeyPatch, rows: int, batches: int
) -> None:
    """Also when three make one step, and the last step of a pass has two of them, or one."""
    seen: list[int] = []
    forward = Dropout.forward

    def watched(self: Dropout, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled() and self.key != 0:  # those of the check have no key
            seen.append(int(self.step))
        return forward(self, x)

    monkeypatch.setattr(Dropout, "forward", watched)
    words = ("data=moons", f"data.train_size={rows}", "data.batch_size=8", "model.dropout=0.5")
    train(*words, seed=1, accumulate=3, max_epochs=4)
    assert len(seen) == len(set(seen)) == 4 * batches


# Divergence


def exploding(steps: int) -> int:
    """The first step, counted from 1, whose loss is not finite, in a plain loop over full batches."""
    split = rows("data=regression_1d")["train"]
    x, y = torch.tensor(split.x).float(), torch.tensor(split.y).float()
    torch.manual_seed(0)
    net = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e6, fused=True)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y)
        if not loss.isfinite():
            return step
        torch.autograd.backward(loss)
        optimizer.step()
    raise AssertionError("it does not explode")


@pytest.mark.parametrize("pack", [1, 32, "auto"])
def test_divergence_names_the_step_and_keeps_what_was_good(train: Train, tmp_path: Path, pack: int | str) -> None:
    words = (
        "data=regression_1d",
        "data.scale=none",
        "data.batch_size=full",
        "model=linear",
        "optimizer=sgd",
        "optimizer.lr=1e6",
    )
    step = exploding(30)
    with pytest.raises(Diverged, match=rf"at step {step}\b"):
        train(*words, max_epochs=30, pack=pack)
    folder = tmp_path / "run0"
    record = status(folder)
    assert record["state"] == "diverged" and f"at step {step}" in record["error"]
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["global_step"] < step
    assert all(value.isfinite().all() for value in last["state_dict"].values())
    assert not (folder / "metrics.json").exists()


@pytest.mark.parametrize("lr", ["1e25", "1e39"])
def test_divergence_in_the_very_last_step(train: Train, tmp_path: Path, lr: str) -> None:
    """No loss of a training batch shows it, but the weights do, or the loss of the splits afterwards."""
    words = (
        "data=regression_1d",
        "data.scale=none",
        "model=linear",
        "optimizer=sgd",
        f"optimizer.lr={lr}",
        "trainer.precision=32-true",
    )
    with pytest.raises(Diverged):
        train(*words, max_steps=1)
    assert status(tmp_path / "run0")["state"] == "diverged"
    last = torch.load(tmp_path / "run0" / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in last["state_dict"].values())


# Early stopping


@pytest.mark.parametrize("patience", [1, 3])
def test_early_stopping_waits_for_so_many_passes(train: Train, history: History, patience: int) -> None:
    undisturbed = history(train(*WORSENING, "trainer.points=1000", max_epochs=20))["val/loss"]
    run = train(*WORSENING, max_epochs=20, patience=patience)
    found, expected = history(run)["val/loss"], []
    for loss in undisturbed:
        expected.append(loss)
        if len(expected) - 1 - int(np.argmin(expected)) == patience:
            break
    assert found == expected and len(found) < 20
    assert status(run.folder)["state"] == "completed"
    assert status(run.folder)["steps"] == 2 * len(found)


def test_early_stopping_where_nothing_changes(train: Train, history: History) -> None:
    words = ("data=moons", *STILL, "score=val/accuracy")
    assert len(history(train(*words, max_epochs=20, patience=2))["step"]) == 3


def test_no_early_stopping_while_a_score_to_be_maximized_rises(train: Train, history: History) -> None:
    words = ("data=linear_1d", "data.batch_size=full", "model=linear", "optimizer=gd", "score=val/r2")
    columns = history(train(*words, max_epochs=12, patience=1))
    assert columns["val/r2"] == sorted(columns["val/r2"]), "it does not rise"
    assert columns["step"] == list(range(1, 13))


# Seeds


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
def test_equal_seeds_give_equal_runs_and_others_differ(train: Train, seed: int) -> None:
    words = ("data=moons", "data.train_size=60", "model=deep", "model.dropout=0.2")
    one, same, other = (train(*words, f"seed={s}", max_epochs=2) for s in (seed, seed, 7))
    assert equal(one, same) and one.metrics == same.metrics
    assert not equal(one, other)
    assert status(one.folder)["seed"] == seed


def test_the_seed_is_0_where_none_is_given(train: Train) -> None:
    assert equal(train("data=moons", max_epochs=1), train("data=moons", "seed=0", max_epochs=1))


def test_the_seed_decides_each_kind_of_chance(train: Train) -> None:
    """First weights; the order of batches; dropout. Each is looked at where the others have no say."""
    for words in (
        STILL,  # nothing moves from the first weights
        ("init=zeros", "model=linear", "data.batch_size=4"),
        ("init=zeros", "model=shallow", "model.dropout=0.5", "data.batch_size=full"),
    ):
        one, other = (train("data=moons", *words, f"seed={seed}", max_epochs=1) for seed in (0, 1))
        assert not equal(one, other), words


def test_the_datas_seed_is_apart(train: Train) -> None:
    """It changes the rows and not the first weights; the run's seed, the reverse."""
    seeds = ("seed=0", "data.seed=9", "seed=9")
    one, other_rows, other_weights = (train("data=linear_1d", *STILL, seed, max_epochs=1) for seed in seeds)
    assert equal(one, other_rows) and not equal(one, other_weights)
    zeros = (train("data=linear_1d", *STILL, "init=zeros", "model=two_layer", seed, max_epochs=1) for seed in seeds)
    one, other_rows, other_weights = zeros
    assert one.metrics == other_weights.metrics and one.metrics != other_rows.metrics


def test_a_run_does_not_depend_on_those_before_it(train: Train) -> None:
    words = ("data=moons", "model.dropout=0.2")
    one = train(*words, max_epochs=1)
    torch.manual_seed(99)
    torch.randn(1000)
    assert equal(one, train(*words, max_epochs=1))


# A network of one's own


class Normalized(nn.Sequential):
    """With buffers that training changes, and that a single row in training mode would not suit."""

    def __init__(self, in_shape: tuple[int, ...], out_features: int) -> None:
        super().__init__(nn.Linear(in_shape[0], 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, out_features))


def test_batch_normalization_is_that_of_a_plain_loop(tmp_path: Path) -> None:
    """Parts by name, without Hydra; the buffers count, and evaluation after each pass leaves them alone."""
    source = Moons(train_size=60, val_size=20, test_size=20, noise=0.1, batch_size=16)
    options = {"accelerator": "cpu", "devices": 1, "strategy": "auto", "precision": "32-true", "threads": "auto"}
    limits = {"max_epochs": 3, "max_steps": None, "gradient_clip": None, "accumulate": 1, "patience": None}
    run = runs.train(
        Experiment(
            source=source,
            model=Normalized,
            init=initializers.default,
            recipe=Recipe(
                loss=losses.auto(),
                penalty=None,
                optimizer=functools.partial(torch.optim.SGD, lr=0.1),
                scheduler=None,
                backprop=None,
                gradient_clip=None,
                accumulate=1,
                seed=0,
            ),
            trainer=TrainerOptions(**options, **limits, pack=3, points=100, debug=False),  # type: ignore[arg-type]
            weights="last",
        ),
        Session(folder=tmp_path / "run", verbose=False),
    )
    split = source.load()["train"]
    x, y = torch.tensor(split.x).float(), torch.tensor(split.y).float().unsqueeze(1)
    torch.manual_seed(0)
    net = Normalized((2,), 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, fused=True)
    for epoch in range(3):
        order = torch.randperm(60, generator=torch.Generator().manual_seed(epoch))
        for batch in torch.split(order, 16):
            optimizer.zero_grad()
            torch.autograd.backward(F.binary_cross_entropy_with_logits(net(x[batch]), y[batch]))
            optimizer.step()
    found = run.model.state_dict()
    assert all(torch.equal(found[name], value) for name, value in net.state_dict().items())
