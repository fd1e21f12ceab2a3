"""Errors of foreign code are shown as theirs, and those of Fulmen as sentences."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fulmen.cli.main import main
from fulmen.errors import ConfigurationError, is_own, one_line

NETWORK = """\
import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, in_shape, out_features):
        super().__init__()
        self.linear, self.rows = nn.Linear(in_shape[0], out_features), 0
        pass  # made

    def forward(self, x):
        self.rows += len(x) * self.training
        if self.rows > 300:
            pass  # trained
        return self.linear(x)
"""
FAULTS = {
    "ValueError: not enough values to unpack (expected 2, got 1)": "a, b = [1]",
    "ValueError: probabilities do not sum to 1": "np.random.choice(2, p=[0.1, 0.1])",
    "ZeroDivisionError: division by zero": "1 / 0",
    "ValueError": "raise ValueError",
    "FileExistsError": "raise FileExistsError",
    "KeyError: 'x'": "{}['x']",
    "ValueError: Expected parameter scale": "torch.distributions.Normal(0.0, -1.0)",
}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], list[str]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "model").mkdir(parents=True)

    def write(name: str, code: str) -> list[str]:
        (tmp_path / "own" / f"{name}.py").write_text(code)
        (tmp_path / "own" / "model" / f"{name}.yaml").write_text(f"# Net\n_target_: {name}.Net\n_partial_: true\n")
        words = ["data=moons", "trainer.max_epochs=3", "figures=none", "logger=none", "accelerator=cpu", "run_dir=run"]
        return ["--config-dir", "own", f"allow_targets=[{name}]", f"model={name}", *words]

    return write


@pytest.mark.parametrize(
    ("said", "where"), [*((said, "trained") for said in FAULTS), *((said, "made") for said in [*FAULTS][1:4])]
)
def test_an_error_of_ones_own_network_has_its_type_and_its_line(
    said: str, where: str, own: Callable[[str, str], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    code = NETWORK.replace(f"pass  # {where}", FAULTS[said])
    name = f"faulty_{where}_{list(FAULTS).index(said)}"
    assert main(own(name, code)) == 1
    line = code[: code.index(FAULTS[said])].count("\n") + 1
    printed = capsys.readouterr().err
    begins = "model Net failed with " if where == "made" else ""
    assert f"fulmen: {begins}{said}" in printed and f"{name}.py, line {line})" in printed, printed
    assert printed.rstrip().endswith("torch.nn.Module" if where == "made" else "the traceback is in run/status.json")
    if where == "trained":
        recorded = json.loads(Path("run/status.json").read_text())["error"]
        assert recorded.startswith(said) and recorded.endswith(f"{name}.py, line {line})"), recorded


def test_errors_of_ours_and_of_others_are_told_apart() -> None:
    def caught(call: Callable[[], object]) -> Exception:
        try:
            call()
        except Exception as error:
            return error
        raise AssertionError

    import pandas as pd

    from fulmen.data.new_rows import by_position
    from fulmen.rules import check, whole

    ours = [
        caught(lambda: check("x", "a", whole(1))),
        caught(lambda: by_position(pd.DataFrame({"a": [1]}).to_numpy(), (2,))),
        ConfigurationError("never raised"),
    ]
    assert all(map(is_own, ours))
    assert one_line(ours[0]) == "x is 'a', but must be a whole number of at least 1"
    theirs = [
        caught(lambda: pd.DataFrame({"a": [1], "b": [1, 2]})),
        caught(lambda: int("x")),
        caught(lambda: main(None)),  # type: ignore[arg-type]
        ValueError("never raised"),
    ]
    assert not any(map(is_own, theirs))
    assert one_line(theirs[0]).startswith("ValueError: All arrays must be of the same length")


def test_a_foreign_message_that_prints_a_tensor_is_cut_off() -> None:
    said = one_line(ValueError("of " + "[-1., -1.], " * 1000))
    assert len(said) < 550
    assert said.endswith(" ...")
