"""Statistics of layers, against plain loops; a run that they are taken of is the run without them, to the last bit."""

import copy
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

import fulmen
from fulmen.cli.main import main
from fulmen.config.validate import check
from fulmen.data.tensors import Batch, tensors
from fulmen.experiment.load import Run
from fulmen.figures.context import RunContext
from fulmen.figures.inside import inside
from fulmen.tasks import losses
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.task import Task
from fulmen.training import graph
from fulmen.training.callbacks.layer_statistics import LayerStatistics, measure, update_ratios

Train = Callable[..., Run]
VALUES = Task("regression", 1)
X, Y = torch.linspace(-1, 1, 12).view(6, 2), torch.linspace(0, 2, 6).view(6, 1)


def norm(values: Iterable[Tensor]) -> float:
    return math.sqrt(sum(float(number) ** 2 for value in values for number in value.detach().flatten()))


def statistics(run: Run) -> LayerStatistics:
    """What the run's last checkpoint holds."""
    found = LayerStatistics()
    content = torch.load(run.folder / "checkpoints" / "last.ckpt", weights_only=True)
    found.load_state_dict(content["callbacks"]["LayerStatistics"])
    return found


@pytest.mark.parametrize("loss", [losses.mse(), losses.sse()], ids=["mean", "sum"])
def test_gradients_are_those_of_the_mean_loss_with_dropout_off(loss: losses.Loss) -> None:
    net = nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Dropout(0.5), nn.Linear(5, 1))
    before = copy.deepcopy(net.state_dict())
    found = measure(Evaluation(net, VALUES, loss, "32-true"), Batch(X, Y))
    assert all(parameter.grad is None for parameter in net.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items()) and net[1].training
    net.eval()
    for x, y in zip(X, Y, strict=True):
        ((net(x[None]) - y).square().sum() / len(X)).backward()
    wanted = {f"gradient_norm/{layer}": norm(p.grad for p in net[int(layer)].parameters()) for layer in "013"}  # type: ignore[misc]
    assert found == pytest.approx(wanted, rel=1e-5)


def test_frozen_layers_have_no_gradient_and_no_update() -> None:
    net = nn.Sequential(nn.Linear(2, 3).requires_grad_(False), nn.Linear(3, 1))
    assert measure(Evaluation(net, VALUES, losses.mse(), "32-true"), Batch(X, Y)).keys() == {"gradient_norm/1"}
    assert update_ratios(net, net, 1) == {"update_ratio/1": 0}


def test_units_are_dead_that_are_zero_for_every_row() -> None:
    images, dense = nn.Conv2d(1, 3, 2), nn.Linear(12, 4)
    with torch.no_grad():
        images.weight.fill_(1)
        images.bias.copy_(torch.tensor([-9, -1.5, 1]))  # type: ignore[union-attr]  # never, for some pixels, always
        dense.weight.zero_()
        dense.weight[3] = 1
        dense.bias.copy_(torch.tensor([-1.0, 0, 1, -7]))  # dead, dead, alive, alive for one row
    net = nn.Sequential(images, nn.ReLU(inplace=True), nn.Flatten(), dense, nn.ReLU6(), nn.Linear(4, 1))
    x = torch.zeros(5, 1, 3, 3)
    x[2, :, :2, :2] = 1
    found = measure(Evaluation(net, VALUES, losses.mse(), "32-true"), Batch(x, torch.zeros(5, 1)))
    assert found["dead_units/1"] == pytest.approx(1 / 3) and found["dead_units/4"] == 0.5


def test_outputs_are_saturated_at_the_ends_of_tanh_and_sigmoid_at_each_call() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tanh, self.sigmoid = nn.Tanh(), nn.Sigmoid()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.scale * (self.tanh(x) + self.tanh(10 * x) + self.sigmoid(x))
            return out

    x = torch.tensor([[-5.0], [-2], [0], [2.2], [4]])
    found = measure(Evaluation(Twice(), VALUES, losses.mse(), "64-true"), Batch(x.double(), torch.zeros(5, 1).double()))
    assert found["saturated/tanh"] == pytest.approx(3 / 5) and found["saturated/tanh (2)"] == pytest.approx(4 / 5)
    assert found["saturated/sigmoid"] == pytest.approx(2 / 5)


PENALTY = ("penalty=l1", "model.dropout=0.3", "data.scale=both")
WAYS = {
    "packs": ("trainer.pack=7", "trainer.gradient_clip=0.01", "trainer.accumulate=2", *PENALTY),
    "by hand": ("backprop=numpy", "loss=sse"),
    "L-BFGS": ("optimizer=lbfgs",),
    "a record of autograd": (),
    "bf16": ("trainer.precision=bf16-mixed",),
    "anomalies": ("trainer=debug",),
}


