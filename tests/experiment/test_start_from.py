"""A network starts from the weights of another one: where names and shapes agree, by the rules for any checkpoint."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from fulmen.cli.main import main

SMALL = ["data=moons", "data.train_size=40", "trainer.max_epochs=2", "figures=none", "logger=none", "accelerator=cpu"]
MLP = [*SMALL, "model=mlp", "model.hidden=[6,4]", "weights=last"]


@pytest.fixture
def first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a trained network, in the current folder."""
    monkeypatch.chdir(tmp_path)
    assert main([*MLP, "run_dir=first", "quiet=true"]) == 0
    return Path("first")


def weights(folder: Path) -> dict[str, Tensor]:
    content = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return {name.removeprefix("net."): value for name, value in content["state_dict"].items()}


def status(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return found


def test_weights_are_those_of_the_other_network(first: Path, capsys: pytest.CaptureFixture[str]) -> None:
    still = "optimizer.lr=1e-30"  # a network that does not move ends with the weights it began with
    assert main([*MLP, "start_from=first", "optimizer=gd", still, "seed=5", "run_dir=second"]) == 0
    assert all(torch.equal(value, weights(first)[name]) for name, value in weights(Path("second")).items())
    assert "start from: first/checkpoints/last.ckpt, 6 of 6 weights" in capsys.readouterr().out
    again = ["data=blobs", "model.hidden=[6,5]", "start_from=first/checkpoints/last.ckpt", "optimizer=gd", still]
    assert main([*MLP, *again, "run_dir=third"]) == 0
    said = capsys.readouterr().out
    assert "2 of 6 weights" in said and "new: there it is [4, 6]" in said
    one, other = weights(first), weights(Path("third"))
    assert [name for name in other if one[name].shape == other[name].shape and torch.equal(one[name], other[name])] == [
        name for name in other if one[name].shape == other[name].shape
    ]
    started = status(Path("third"))["started_from"]
    assert len(started["taken"]) == 2 and len(started["new"]) == 4 and started["not_used"] == []


def test_resume_and_rerun_keep_it(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*MLP, "start_from=first", "run_dir=whole", "trainer.max_epochs=4", "quiet=true"]) == 0
    assert main([*MLP, "start_from=first", "run_dir=part", "quiet=true"]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # start_from is relative to where the run was started
    assert main(["rerun=../whole", "run_dir=again", "quiet=true"]) == 0
    monkeypatch.chdir(tmp_path)
    again = tmp_path / "elsewhere" / "again"
    assert (again / "metrics.json").read_bytes() == Path("whole/metrics.json").read_bytes()
    assert status(again)["start_fingerprint"] == status(Path("whole"))["start_fingerprint"]
    for path in Path("part/checkpoints").iterdir():  # it begins again, from the same weights
        path.unlink()
    changed = status(Path("part")) | {"state": "interrupted"}
    Path("part/status.json").write_text(json.dumps(changed))
    assert main(["resume=part", "trainer.max_epochs=3"]) == 0
    first.rename("gone")  # a run that has a checkpoint needs the other one no more
    assert main(["resume=part", "trainer.max_epochs=4"]) == 0
    assert all(torch.equal(value, weights(Path("whole"))[name]) for name, value in weights(Path("part")).items())
    assert status(Path("part"))["started_from"] == status(Path("whole"))["started_from"]
    assert "changed" not in capsys.readouterr().err


class Code:
    """Code that runs where a file is read without care."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (Path("ran"),)


def test_a_wrong_start_is_refused(first: Path, refused: Callable[..., str]) -> None:
    assert "nowhere" in refused(*MLP, "start_from=nowhere")
    said = refused(*SMALL, "model=linear", "start_from=first")
    assert "no weight of first/checkpoints/last.ckpt has the name and the shape of one here" in said
    assert "layers.0.weight [6, 2]" in said and "layers.0.weight [1, 2]" in said
    torch.save({"state_dict": {"net.layers.0.weight": Code()}}, "code.ckpt")
    assert "run its author's code" in refused(*MLP, "start_from=code.ckpt")
    Path("bare.ckpt").write_bytes(pickle.dumps(Code()))
    assert "run its author's code" in refused(*MLP, "start_from=bare.ckpt")
    assert not Path("ran").exists()
    torch.save({"weights": 1}, "other.ckpt")
    assert "other.ckpt has no state_dict" in refused(*MLP, "start_from=other.ckpt")
    torch.save({"state_dict": {"layers.0.weight": torch.zeros(6, 2, device="meta")}}, "meta.ckpt")
    assert "cannot be loaded" in refused(*MLP, "start_from=meta.ckpt")
