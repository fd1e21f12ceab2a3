"""A run comes back as it was: from its checkpoint, from another folder, and from what the environment gave it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fulmen.cli.main import main

Refused = Callable[..., str]

QUICK = ["data=moons", "trainer.max_epochs=1", "figures=none", "logger=tensorboard", "accelerator=cpu"]

# the environment

REFERENCES = {
    'data.batch_size="${oc.decode:${oc.env:SIZE}}"': {"SIZE": "16"},
    "optimizer.lr=${oc.decode:${oc.env:RATE,1}}": {"RATE": "0.0371"},
    "model.hidden=${oc.decode:'[${oc.env:WIDTH},4]'}": {"WIDTH": "1013"},
    "score=val/${oc.env:SCORE}": {"SCORE": "accuracy"},
    "data_root=${oc.env:PLACE}": {"PLACE": "/s3cret/place"},
    "seed=${oc.decode:${oc.env:SEED}}": {"SEED": "4711"},
}


def test_a_run_goes_on_with_what_the_environment_gave_it_and_records_none_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in REFERENCES.values():
        monkeypatch.setenv(*next(iter(variable.items())))
    assert main([*QUICK, *REFERENCES, "run_dir=run"]) == 0
    recorded, config = json.loads(Path("run/status.json").read_text())["overrides"], Path("run/config.yaml").read_text()
    texts = [path for path in Path("run").rglob("*") if path.is_file() and path.suffix not in (".ckpt", ".csv")]
    for override, variable in REFERENCES.items():
        ((name, value),) = variable.items()
        assert override in recorded
        assert override.partition("=")[2].strip("\"'")[:10] in config
        if name != "SCORE" and len(value) > 2:  # others may stand anywhere
            alone = re.compile(rf"\b{re.escape(value)}\b")  # and not among the digits of a hash
            assert not [path for path in texts if alone.search(path.read_text("utf-8", "replace"))]
    measured = Path("run/metrics.json").read_bytes()
    assert main(["rerun=run", "run_dir=again"]) == 0
    assert Path("again/metrics.json").read_bytes() == measured
    assert main(["evaluate", "run", "output=found.json"]) == 0
    assert json.loads(measured).items() >= json.loads(Path("found.json").read_text()).items()
    assert main(["resume=run", "trainer.max_epochs=2"]) == 0
    assert "trust_checkpoint" not in capsys.readouterr().err


def test_a_variable_that_has_changed_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIZE", "16")
    assert main([*QUICK, "data.batch_size=${oc.decode:${oc.env:SIZE}}", "run_dir=run"]) == 0
    for value in ("32", "", None):
        monkeypatch.delenv("SIZE")
        if value is not None:
            monkeypatch.setenv("SIZE", value)
        for command in (["resume=run", "trainer.max_epochs=2"], ["rerun=run"], ["evaluate", "run"]):
            assert "SIZE is not the same in the environment as when run was started; set it" in refused(*command)
    monkeypatch.setenv("SIZE", "32")
    assert main(["resume=run", "trainer.max_epochs=2", "trust_checkpoint=true"]) == 0
    assert "SIZE is not the same in the environment as when run was started; using the new" in capsys.readouterr().err


def test_weights_of_another_size_may_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WIDTH", "5")
    assert main([*QUICK, "model.hidden=[${oc.decode:${oc.env:WIDTH}}]", "run_dir=run"]) == 0
    monkeypatch.setenv("WIDTH", "7")
    said = main_error(refused, "resume=run", "trainer.max_epochs=2", "trust_checkpoint=true")
    assert "layers.0.bias [5], here [7]" in said and "a variable of the environment, has changed since" in said


# another folder


@pytest.mark.parametrize("path", ["./deep er/rows.csv", "../rows.csv", "arrays"])
def test_relative_paths_start_in_the_folder_that_the_run_began_in(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    random = np.random.RandomState(0)
    for folder in (here, there):  # the same names with other rows
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        x, y = random.standard_normal((100, 2)), random.standard_normal(100)
        if path == "arrays":
            (folder / path).mkdir()
            for split in ("train", "val"):
                np.save(folder / path / f"{split}_x.npy", x)
                np.save(folder / path / f"{split}_y.npy", y)
        elif folder == here or not (folder / path).exists():
            (folder / path).write_text("a,b,c\n" + "".join(f"{u},{v},{w}\n" for (u, v), w in zip(x, y, strict=True)))
        folder.mkdir(exist_ok=True)
    monkeypatch.chdir(here)
    data = ["data=arrays"] if path == "arrays" else ["data=table", "data.target=c"]
    words = [*data, f"data.path={path}", "trainer.max_epochs=1", "figures=none", "logger=none", "accelerator=cpu"]
    assert main([*words, "run_dir=run"]) == 0
    monkeypatch.chdir(there)
    measured = json.loads((here / "run" / "metrics.json").read_text())
    assert main(["evaluate", "../here/run", "output=found.json"]) == 0
    assert measured.items() >= json.loads(Path("found.json").read_text()).items()
    assert main(["rerun=../here/run", "run_dir=again"]) == 0
    assert json.loads(Path("again/metrics.json").read_text()) == measured
    assert main(["resume=../here/run", "trainer.max_epochs=2"]) == 0
    monkeypatch.chdir(here)
    assert main(["resume=run", "trainer.max_epochs=3"]) == 0
    assert main(["evaluate", "../there/again", "output=found.json"]) == 0


def test_the_sentence_about_a_file_that_is_gone_names_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("rows.csv").write_text("a,b\n" + "".join(f"{n % 7},{n / 3}\n" for n in range(60)))
    words = ["data=table", "data.path=rows.csv", "data.target=b", "trainer.max_epochs=1", "logger=none"]
    assert main([*words, "figures=none", "run_dir=run"]) == 0
    Path("rows.csv").unlink()
    assert str(tmp_path / "here" / "rows.csv") in refused("evaluate", "here/run")


# code

NETWORK = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, in_shape, out_features):
        super().__init__()
        self.first, self.last = nn.Linear(in_shape[0], {width}), nn.Linear({width}, out_features)
        {more}

    def forward(self, x):
        {before}
        return self.last(torch.{function}(self.first(x)))
"""
ASIS = {"width": 8, "more": "pass", "function": "relu", "before": "pass"}


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes the code of a network of the user's own, with changes, and forgets what was imported before."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "own"))
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "net.yaml").write_text("# Net\n_target_: round_trip_net.Net\n_partial_: true\n")

    def write(**changes: object) -> None:
        import importlib
        import sys

        (tmp_path / "own" / "round_trip_net.py").write_text(NETWORK.format(**{**ASIS, **changes}))
        sys.modules.pop("round_trip_net", None)
        importlib.invalidate_caches()
        for cached in (tmp_path / "own").glob("__pycache__/*"):
            cached.unlink()

    return write


