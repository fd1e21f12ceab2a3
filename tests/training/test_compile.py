"""Compiled steps train as the learner's own do; where they cannot, a sentence says so, and those go on.

Most tests take the graph of a step for the function that would be compiled from it, because compiling takes long.
"""

import functools
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.optim import SGD, Adafactor, Adam, NAdam, Optimizer

import fulmen
from fulmen.data.sets.points import Moons
from fulmen.errors import Diverged
from fulmen.experiment import console
from fulmen.experiment import run as runs
from fulmen.experiment.experiment import Experiment, Session
from fulmen.experiment.load import Run
from fulmen.models import initializers
from fulmen.models.activations import ACTIVATIONS
from fulmen.tasks import losses
from fulmen.training import compile, torch_private
from fulmen.training.recipe import Recipe
from fulmen.training.trainer import TrainerOptions

Train = Callable[..., Run]
DOUBLE = ("weights=last", "trainer.precision=64-true")
EVERYTHING = ("model=deep", "model.dropout=0.2", "penalty=l1", "trainer.gradient_clip=0.5", "scheduler=cosine")


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[GraphModule]:
    """The graphs that would have been compiled, for whole batches and smaller ones; they are called as they are."""
    monkeypatch.setattr(compile, "SECONDS", 0.0)
    kept: list[GraphModule] = []

    def keep(graph: GraphModule, _inputs: list[Any]) -> GraphModule:
        kept.append(graph)
        return graph

    monkeypatch.setattr(torch_private, "machine_code", keep)
    return kept


def far(one: Run, other: Run) -> float:
    """The distance of their networks in relative norm, buffers included."""
    a, b = (torch.cat([v.flatten().double() for v in run.model.state_dict().values()]) for run in (one, other))
    distance: float = ((a - b).norm() / b.norm()).item()
    return distance


MATRIX = (
    "optimizer=gd data=regression_1d data.batch_size=full scheduler=plateau loss=mae model=two_layer "
    "model.activation=softplus model.output_activation=tanh",
    "optimizer=sgd optimizer.lr=0.001 scheduler=one_cycle loss=sse model=shallow model.activation=sigmoid",
    "optimizer=momentum optimizer.weight_decay=0.01 penalty=l2 loss=bce model=mlp model.hidden=[5] "
    "model.activation=leaky_relu",
    "optimizer=nesterov data=iris_species loss=mse model=feedforward model.activation=selu",
    "optimizer=adam penalty=l1 scheduler=cosine model=deep model.dropout=0.2 trainer.gradient_clip=0.5 "
    "model.activation=identity optimizer.weight_decay=0.01",
    "optimizer=adamw data=regression_3d loss=huber model=linear penalty=none scheduler=constant",
    "optimizer=rmsprop scheduler=step scheduler.epochs=1 data=iris_species loss=cross_entropy model.activation=gelu",
    "optimizer=adagrad penalty=elastic_net trainer.accumulate=3 loss=auto model=perceptron",
    "optimizer=sgd data=mnist_5k data.train_size=16 data.val_size=50 data.test_size=50 model=lenet "
    "model.activation=relu model.dropout=0.5",
    "optimizer=adadelta scheduler=constant_lr",
    "optimizer=adamax scheduler=cosine_annealing",
    "optimizer=nadam scheduler=exponential",
    "optimizer=rprop scheduler=multi_step",
)
"""Every choice that a step consists of, in double precision."""


