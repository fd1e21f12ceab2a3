"""`sweep=`: words listed in a file, of which those that are typed take the place."""

from pathlib import Path
from typing import Any

import pytest

from fulmen.cli.main import main
from fulmen.config.groups import choices, conf_dir
from fulmen.errors import ConfigurationError
from fulmen.sweeps import grid as presets
from fulmen.sweeps.grid import grid, records

PRESETS = sorted(set(choices("sweep", [conf_dir()])) - {"optuna"})  # which is a search


def test_the_presets_that_people_look_for_are_there() -> None:
    assert {"optimizers", "learning_rate", "initializers", "penalty", "seeds"} <= set(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_sweep(name: str) -> None:
    found = grid(presets.expanded([f"sweep={name}", "data=circles"], None), None)
    assert len(found.jobs) > 1 and found.varying
    assert len(list(records(found.jobs[:2], None))) == 2


def test_typed_words_take_the_place_of_the_presets() -> None:
    words = presets.expanded(["data=moons", "sweep=optimizers", "optimizer.lr=0.5"], None)
    assert words == ["optimizer=sgd,momentum,rmsprop,adam", "data=moons", "optimizer.lr=0.5"]


def test_a_preset_sweeps_without_further_ado(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["experiment=circles_binary", "trainer.max_epochs=1", "logger=none", "accelerator=cpu"]
    assert main([*words, "sweep=seeds", "seed=4,5"]) == 0
    assert place.states() == {0: "completed", 1: "completed"}
    assert "2 runs over seed=4,5" in capsys.readouterr().out


def test_presets_of_ones_own_are_found(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "mine.yaml").write_text("# Mine\nwords:\n  - seed=1,2\n")
    (tmp_path / "sweep" / "odd.yaml").write_text("words: seed=1,2\n")
    (tmp_path / "sweep" / "torn.yaml").write_text("words: [\n")
    assert presets.expanded(["sweep=mine"], str(tmp_path)) == ["seed=1,2"]
    for name in ("odd", "torn"):
        with pytest.raises(ConfigurationError, match=f"{name}.yaml"):
            presets.expanded([f"sweep={name}"], str(tmp_path))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sweep=seed"], "did you mean seeds?"),
        (["sweep=seeds", "sweep=penalty"], "takes one preset"),
        (["--cfg", "job", "sweep=seeds"], "stands for many runs"),
    ],
    ids=" ".join,
)
def test_a_preset_that_cannot_be_is_said(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 1
    assert sentence in capsys.readouterr().err