OWN = ["--config-dir", "own", "allow_targets=[round_trip_net]"]
CHANGES: dict[str, tuple[dict[str, object], str]] = {
    "width": ({"width": 5}, "of another size: first.weight [8, 2], here [5, 2]"),
    "more": ({"more": "self.third = nn.Linear(2, 2)"}, "without third.weight [2, 2]"),
    "name": (
        {"more": "self.other = self.last; del self.last", "before": "return self.other(torch.relu(self.first(x)))"},
        "without other.weight [1, 8]",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_weights_than_the_code_makes_are_named_and_the_run_stays(
    change: str, network: Callable[..., None], refused: Refused
) -> None:
    network()
    assert main([*OWN, *QUICK, "model=net", "run_dir=run"]) == 0
    changes, sentence = CHANGES[change]
    network(**changes)
    for command in (["evaluate", "run", *OWN], [*OWN, "resume=run", "trainer.max_epochs=2"]):
        assert sentence in main_error(refused, *command)


def main_error(refused: Refused, *command: str) -> str:
    """Returns the sentences of a refused command, of which the first may be a warning."""
    try:
        return refused(*command)
    except AssertionError as error:
        return str(error)


def test_code_that_computes_something_else_is_said(
    network: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    network()
    assert main([*OWN, *QUICK, "model=net", "run_dir=run"]) == 0
    network(before="pass  # a comment")
    assert main(["evaluate", "run", *OWN]) == 0
    assert "the code" not in capsys.readouterr().err
    network(function="tanh")
    assert main(["evaluate", "run", *OWN]) == 0
    said = capsys.readouterr().err
    assert "the code in round_trip_net has changed since run was started" in said
    assert "when the run ended: its code, data or libraries have changed" in said
    for command in (["rerun=run", "run_dir=again"], ["resume=run", "trainer.max_epochs=2"]):
        assert main([*OWN, *command]) == 0
        assert "the code in round_trip_net has changed" in capsys.readouterr().err


LATE = "self.steps += self.training\n        if self.steps > 20: "
"""After more steps than the check before training takes."""
ODD = {
    "a plain tensor": (
        {
            "more": "self.steps, self.offset = 0, torch.zeros(1)",
            "before": LATE + "self.offset = self.offset + 0.1 * self.training",
        },
        "predicts other values than the trained one",
    ),
    "a number": (
        {"more": "self.steps = 0", "before": LATE + "x = x + 0.1 * self.steps"},
        "predicts other values than the trained one",
    ),
    "noise": (
        {"more": "self.steps = 0", "before": LATE + "x = x + torch.randn_like(x)"},
        "predicts other values for the same rows each time",
    ),
    "none": ({}, ""),
    "a buffer": (
        {
            "more": "self.register_buffer('offset', torch.zeros(1))",
            "before": "self.offset += 0.1 * self.training; x = x + self.offset",
        },
        "",
    ),
}
ODD["a plain tensor"][0]["before"] += "\n        x = x + self.offset"


@pytest.mark.parametrize("kind", ODD)
def test_a_network_that_does_not_come_back_is_said_when_the_run_ends(
    kind: str, network: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    changes, sentence = ODD[kind]
    network(**changes)
    assert main([*OWN, *QUICK, "model=net", "data.batch_size=4", "run_dir=run"]) == 0
    said = capsys.readouterr().err
    assert sentence in said if sentence else "predicts" not in said and "loaded again" not in said


def test_a_sweep_is_resumed_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
    (tmp_path / "here" / "rows.csv").write_text("a,b\n" + "".join(f"{n % 7},{n / 3}\n" for n in range(60)))
    monkeypatch.chdir(tmp_path / "here")
    words = ["data=table", "data.path=rows.csv", "data.target=b", "trainer.max_epochs=1", "logger=none"]
    assert main(["-m", *words, "accelerator=cpu", "seed=1,2"]) == 0
    (sweep,) = (tmp_path / "here" / "logs" / "sweeps").iterdir()
    measured = (sweep / "1" / "metrics.json").read_bytes()
    for child in (sweep / "1").iterdir():  # as it was planned
        if child.name != "config.yaml":
            shutil.rmtree(child) if child.is_dir() else child.unlink()
    monkeypatch.chdir(tmp_path / "there")
    assert main(["-m", f"resume={sweep}"]) == 0
    assert (sweep / "1" / "metrics.json").read_bytes() == measured
