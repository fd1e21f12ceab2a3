"""What `trainer=debug` shows of the first backward pass, and that showing it changes nothing."""

import csv
import json
from pathlib import Path

import pytest
import torch

import fulmen
from fulmen.cli.main import main

WORDS = ["data=moons", "logger=none", "figures=none", "accelerator=cpu", "model.dropout=0.2", "data.batch_size=full"]
WORDS += ["weights=last"]


def test_the_chain_runs_from_the_loss_to_the_parameters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["trainer=debug", *WORDS, "run_dir=run"]) == 0
    said = capsys.readouterr().out
    operations = ["BinaryCrossEntropyWithLogits", "Addmm", "layers.3.bias", "Sigmoid", "Addmm", "layers.0.weight"]
    at = said.index("grad_fn of the first loss")
    for operation in operations:
        at = said.index(operation, at + 1)
    before, after = said.index("layers.0.weight.grad before"), said.index("layers.0.weight.grad after it, [10, 2]")
    assert at < before < after and "pass: None" in said[before:after]
    assert "tensor([[" in said[after:] and said.count("grad_fn of the first loss") == 1
    loss = float(said[said.index("first loss, ") + 12 :].split("\n")[0])
    with (tmp_path / "run" / "history.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["train/loss"]) == pytest.approx(loss, rel=1e-3), "that of the first step, dropout included"


@pytest.mark.parametrize("name", ["numpy", "tensors"])
def test_by_hand_there_is_no_chain(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["trainer=debug", *WORDS, "model.dropout=0", f"backprop={name}"]) == 0
    said = capsys.readouterr().out
    assert "the loss has no grad_fn" in said and "Backward0" not in said


def test_without_debugging_nothing_is_shown_and_with_it_nothing_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = []
    for debug in ("false", "true"):
        config = fulmen.compose([*WORDS, "trainer.max_epochs=2", f"trainer.debug={debug}"])
        run = fulmen.train(config, folder=tmp_path / debug)
        assert ("grad_fn" in capsys.readouterr().out) == (debug == "true")
        figures.append((json.loads((run.folder / "metrics.json").read_text()), run.model.state_dict()))
    assert figures[0][0] == figures[1][0]
    assert all(torch.equal(figures[0][1][name], value) for name, value in figures[1][1].items())
