"""`fulmen help` on keys, metrics and terms; and whether the values that it shows are those that are taken."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from omegaconf import OmegaConf
from PIL import Image

import fulmen
from fulmen.cli import help as helping
from fulmen.cli.main import main
from fulmen.config import validate
from fulmen.config.groups import choices, conf_dir, groups
from fulmen.errors import ConfigurationError
from fulmen.tasks.names import FURTHER, MEANINGS, METRICS

ROOT = Path(__file__).parents[2]
FOLDERS = [conf_dir()]


def test_every_key_metric_and_term_is_explained() -> None:
    keys = [key for key in yaml.safe_load((conf_dir() / "train.yaml").read_text()) if key not in ("defaults", "hydra")]
    assert {"freeze", "start_from", "learning_rates", "quiet", "tags"} <= {*keys} <= {*helping._all_keys(FOLDERS)}
    metrics = {"loss", *sum([*METRICS.values(), *FURTHER.values()], ())}
    assert {*MEANINGS} == metrics
    for name in metrics:
        assert f"metric {name}, of " in "".join(helping._meanings(name))
    words = re.findall(r"^- \*\*(\w+)\*\*: (.*)$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE)
    assert len(words) >= 6 and [f"{word}: {said}" for word, said in words] == [
        next(helping._meanings(word)) for word, _ in words
    ]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("optimizer.lr", r"optimizer.lr: 0.005 +a number in \(0, inf\) \(optimizer=rmsprop\)"),
        ("optimizer.lr=0.1", r"optimizer.lr: 0.005 +a number in \(0, inf\) \(optimizer=rmsprop\)"),
        ("max_epochs", r"trainer.max_epochs: 1 +a whole number of at least 1, or null; .* \(trainer=debug\)"),
        ("val_size", r"data.val_size: 0.15 +a share below 1, or a whole number of rows; .* \(data=table\)"),
        ("freeze", r"freeze: \[\] +a list, as \[...\], each a text; parameters or layers that stay as they are"),
        ("weights", "fulmen evaluate: weights=best|last  "),
        ("remove", r"fulmen clean: usage: .*remove=KIND"),
        ("retry", "fulmen resume: retry=failed"),
        ("val/loss", "metric loss, of values and classes: .*\n    minimized"),
        ("test", "split: rows for one purpose"),
        ("n_trials", "hydra.sweeper.n_trials: null +a whole number of at least 1, or null"),
        ("hydra/launcher", "hydra/launcher: what runs the jobs of a sweep"),
    ],
)
def test_help_knows_whatever_one_may_ask(typed: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", typed]) == 0
    assert re.search(said, capsys.readouterr().out)


def test_an_unknown_topic_is_answered_with_the_closest(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, right in {"freze": "freeze", "aurok": "auroc", "learning_rat": "learning_rate", "jobb": "job"}.items():
        assert main(["help", wrong]) == 1
        assert f"there is no help on {wrong}; did you mean {right}?" in capsys.readouterr().err


def limits(shown: str) -> Iterator[tuple[Any, bool]]:
    """Values at the ends of what help shows, and just beyond, and whether they should be taken."""
    if found := re.match(r"a whole number of at least (\d+)(?: and at most (\d+))?", shown):
        yield from ((int(found[1]), True), (int(found[1]) - 1, False), (int(found[1]) + 0.5, False))
        if found[2]:
            yield int(found[2]) + 1, False
    elif found := re.match(r"a number in ([\[(])(\S+), (\S+)([\])])", shown):
        low, high = float(found[2]), float(found[3])
        within = low + min(0.25, (high - low) / 2) if math.isfinite(low) else high - 0.25
        yield from ((low, found[1] == "["), (high, found[4] == "]"), (within, True))
        if math.isfinite(low):
            yield low - 0.25, False
    elif shown.startswith("a share below 1, or a whole number"):
        yield from ((0, True), (0.2, True), (4, True), (1.5, False), (-0.1, False), (-1, False))
    elif found := re.match(r"one of ([^;]*)", shown):
        yield from ((yaml.safe_load(word), True) for word in found[1].split(", "))
        yield "none of them", False
    elif shown.startswith("true or false"):
        yield from ((True, True), (False, True), (1, False), ("maybe", False))
    if re.match(r"[^;]*, or null", shown):
        yield None, True


DATA = ("arrays", "blobs", "circles", "gaussian", "images", "mnist", "table")
"""One data set with each of the keys that there are."""


def files(path: Path) -> dict[str, str]:
    """Something to learn from for each data set that reads files."""
    (path / "arrays").mkdir()
    for name in ("x", "y"):
        np.save(path / "arrays" / f"train_{name}.npy", np.linspace(0, 1, 60))
    np.save(path / "arrays" / "train_x.npy", np.linspace(0, 1, 120).reshape(60, 2))
    for name in ("a", "b"):
        (path / "images" / name).mkdir(parents=True)
        for index in range(12):
            Image.new("RGB", (1, 1)).save(path / "images" / name / f"{index}.png")
    rows = "".join(f"{row},{row * row % 7}.5\n" for row in range(60))
    (path / "table.csv").write_text("a,y\n" + rows)
    return {
        name: str(path / file) for name, file in [("arrays", "arrays"), ("images", "images"), ("table", "table.csv")]
    }


@pytest.mark.parametrize("group", [group for group in groups(FOLDERS) if group not in ("experiment", "sweep")])
def test_the_values_that_help_shows_are_those_that_are_taken(group: str, tmp_path: Path) -> None:
    paths, checked = files(tmp_path) if group == "data" else {}, 0
    for choice in DATA if group == "data" else choices(group, FOLDERS):
        words = [f"{group}={choice}"]
        words += [f"data.path={paths[choice]}"] if choice in paths else []
        words += ["data.target=y"] if choice == "table" else []
        config = fulmen.compose(words)
        try:
            validate.check(config)
        except ConfigurationError as error:  # what does not go together, or is not installed
            if re.search("does not fit|not installed", str(error)):
                continue
            raise
        for line in helping.topic_text(f"{group}={choice}", FOLDERS).splitlines()[1:]:
            found = re.match(r" +([\w.]+): (.*?) {1,}((?:a|one|true|false) .*)$", line)
            for value, right in limits(found[3]) if found else ():
                assert found is not None
                if value is None and found[2] == "null":  # as it is; where a file must be named, nothing works so
                    continue
                before = OmegaConf.select(config, found[1])
                OmegaConf.update(config, found[1], value)
                try:
                    validate.check(config)
                    taken = ""
                except ConfigurationError as error:
                    taken = str(error)
                together = right and ", but must be" not in taken  # each by itself, but not with the others
                assert (not taken) == right or together, f"{words} {found[1]}={value}: {line}: {taken}"
                OmegaConf.update(config, found[1], before, merge=False)
                checked += 1
    assert checked or group in ("accelerator", "backprop", "baseline", "callbacks", "logger")
