"""Accelerators, devices and threads: what is there is used, and what is not is said in a sentence."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import fulmen
from fulmen.config.validate import check
from fulmen.experiment.load import Run
from fulmen.models.lenet import LeNet
from fulmen.models.mlp import MLP
from fulmen.training import trainer
from fulmen.training.trainer import TrainerOptions, find_accelerator, find_threads

OPTIONS = TrainerOptions(
    max_epochs=1,
    max_steps=None,
    accelerator="auto",
    devices=1,
    strategy="auto",
    precision="32-true",
    threads="auto",
    gradient_clip=None,
    accumulate=1,
    patience=None,
    pack="auto",
    points=100,
    debug=False,
)


def options(**changes: Any) -> TrainerOptions:
    return dataclasses.replace(OPTIONS, **changes)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, bool], None]:
    """Pretends that there are so many GPUs, and MPS or not: real ones are not everywhere."""

    def pretend(gpus: int, mps: bool) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("gpus", "mps", "precision", "found"),
    [
        (0, False, "32-true", "cpu"),
        (2, False, "64-true", "gpu"),
        (0, True, "32-true", "mps"),
        (0, True, "64-true", "cpu"),
    ],
)
def test_auto_takes_the_best_that_can_compute_it(
    gpus: int, mps: bool, precision: str, found: str, machine: Callable[[int, bool], None]
) -> None:
    machine(gpus, mps)
    assert find_accelerator(options(precision=precision)) == found


@pytest.mark.parametrize(
    ("gpus", "mps", "asked", "sentence"),
    [
        (0, False, {"accelerator": "gpu"}, "there is no gpu here; this machine has cpu: take accelerator=cpu"),
        (0, True, {"accelerator": "gpu"}, "this machine has cpu and mps"),
        (1, False, {"accelerator": "mps"}, "there is no mps here; this machine has cpu and gpu"),
        (
            0,
            True,
            {"accelerator": "mps", "precision": "64-true"},
            "mps cannot compute in float64; take accelerator=cpu",
        ),
        (1, False, {"accelerator": "gpu", "devices": 2}, r"trainer.devices=2, but this machine has 1 gpu device\(s\)"),
        (0, False, {"strategy": "ddp_spawn"}, "copies a running process"),
        (0, False, {"strategy": "dpp"}, "did you mean ddp"),
        (
            0,
            False,
            {"strategy": "deepspeed"},
            "no trainer.strategy=deepspeed here; the choices are auto, single_device, ddp, ",
        ),
        (2, False, {"strategy": "fsdp", "devices": 2}, "no trainer.strategy=fsdp here"),
        (0, False, {"precision": "16-mixed"}, "16-mixed is for GPUs, and this is a cpu; take trainer.precision=bf16-"),
    ],
)
def test_what_is_not_there_gets_a_sentence(
    gpus: int, mps: bool, asked: dict[str, Any], sentence: str, machine: Callable[[int, bool], None]
) -> None:
    machine(gpus, mps)
    with pytest.raises(ValueError, match=sentence):
        find_accelerator(options(**asked))


def test_several_gpus_compute_in_scaled_half_precision(machine: Callable[[int, bool], None]) -> None:
    machine(2, False)
    assert find_accelerator(options(strategy="ddp", devices=2, precision="16-mixed")) == "gpu"


@pytest.mark.parametrize(
    ("net", "in_shape", "rows", "threads"),
    [
        (MLP((2,), 1, hidden=[10]), (2,), 1000, 1),
        (MLP((784,), 10, hidden=[50]), (784,), 64, 2),
        (MLP((784,), 10, hidden=[50]), (784,), 256, 16),
        (MLP((2,), 10, hidden=[10]), (2,), 10_000, 16),  # few operations, but many numbers
        (MLP((784,), 10, hidden=[512]), (784,), 512, 16),
        (LeNet((1, 28, 28), 10), (1, 28, 28), 1, 1),
        (LeNet((1, 28, 28), 10), (1, 28, 28), 8, 2),
        (LeNet((1, 28, 28), 10), (1, 28, 28), 512, 16),
    ],
)
def test_small_steps_take_one_thread_larger_ones_two_and_large_ones_all(
    net: nn.Module, in_shape: tuple[int, ...], rows: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "ALL_THREADS", 16)
    assert find_threads(OPTIONS, net, in_shape, rows) == threads
    assert find_threads(options(threads=3), net, in_shape, rows) == 3


def test_many_class_probabilities_are_worth_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "ALL_THREADS", 16)
    net = MLP((2,), 10, hidden=[10])
    assert find_threads(OPTIONS, net, (2,), 1000) == 1
    assert find_threads(OPTIONS, net, (2,), 1000, classes=10) == 2
    assert find_threads(OPTIONS, net, (2,), 100, classes=10) == 1
    monkeypatch.setattr(trainer, "ALL_THREADS", 1)
    assert find_threads(OPTIONS, net, (2,), 1000, classes=10) == 1


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("64-true", torch.float64),
        ("bf16-true", torch.bfloat16),
        ("bf16-mixed", torch.float32),
    ],
)
def test_precision_is_that_of_the_trained_weights(
    precision: str, dtype: torch.dtype, train: Callable[..., Run]
) -> None:
    run = train("data=circles", "trainer.max_epochs=1", f"trainer.precision={precision}")
    assert {parameter.dtype for parameter in run.model.parameters()} == {dtype}
    assert torch.get_default_dtype() == torch.float32


def rows(run: Run) -> dict[str, int]:
    """Returns how many rows of each split were measured."""
    return {split: int(np.sum(run.metrics[f"{split}/confusion_matrix"])) for split in ("train", "val", "test")}


def test_a_fast_run_takes_one_step_on_one_batch_of_each_split(train: Callable[..., Run]) -> None:
    run = train("data=blobs", "data.batch_size=24", fast_dev_run=True)
    assert rows(run) == {"train": 24, "val": 24, "test": 24}
    assert [int(line.split(",")[0]) for line in (run.folder / "history.csv").read_text().splitlines()[1:]] == [1]
    assert (run.folder / "checkpoints" / "last.ckpt").exists()


def test_limited_batches_are_the_first_of_each_split(train: Callable[..., Run]) -> None:
    words = ("data=blobs", "data.batch_size=24", "data.val_size=30")
    run = train(*words, limit_batches=2, max_epochs=2)
    assert rows(run) == {"train": 48, "val": 30, "test": 48}
    for name, split in check(fulmen.compose(words)).load().items():
        found = run.predictor.scores_of(split.x[:48]).argmax(1) == split.y[:48]
        assert run.metrics[f"{name}/accuracy"] == pytest.approx(found.mean()), name
    assert rows(train("data=blobs", "data.batch_size=full", limit_batches=1, max_epochs=1))["train"] == 200


def test_overfitting_trains_and_validates_on_the_same_batches(train: Callable[..., Run]) -> None:
    words = ("data=blobs", "optimizer.lr=0.05", "weights=last")
    run = train(*words, overfit=1, max_epochs=200)
    assert rows(run) == {"train": 32, "val": 32, "test": 200}
    assert run.metrics["val/loss"] == run.metrics["train/loss"] < 0.05
    split = check(fulmen.compose(words)).load()["train"]
    assert (run.predictor.scores_of(split.x[:32]).argmax(1) == split.y[:32]).all()


def test_a_profile_lists_the_parts_of_training_and_changes_nothing(train: Callable[..., Run]) -> None:
    plain, profiled = (train("data=blobs", profile=profile, max_epochs=2) for profile in (False, True))
    assert plain.metrics == profiled.metrics and not (plain.folder / "fit-profile.txt").exists()
    assert "training_step" in (profiled.folder / "fit-profile.txt").read_text()