@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS)
def test_a_run_is_measured_in_every_way_of_training(
    words: tuple[str, ...], train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last gradient is that of a plain loop over the training rows; the run is as without."""
    monkeypatch.setattr(graph, "LONG", graph.LONG if words else 1)
    words = ("data=wiggle", "data.train_size=96", "model.activation=tanh", "weights=last", *words)
    run, plain = train(*words, "figures.inside=true", max_epochs=3), train(*words, max_epochs=3)
    weights = plain.model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in run.model.state_dict().items())
    assert run.metrics == plain.metrics
    one, other = (
        [line.split(",")[:2] + line.split(",")[3:] for line in (each.folder / "history.csv").read_text().splitlines()]
        for each in (run, plain)
    )
    assert one == other

    rows = statistics(run).rows
    assert [step for step, _ in rows] == [0, *(int(float(row[0])) for row in one[1:])]
    assert all(row.keys() == rows[1][1].keys() for _, row in rows[1:])
    assert not any(name.startswith("update") for name in rows[0][1])
    data = check(fulmen.compose(words))
    x, y = tensors(run.predictor.scaling(data.load()["train"]), "regression", run.predictor.dtype)
    run.model.zero_grad()  # what the last step left
    with torch.autocast("cpu", torch.bfloat16, enabled="precision=bf16" in words[-1]):
        out = run.model(x)
        ((out.float() - y.float()).square().mean()).backward()
    for layer in {name.rpartition(".")[0] for name, _ in run.model.named_parameters()}:
        wanted = norm(p.grad for p in run.model.get_submodule(layer).parameters() if p.grad is not None)
        assert rows[-1][1][f"gradient_norm/{layer}"] == pytest.approx(wanted, rel=1e-3)


def test_updates_are_the_distance_over_an_interval(train: Train, tmp_path: Path) -> None:
    """A run of one interval less has the weights before."""
    words = ("data=circles", "logger=tensorboard", "weights=last", "figures.inside=true")
    run, before = train(*words, max_epochs=3, patience=9), train(*words, max_epochs=2, patience=9)
    found = {name: value for name, value in statistics(run).rows[-1][1].items() if name.startswith("update_ratio/")}
    assert len(found) == 2
    for name, value in found.items():
        layer = name.partition("/")[2]
        now = list(run.model.get_submodule(layer).parameters())
        change = [a - b for a, b in zip(now, before.model.get_submodule(layer).parameters(), strict=True)]
        assert value == pytest.approx(norm(change) / norm(now) / 10, rel=1e-5)  # 10 steps in a pass
    board = EventAccumulator(str(next((run.folder / "tensorboard").iterdir()))).Reload()
    for step, row in statistics(run).rows:
        for name, value in row.items():
            (point,) = [event.value for event in board.Scalars(name) if event.step == step]
            assert point == pytest.approx(value, rel=1e-6)


NETS = """\
import torch
from torch import nn


class Counts(nn.Module):
    def __init__(self, in_shape, out_features):
        super().__init__()
        self.norm, self.act, self.head = nn.BatchNorm1d(in_shape[0]), nn.ReLU(), nn.Linear(in_shape[0], out_features)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        noise = torch.randn_like(x) / self.calls if self.training else 0
        return self.head(self.act(self.norm(x)) + noise)


class Keeps(Counts):
    def forward(self, x):
        self.seen = self.head(x)
        return self.seen if self.training else self.seen.detach() + 0 * self.head.weight.sum().detach()
"""


def test_a_network_of_ones_own_does_not_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither one that counts its calls; one that has no gradient in evaluation is trained all the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("inside_nets.py").write_text(NETS)
    (tmp_path / "own" / "model").mkdir(parents=True)
    for name in ("Counts", "Keeps"):
        text = f"_target_: inside_nets.{name}\n_partial_: true\n"
        (tmp_path / "own" / "model" / f"{name}.yaml").write_text(text)
    words = ["--config-dir", "own", "allow_targets=[inside_nets]", "data=circles", "logger=none", "figures=none"]
    words += ["trainer.max_epochs=2", "accelerator=cpu"]
    for name in ("Counts", "Keeps"):
        states = []
        for key in ("false", "true"):
            folder = f"{name}_{key}"
            assert main([*words, f"model={name}", f"figures.inside={key}", f"run_dir={folder}"]) == 0
            states.append(torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)["state_dict"])
        assert all(torch.equal(states[0][key], value) for key, value in states[1].items())
        assert Path(f"{name}_true/figures/inside.png").exists() == (name == "Counts")
        assert ("what goes on inside the network is not shown" in capsys.readouterr().err) == (name == "Keeps")
        assert json.loads(Path(f"{name}_true/status.json").read_text())["state"] == "completed"


def test_the_figure_has_a_curve_for_each_layer(train: Train) -> None:
    run = train("data=circles", "model=mlp", "model.hidden=[5,4]", "figures.inside=true", max_epochs=3)
    found = statistics(run)
    figure = inside(RunContext(run.predictor, {}, run.metrics, [], None, found))
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == ["Gradient", "Update", "Dead units", ""]
    for axes, statistic, layers in zip(
        figure.axes, ("gradient_norm", "update_ratio", "dead_units"), ("024", "024", "13"), strict=False
    ):
        lines = {str(line.get_label()): line.get_xydata().tolist() for line in axes.get_lines()}  # type: ignore[union-attr]
        assert lines == {
            f"layers.{layer}": [
                [step, row[f"{statistic}/layers.{layer}"]]
                for step, row in found.rows
                if f"{statistic}/layers.{layer}" in row
            ]
            for layer in layers
        }