@pytest.mark.parametrize("words", MATRIX)
def test_a_graph_takes_the_same_steps(
    train: Train, graphs: list[GraphModule], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Most of them without a smaller last batch, which comes at step 32 and has a graph of its own."""
    matrix, steps = (*DOUBLE, *words.split()), 40 if words in MATRIX[::4] else 31
    assert far(train(*matrix, max_steps=steps, compile=True), train(*matrix, max_steps=steps)) < 1e-10
    assert 1 <= len(graphs) <= 2, "one for whole batches and one for the last of a pass, whatever the length of packs"
    assert capsys.readouterr().err == ""


NOT_COMPILED = {"lbfgs", "adafactor", "asgd", "muon", "radam"}
SAME_TO_A_STEP = {
    *("constant_lr", "cosine_annealing", "cosine_annealing_warm_restarts", "cyclic", "exponential", "linear"),
    *("multi_step", "polynomial", "step_lr"),
}
"""torch's schedules: like the others, they are numbers that are given to the step."""


@pytest.mark.parametrize("group", ["optimizer", "loss", "penalty", "scheduler", "model"])
def test_the_matrix_has_every_choice(group: str) -> None:
    choices = {path.stem for path in (Path(__file__).parents[2] / "conf" / group).glob("*.yaml")}
    assert choices - NOT_COMPILED - SAME_TO_A_STEP <= {
        word.partition("=")[2] for word in " ".join(MATRIX).split() if word.startswith(f"{group}=")
    }


def test_the_matrix_has_every_activation() -> None:
    words = " ".join(MATRIX).split()
    assert set(ACTIVATIONS) == {word.partition("=")[2] for word in words if "activation=" in word}


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["optimizer=lbfgs", "data.batch_size=full"], "L-BFGS"),
        (["backprop=numpy"], "by hand"),
        (["scheduler=one_cycle"], "the schedule changes more"),
        (["trainer.precision=bf16-mixed"], "32-true or 64-true"),
        (["trainer.precision=bf16-true"], "32-true or 64-true"),
        (["trainer.debug=true"], "each operation"),
    ],
)
def test_what_cannot_be_compiled_trains_without(
    train: Train, graphs: list[GraphModule], words: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with_it, without = (train("weights=last", *words, max_steps=12, compile=choice) for choice in (True, False))
    assert far(with_it, without) == 0
    assert json.loads((with_it.folder / "status.json").read_text())["compiled"] is False
    (said,) = capsys.readouterr().err.splitlines()
    assert "trainer.compile" in said and why in said and "continues without" in said
    assert not graphs


def refuse(_graph: GraphModule, _inputs: list[Any]) -> GraphModule:
    raise RuntimeError("no C++ compiler\nand more")


def spoil(graph: GraphModule, _inputs: list[Any]) -> Callable[..., list[Tensor]]:
    def function(*tensors: Tensor) -> list[Tensor]:
        tensors[0].mul_(1.01)
        found: list[Tensor] = graph(*tensors)
        return found

    return function


@pytest.mark.parametrize(("code", "why"), [(refuse, "RuntimeError: no C++ compiler;"), (spoil, "other weights")])
def test_a_failed_attempt_leaves_nothing_behind(
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: Callable[..., Any],
    why: str,
) -> None:
    monkeypatch.setattr(torch_private, "machine_code", code)
    words = (*DOUBLE, *EVERYTHING)
    assert far(train(*words, max_steps=12, compile=True), train(*words, max_steps=12)) == 0
    (said,) = capsys.readouterr().err.splitlines()
    assert why in said


def test_a_run_that_diverges_names_the_step(train: Train, graphs: list[GraphModule]) -> None:
    words = ("data=regression_1d", "model=linear", "optimizer=sgd", "optimizer.lr=1e20")
    said = []
    for choice in (True, False):
        with pytest.raises(Diverged, match="at step") as caught:
            train(*words, max_steps=100, compile=choice)
        said.append(str(caught.value))
    assert said[0] == said[1] and graphs


def test_histograms_see_the_gradients_of_the_last_batch(train: Train, graphs: list[GraphModule]) -> None:
    with_it, without = (train(*DOUBLE, max_steps=40, compile=choice) for choice in (True, False))
    for one, other in zip(with_it.model.parameters(), without.model.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        torch.testing.assert_close(one.grad, other.grad)
    assert graphs


# Networks and optimizers of one's own


class Net(nn.Module):
    """Two linear layers, and what a test puts between them."""

    def __init__(self, in_shape: tuple[int, ...], out_features: int, *, between: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.first, self.between = nn.Linear(in_shape[0], 8), between()
        self.last = nn.Linear(8, out_features)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.between(torch.tanh(self.first(x))))
        return out


class Twice(nn.Sequential):
    """One layer under two names, and one weight in two layers."""

    def __init__(self) -> None:
        layer, one, other = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        other.weight = one.weight
        super().__init__(layer, nn.Tanh(), layer, one, other)


class Fading(nn.Module):
    """Replaces its buffer instead of changing it."""

    factor: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor(2.0))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.factor = self.factor * 0.99
        return x * self.factor


class Frozen(nn.Linear):
    """Trains its bias alone, and has a weight that nothing uses."""

    def __init__(self) -> None:
        super().__init__(8, 8)
        self.weight.requires_grad_(False)
        self.unused = nn.Parameter(torch.ones(3))


class Deciding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if self.training and x.sum() > 0 else x


class Counting(nn.Module):
    """What no graph sees."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * (1 + self.calls % 3) if self.training else x


class Hidden(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self._calls += self.training
        return 2 * x if self.training and self._calls >= 30 else x


class Printing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        print("forward")
        return x


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.tensor(0.5)


class Late(nn.Module):
    """What it computes changes after a while, with nothing to be seen on it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = itertools.count()

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x if self.training and next(self.count) > 5 else x


class Heavy(Optimizer):
    """Momentum that is a new tensor at each step."""

    def __init__(self, parameters: list[nn.Parameter], *, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                before = self.state[parameter].get("mean", torch.zeros_like(parameter))
                self.state[parameter]["mean"] = 0.9 * before + parameter.grad
                parameter.add_(self.state[parameter]["mean"], alpha=-group["lr"])
        return loss


class Numbering(Heavy):
    """Keeps a number."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss: Any = super().step(closure)
        for state in self.state.values():
            state["step"] = state.get("step", 0) + 1
        return loss


class Unit(Optimizer):
    """Steps of length `lr` in each layer's weights, and so not elementwise."""

    def __init__(self, parameters: list[nn.Parameter], *, lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * parameter.grad / (parameter.grad.norm() + 1e-8))
        return loss


def train_parts(
    folder: Path, between: Callable[[], nn.Module], optimizer: Callable[..., Optimizer], code: bool, rows: int = 64
) -> Run:
    """Without Hydra; 4 steps a pass, of which the last is smaller unless there are 64 rows."""
    options = {"accelerator": "cpu", "devices": 1, "strategy": "auto", "precision": "64-true", "threads": "auto"}
    limits = {"max_epochs": 12, "max_steps": None, "gradient_clip": None, "accumulate": 1, "patience": None}
    return runs.train(
        Experiment(
            source=Moons(train_size=rows, val_size=20, test_size=20, noise=0.1, batch_size=16),
            model=functools.partial(Net, between=between),
            init=initializers.default,
            recipe=Recipe(
                loss=losses.auto(),
                penalty=None,
                optimizer=optimizer,
                scheduler=None,
                backprop=None,
                gradient_clip=None,
                accumulate=1,
                seed=0,
            ),
            trainer=TrainerOptions(**options, **limits, pack=5, points=100, debug=False, compile=code),  # type: ignore[arg-type]
            weights="last",
        ),
        Session(folder=folder, verbose=False),
    )


@pytest.mark.parametrize(
    ("between", "optimizer", "why"),
    [
        (functools.partial(nn.BatchNorm1d, 8), functools.partial(SGD, lr=0.1), None),
        (functools.partial(nn.Dropout, 0.3), functools.partial(Adam, lr=0.01, amsgrad=True), None),
        (Fading, functools.partial(Adam, lr=0.01), None),
        (Twice, functools.partial(Adam, lr=0.01), None),
        (Frozen, functools.partial(Adam, lr=0.01), "no gradient reaches between.unused"),
        (nn.Identity, functools.partial(NAdam, lr=0.01), None),
        (nn.Identity, functools.partial(Adafactor, lr=0.01), "decides by values"),
        (nn.Identity, functools.partial(Heavy, lr=0.1), None),
        (nn.Identity, functools.partial(Unit, lr=0.01), None),
        (nn.Identity, functools.partial(Numbering, lr=0.1), "more than tensors"),
        (Deciding, functools.partial(SGD, lr=0.1), "decides by values"),
        (Counting, functools.partial(SGD, lr=0.1), "Counting.calls changes"),
        (Hidden, functools.partial(SGD, lr=0.1), "Hidden._calls changes"),
        (Printing, functools.partial(SGD, lr=0.1), "prints 'forward'"),
        (Constant, functools.partial(SGD, lr=0.1), None),
    ],
)
def test_networks_and_optimizers_of_ones_own(
    tmp_path: Path,
    graphs: list[GraphModule],
    capsys: pytest.CaptureFixture[str],
    between: Callable[[], nn.Module],
    optimizer: Callable[..., Optimizer],
    why: str | None,
) -> None:
    rows = 60 if isinstance(between, functools.partial) else 64
    with_it = train_parts(tmp_path / "with", between, optimizer, True, rows)
    said = capsys.readouterr().err
    assert (said == "") if why is None else (why in said and said.count("\n") == 1)
    assert far(with_it, train_parts(tmp_path / "without", between, optimizer, False, rows)) < 1e-10


def test_a_network_that_changes_later_ends_the_run(tmp_path: Path, graphs: list[GraphModule]) -> None:
    with pytest.raises(ValueError, match="no longer computes what was compiled"):
        train_parts(tmp_path / "run", Late, functools.partial(SGD, lr=0.1), True, 60)
    assert graphs


def test_a_smaller_last_batch_is_compiled_where_that_pays(
    train: Train, graphs: list[GraphModule], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compile, "SECONDS", 10.0)
    assert far(train(*DOUBLE, max_steps=100, compile=True), train(*DOUBLE, max_steps=100)) < 1e-10
    assert len(graphs) == 1


# Chosen automatically


@pytest.mark.parametrize(
    ("words", "seconds", "compiled", "printed"),
    [
        (["trainer.compile=auto"], 10.0, False, False),
        (["trainer.compile=auto"], 1e-3, True, True),
        (["trainer.compile=auto", "backprop=tensors"], 1e-3, False, False),
        (["trainer.compile=auto", "trainer.precision=bf16-mixed"], 1e-3, False, False),
        (["trainer.compile=false"], 1e-3, False, True),
    ],
)
def test_what_pays_is_compiled_and_said(
    tmp_path: Path,
    graphs: list[GraphModule],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    seconds: float,
    compiled: bool,
    printed: bool,
) -> None:
    monkeypatch.setattr(compile, "SECONDS", seconds)
    monkeypatch.setattr(console, "WORTH_SECONDS", 0.0)
    config = fulmen.compose(["logger=none", "figures=none", "accelerator=cpu", "trainer.max_steps=30", *words])
    fulmen.train(config, folder=tmp_path / "run")
    out = capsys.readouterr().out
    assert (
        json.loads((tmp_path / "run" / "status.json").read_text())["compiled"] is compiled and bool(graphs) is compiled
    )
    assert ("trainer.compile=true would save" in out or "compiling:  saves" in out) is printed


def test_without_a_compiler_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch, train: Train) -> None:
    monkeypatch.setattr(compile, "SECONDS", 1e-3)
    monkeypatch.setenv("CXX", "no-such-compiler")
    run = train(max_steps=30, compile="auto")
    assert json.loads((run.folder / "status.json").read_text())["compiled"] is False


# Compiled in earnest


def assert_resumes(train: Train, *words: str) -> Run:
    """Trains, and once more with a stop between; returns the run without one."""
    whole, stopped = (train(*words, max_steps=steps, compile=True) for steps in (80, 45))
    assert far(whole, fulmen.resume(stopped.folder, ["trainer.max_steps=80"], verbose=False)) == 0
    return whole


def test_a_graph_goes_on_with_its_dropout(train: Train, graphs: list[GraphModule]) -> None:
    assert_resumes(train, *DOUBLE, *EVERYTHING[:-1], "data.train_size=64")  # cosine depends on the run's length
    assert len(graphs) == 3


@pytest.mark.slow
def test_compiled_weights_in_double_precision(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole batches alone, for a single function; two layers of dropout, whose counters are equal at each step."""
    words = (*DOUBLE, *EVERYTHING, "model.hidden=[4,4]", "data.train_size=64")
    assert far(train(*words, max_steps=100, compile=True), train(*words, max_steps=100)) < 1e-10
    assert capsys.readouterr().err == ""


@pytest.mark.slow
def test_compiled_weights_in_single_precision(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    """And those of a run that was stopped between; torch finds what it has compiled before."""
    words = ("weights=last", "optimizer=momentum", "penalty=l2", "data.train_size=64")
    assert far(assert_resumes(train, *words), train(*words, max_steps=80)) < 1e-3
    assert capsys.readouterr().err == ""
