"""A look at a network leaves each of its modules as it was."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from fulmen.models import dry_run
from fulmen.tasks import losses
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.task import Task
from fulmen.training.loggers import show_graph


def evaluate(net: nn.Module, _folder: Path) -> None:
    Evaluation(net, Task("regression", 1), losses.mse(), "32-true").scores(torch.zeros(3, 2))


LOOKS: dict[str, Callable[[nn.Module, Path], object]] = {
    "the summary": lambda net, _: dry_run.layers(net, (2,)),
    "an evaluation": evaluate,
    "the graph": lambda net, folder: show_graph(TensorBoardLogger(folder), net, (2,)),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_frozen_layer_stays_frozen(look: str, tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 1))
    net[1].eval()
    before = [module.training for module in net.modules()]
    LOOKS[look](net, tmp_path)
    assert [module.training for module in net.modules()] == before and set(before) == {True, False}


def test_each_module_is_as_it_was_after_an_error_too() -> None:
    class Fails(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            raise RuntimeError("no")

    net = nn.Sequential(Fails(2, 1), nn.BatchNorm1d(1).eval())
    with pytest.raises(RuntimeError, match="no"):
        dry_run.layers(net, (2,))
    assert net.training and net[0].training and not net[1].training


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_scripted_layer_takes_no_hooks_and_is_left_out() -> None:
    net = nn.Sequential(nn.Linear(2, 3), torch.jit.script(nn.Tanh()), nn.Linear(3, 1))
    assert [layer.name for layer in dry_run.layers(net, (2,))] == ["0", "2"]
