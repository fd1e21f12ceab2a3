"""Recorded gradients are autograd's to the last bit; where they may not be, autograd finds them."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.optimizer import register_optimizer_step_post_hook

from fulmen.data.tensors import Batch
from fulmen.experiment.load import Run
from fulmen.models.lenet import LeNet
from fulmen.tasks import losses
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.task import Task
from fulmen.training import graph
from fulmen.training.graph import RecordedGradient, is_known
from fulmen.training.step import Step

Train = Callable[..., Run]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[RecordedGradient]:
    """All that took the place of autograd, in runs of whatever length."""
    kept: list[RecordedGradient] = []
    begin = RecordedGradient.__init__

    def keep(self: RecordedGradient, *args: Any) -> None:
        begin(self, *args)
        kept.append(self)

    monkeypatch.setattr(RecordedGradient, "__init__", keep)
    monkeypatch.setattr(graph, "LONG", 1)
    return kept


def equal(one: Run, other: Run) -> bool:
    """Bit by bit, buffers included."""
    a, b = one.model.state_dict(), other.model.state_dict()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "words",
    [
        ["model=deep", "model.dropout=0.2", "penalty=l1", "trainer.gradient_clip=0.5", "scheduler=cosine"],
        ["trainer.precision=64-true", "optimizer=gd", "data.batch_size=full"],
        ["data=iris_species", "model=mlp", "penalty=l2", "optimizer=rmsprop"],
        ["data=iris_species", "model=mlp", "loss=mse", "optimizer=nesterov", "scheduler=one_cycle"],
        ["data=regression_3d", "model=linear", "loss=huber", "optimizer=sgd", "optimizer.lr=0.001"],
        ["loss=sse", "optimizer=momentum", "optimizer.lr=0.001"],
    ],
    ids=" ".join,
)
def test_the_weights_are_those_of_autograd(
    train: Train, made: list[RecordedGradient], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    run = train("weights=last", *words, max_steps=40)
    (used,) = made
    assert used.functions and None not in used.functions.values()
    monkeypatch.setattr(graph, "LONG", 10**9)
    assert equal(run, train("weights=last", *words, max_steps=40)) and len(made) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["backprop=tensors"],
        ["trainer.debug=true"],
        ["trainer.precision=bf16-mixed"],
    ],
)
def test_what_is_not_autograd_alone_is_left_as_it_is(
    train: Train, made: list[RecordedGradient], words: list[str]
) -> None:
    train(*words, max_steps=3)
    assert not made


@pytest.mark.parametrize("words", [["optimizer=lbfgs", "data.batch_size=full"], ["trainer.accumulate=2"]])
def test_what_asks_for_more_than_a_gradient_is_left_to_autograd(
    train: Train, made: list[RecordedGradient], words: list[str]
) -> None:
    train(*words, max_steps=3)
    assert all(not each.functions for each in made)


def test_short_runs_are_not_worth_it(
    train: Train, made: list[RecordedGradient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "LONG", 4)
    train(max_steps=3)
    assert not made
    train(max_steps=4)
    assert made


class Counting(nn.Linear):
    """Does something beside operations on tensors."""

    count = 0

    def forward(self, x: Tensor) -> Tensor:
        Counting.count += 1
        return super().forward(x)


def own_loss(out: Tensor, y: Tensor, task: Task) -> Tensor:
    return losses.squared_error(out, y, task)


def evaluation(*layers: nn.Module, loss: losses.Function | None = None) -> Evaluation:
    return Evaluation(
        nn.Sequential(nn.Linear(2, 8), *layers, nn.Linear(8, 1)),
        Task("binary", 1),
        losses.as_loss(loss or losses.auto()),
        "32-true",
    )


def test_of_layers_and_losses_of_ones_own_nothing_is_known() -> None:
    assert is_known(evaluation(nn.BatchNorm1d(8), nn.ReLU(), loss=losses.huber(delta=1.0)))
    assert not is_known(evaluation(Counting(8, 8)))
    assert not is_known(evaluation(nn.utils.parametrizations.weight_norm(nn.Linear(8, 8))))
    assert not is_known(evaluation(loss=own_loss))
    patched = nn.Linear(8, 8)
    patched.forward = lambda x: x  # type: ignore[assignment, method-assign]
    assert not is_known(evaluation(patched))


def test_hooks_may_do_anything() -> None:
    hooked = nn.Linear(8, 8)
    hooked.register_forward_hook(lambda *_: print("forward"))
    assert not is_known(evaluation(hooked))
    watched = nn.Linear(8, 8)
    watched.weight.register_hook(print)  # type: ignore[no-untyped-call]
    assert not is_known(evaluation(watched))
    counted = nn.Linear(8, 8)
    counted.weight.register_post_accumulate_grad_hook(print)  # type: ignore[no-untyped-call]
    assert not is_known(evaluation(counted))
    everywhere = nn.modules.module.register_module_forward_hook(lambda *_: None)
    assert not is_known(evaluation())
    everywhere.remove()
    assert is_known(evaluation())


Batches = list[Batch]


def learned(of: Evaluation, batches: Batches, *, records: bool) -> tuple[list[Tensor], Step]:
    """Losses, last gradients, weights and buffers of a copy of the network after a step on each batch."""
    of = replace(of, net=copy.deepcopy(of.net))
    step = Step(of, penalty=None, by_hand=None, gradient_clip=None, batch_size=16, batch_rows=16, seed=0)
    if records:
        step.record_gradient()
    advance = step.plain(SGD(of.net.parameters(), lr=0.1))
    found = [advance(batch, number) for number, batch in enumerate(batches)]
    found += [parameter.grad for parameter in of.net.parameters() if parameter.grad is not None]
    return [*found, *of.net.state_dict().values()], step


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def drawn(*shape: int) -> Batches:
    """Of 16, 16, 6, 16 and 6 rows of two classes."""
    random = torch.Generator().manual_seed(1)
    return [
        Batch(torch.randn(rows, *shape, generator=random), torch.randint(2, (rows, 1), generator=random).float())
        for rows in (16, 16, 6, 16, 6)
    ]


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.RReLU()])
def test_random_numbers_are_drawn_in_the_same_order(layer: nn.Module) -> None:
    of = evaluation(layer)
    torch.manual_seed(3)
    expected, _ = learned(of, drawn(2), records=False)
    torch.manual_seed(3)
    found, step = learned(of, drawn(2), records=True)
    assert same(found, expected)
    assert step.recorded is not None and None not in step.recorded.functions.values()


def test_buffers_change_once_a_step() -> None:
    of = evaluation(nn.BatchNorm1d(8), nn.Tanh())
    expected, _ = learned(of, drawn(2), records=False)
    found, step = learned(of, drawn(2), records=True)
    assert same(found, expected)
    assert step.recorded is not None and None not in step.recorded.functions.values()
    assert any(value.ndim == 0 and value == 5 for value in found[5:]), "batches that were counted"


def test_a_layer_may_have_two_names_and_two_layers_one_weight() -> None:
    again, one, other = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
    other.weight = one.weight
    of = evaluation(again, nn.Tanh(), again, one, nn.BatchNorm1d(8), other)
    expected, _ = learned(of, drawn(2), records=False)
    found, step = learned(of, drawn(2), records=True)
    assert same(found, expected)
    assert step.recorded is not None and None not in step.recorded.functions.values()


def test_a_first_layer_may_write_to_the_rows() -> None:
    of = Evaluation(nn.Sequential(nn.CELU(inplace=True), nn.Linear(2, 1)), Task("binary", 1), losses.auto(), "32-true")
    one, other = drawn(2), drawn(2)
    expected, _ = learned(of, one, records=False)
    found, _ = learned(of, other, records=True)
    assert same(found, expected) and all(torch.equal(a.x, b.x) for a, b in zip(one, other, strict=True))


def test_images_are_no_other_thing() -> None:
    of = Evaluation(LeNet((1, 28, 28), 1, activation="relu", dropout=0.1), Task("binary", 1), losses.auto(), "32-true")
    expected, _ = learned(of, drawn(1, 28, 28), records=False)
    found, step = learned(of, drawn(1, 28, 28), records=True)
    assert same(found, expected)
    assert step.recorded is not None and None not in step.recorded.functions.values()


@pytest.mark.parametrize("harm", ["loss", "gradient", "exception"])
def test_what_finds_something_else_is_not_kept(monkeypatch: pytest.MonkeyPatch, harm: str) -> None:
    trace = graph.trace_gradient

    def spoil(*given: Any) -> Callable[..., list[Tensor]]:
        if harm == "exception":
            raise RuntimeError("no value")
        function = trace(*given)

        def other(*flat: Tensor) -> list[Tensor]:
            loss, *gradients = function(*flat)
            return [loss + 1e-6, *gradients] if harm == "loss" else [loss, *gradients[:-1], gradients[-1] + 1e-6]

        return other

    of = evaluation(nn.Sigmoid())
    expected, _ = learned(of, drawn(2), records=False)
    monkeypatch.setattr(graph, "trace_gradient", spoil)
    found, step = learned(of, drawn(2), records=True)
    assert same(found, expected)
    assert step.recorded is not None and step.recorded.functions == {16: None, 6: None}


@pytest.mark.parametrize("everyones", [False, True])
def test_hooks_of_an_optimizer_are_called_at_every_step(everyones: bool) -> None:
    of, called = evaluation(nn.Sigmoid()), list[int]()
    step = Step(of, penalty=None, by_hand=None, gradient_clip=None, batch_size=16, batch_rows=16, seed=0)
    optimizer = SGD(of.net.parameters(), lr=0.1)
    register = register_optimizer_step_post_hook if everyones else optimizer.register_step_post_hook
    hook = register(lambda *_: called.append(1))
    advance = step.plain(optimizer)
    for number, batch in enumerate(drawn(2)):
        advance(batch, number)
    hook.remove()
    assert len(called) == 5
