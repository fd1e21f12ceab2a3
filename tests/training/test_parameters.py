"""Parameters that are frozen or have a rate of their own, by patterns: compared with torch's own optimizers."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import Tensor, nn

import fulmen
from fulmen.cli.main import main
from fulmen.config.overrides import parse
from fulmen.experiment.load import Run

Train = Callable[..., Run]
SMALL = ("data=moons", "data.train_size=40", "trainer.max_epochs=3", "accelerator=cpu", "logger=none", "figures=none")
MLP = (*SMALL, "model=mlp", "model.hidden=[6,4]", "weights=last")
STILL = ("optimizer=gd", "optimizer.lr=1e-30")
"""Weights stay where they begin."""


def changed(one: Run, other: Run) -> list[str]:
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return [name for name, value in ours.items() if not torch.equal(value, theirs[name])]


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=adamw", "penalty=l2", "trainer.gradient_clip=1"),
        ("optimizer=lbfgs",),
        ("optimizer=gd", "optimizer.weight_decay=0.1", "backprop=numpy"),
        ("trainer.max_epochs=2001", "trainer.points=2"),  # so long that the gradient is recorded
    ],
)
def test_frozen_parameters_stay_as_they_are(train: Train, words: tuple[str, ...]) -> None:
    found = train(*MLP, *words, "freeze=[layers.2,*.bias]")
    assert changed(train(*MLP, *STILL), found) == ["layers.0.weight", "layers.4.weight"]


def test_each_group_follows_the_schedule_from_its_own_rate(train: Train) -> None:
    words = ("optimizer=momentum", "optimizer.lr=0.1", "data.batch_size=full", "freeze=[layers.0.bias]")
    rates = "learning_rates={layers.4: 0.25, *.2.weight: 0.03}"
    found = train(*MLP, *words, "scheduler=cosine", rates)
    begun = train(*MLP, *STILL).model.state_dict()
    net = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))
    net.load_state_dict({name.removeprefix("layers."): value for name, value in begun.items()})
    own = {"4.weight": 0.25, "4.bias": 0.25, "2.weight": 0.03, "0.bias": 0.0}
    optimizer = torch.optim.SGD(
        [{"params": [p], "lr": own.get(name, 0.1)} for name, p in net.named_parameters()], momentum=0.9
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / 3)) / 2)
    train_rows = instantiate(fulmen.compose([*MLP]).data).load()["train"]
    x, y = (torch.tensor(values).float() for values in train_rows)
    for _ in range(3):
        optimizer.zero_grad()
        torch.autograd.backward(F.binary_cross_entropy_with_logits(net(x), y.view(-1, 1)))
        optimizer.step()
        schedule.step()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(found.model.state_dict()[f"layers.{name}"], value, rtol=1e-4, atol=1e-6)


def test_several_rates_that_are_equal_are_one(train: Train) -> None:
    several = train(*MLP, "learning_rates={layers.0: 0.02}", "optimizer.lr=0.02")
    assert changed(train(*MLP, "optimizer.lr=0.02"), several) == []


def test_resume_rerun_and_an_experiment_keep_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own/experiment").mkdir(parents=True)
    Path("own/experiment/rates.yaml").write_text(
        "# @package _global_\nfreeze: [layers.2]\nlearning_rates:\n  layers.4: 0.2\n  layers.0.*: 0.003\n"
    )

    def weights(name: str) -> dict[str, Tensor]:
        found: dict[str, Tensor] = torch.load(Path(name, "checkpoints", "last.ckpt"), weights_only=True)["state_dict"]
        return found

    assert main([*MLP, "learning_rates={layers.0: 0.1}", "trainer.compile=true", "quiet=true", "run_dir=slow"]) == 0
    assert "not possible here: there are several learning rates" in capsys.readouterr().err
    typed = ["freeze=[layers.2]", "learning_rates={layers.4: 0.2, layers.0.*: 0.003}"]
    assert main([*MLP, *typed, "run_dir=whole"]) == 0
    said = capsys.readouterr().out
    assert said.count("frozen") == 2 and said.count("0.003") >= 2
    assert main(["--config-dir=own", *MLP, "experiment=rates", "trainer.max_epochs=2", "run_dir=part"]) == 0
    assert main(["resume=part", "trainer.max_epochs=3"]) == 0
    Path("own/experiment/rates.yaml").write_text("# @package _global_\nlearning_rates:\n  layers.4: 0.7\n")
    assert main(["--config-dir=own", "rerun=part", "trainer.max_epochs=3", "run_dir=again"]) == 0
    for name, value in weights("whole").items():
        assert torch.equal(weights("part")[name], value) and torch.equal(weights("again")[name], value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["freeze=[layer.0]"], "no such parameter or layer; did you mean layers.0? its parameters are layers.0.weight"),
        (["freeze=[layers.2.wight]"], "did you mean layers.2.weight?"),
        (["freeze=[*]"], "freeze=[*] leaves no parameter to train"),
        (["freeze=layers.0"], "freeze is 'layers.0', but must be a list, as [layers.0]"),
        (["learning_rates={layers.0: 0}"], "each a number in (0, inf)"),
        (["learning_rates=0.1"], "must be names with values"),
        (["learning_rates={layers.9: 0.1}"], "learning_rates has layers.9, but the network has no such"),
        (["learning_rates={layers.0: 0.1, *.bias: 0.2}"], "two rates for layers.0.bias, by layers.0 and by *.bias"),
        (["learning_rates={layers.0: 0.1}", "freeze=[layers.0]"], "which freeze= keeps as it is"),
        (["learning_rates={layers.0: 0.1}", "optimizer=lbfgs"], "optimizer=lbfgs has one rate for all parameters"),
        (["learning_rates={layers.0: 0.1}", "scheduler=cyclic"], "scheduler=cyclic has one rate for all parameters"),
        (["freeze=[layers.0]", "baseline=sklearn"], "scikit-learn has no equivalent of frozen parameters"),
    ],
)
def test_wrong_patterns_are_refused(refused: Callable[..., str], words: list[str], said: str) -> None:
    assert said in refused(*MLP, *words)


def test_a_sweep_may_be_over_several_lists() -> None:
    override = parse("freeze=[],[layers.0]")
    assert override.is_sweep_override()
    assert [*override.sweep_string_iterator()] == ["[]", "[layers.0]"]
