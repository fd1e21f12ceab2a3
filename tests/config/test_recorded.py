"""`rerun=`: an earlier run's configuration once more, in a new folder, with what is changed beside it."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf

import fulmen
from fulmen.cli.main import main
from fulmen.config.recorded import anchored, check_environment, configuration, is_repeated, plain, to_rerun
from fulmen.errors import ConfigurationError
from fulmen.runs.folder import yaml_text

WORDS = ["data=moons", "data.train_size=70", "model=deep", "model.dropout=0.1", "logger=none", "figures=none", "seed=3"]
ALL_WORDS = [*WORDS, "trainer.max_epochs=4", "accelerator=cpu", "optimizer.lr=0.02", "run_dir=one"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fulmen.train(fulmen.compose(ALL_WORDS), tmp_path_factory.mktemp("trained") / "one", verbose=False).folder


@pytest.fixture
def one(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run in the folder `one` of the working directory."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(trained, tmp_path / "one")


def config_of(folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    return config


def edit(folder: Path, name: str, **changes: Any) -> None:
    """Changes entries of a run's `config.yaml` or `status.json`, as if it had run elsewhere."""
    path = folder / name
    content = yaml.safe_load(path.read_text("utf-8")) | changes
    path.write_text(json.dumps(content) if path.suffix == ".json" else yaml.safe_dump(content), encoding="utf-8")


def test_a_repeated_run_has_the_same_figures(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rerun=one"]) == 0
    (two,) = Path("logs/runs").iterdir()
    assert "metrics equal, to the last bit, those of one" in capsys.readouterr().out
    assert (one / "metrics.json").read_bytes() == (two / "metrics.json").read_bytes()
    assert config_of(two) == config_of(one) | {"run_dir": None}
    assert json.loads((two / "status.json").read_text())["rerun"] == "one"


def test_a_record_from_before_a_key_existed_trains_all_the_same(one: Path) -> None:
    path = one / "config.yaml"
    content = yaml.safe_load(path.read_text("utf-8"))
    for key in ("name", "tags", "note", "quiet", "metrics", "callbacks", "start_from", "freeze", "learning_rates"):
        del content[key]
    del content["figures"]["own"], content["choices"]["callbacks"]
    for key in ("fast_dev_run", "overfit", "limit_batches", "profile"):
        del content["trainer"][key]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    fulmen.train(configuration(one), Path("job"))
    assert main(["rerun=one", "run_dir=two"]) == 0
    for other in ("job", "two"):
        assert (one / "metrics.json").read_bytes() == Path(other, "metrics.json").read_bytes()
    assert main(["resume=one", "trainer.max_epochs=100"]) == 0


def test_what_differs_is_said(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    versions = json.loads((one / "status.json").read_text())["versions"] | {"torch": "2.0.0"}
    edit(one, "status.json", commit="abc", device="cuda:0", versions=versions)
    assert main(["rerun=one", "run_dir=two", "seed=4"]) == 0
    said = capsys.readouterr().out
    assert "metrics differ from those of one" in said
    for line in (r"commit: abc -> \w+", r"torch: 2\.0\.0 -> 2\.\d+", r"device: cuda:0 -> cpu"):
        assert re.search(line, said), line
    assert "numpy" not in said.partition("what else differs")[2]


def test_a_repeated_run_ends_with_a_table_of_what_changed(
    one: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["rerun=one", "run_dir=same", "name=again"]) == 0
    assert "changed" not in capsys.readouterr().out.partition("metrics equal")[2]
    assert main(["rerun=one", "run_dir=two", "optimizer=sgd", "optimizer.lr=0.25"]) == 0
    table = capsys.readouterr().out.partition("metrics differ")[2].partition("changed")[2]
    rows = {
        cells[0]: cells[1:]
        for line in table.splitlines()
        if len(cells := [c.strip() for c in line.split("│")[1:-1]]) == 4
    }
    rate = config_of(one)["optimizer"]["lr"]
    assert rows["optimizer"][:2] == ["adam", "sgd"]
    assert rows["optimizer.lr"] == [str(rate), "0.25", f"{0.25 - rate:+.4g}"]
    assert rows["optimizer.betas"] == [str(config_of(one)["optimizer"]["betas"]).replace(" ", ""), "", ""]
    old, new = (json.loads(Path(folder, "metrics.json").read_text())["val/loss"] for folder in ("one", "two"))
    assert rows["val/loss"] == [str(old), str(new), f"{new - old:+.4g}"]
    assert "seed" not in rows and "model" not in rows and "run_dir" not in rows


def test_changes_stand_beside_it(one: Path) -> None:
    config = to_rerun(one, ["optimizer=sgd", "trainer.max_epochs=9", "model.hidden=[3]"], None)
    assert config.optimizer._target_ == "torch.optim.SGD" and config.choices.optimizer == "sgd"
    assert config.optimizer.lr == fulmen.compose(["optimizer=sgd"]).optimizer.lr, "a choice has its own defaults"
    assert (config.trainer.max_epochs, list(config.model.hidden)) == (9, [3])
    assert (config.model.dropout, config.data.train_size, config.seed) == (0.1, 70, 3)


def test_the_record_counts_and_not_todays_defaults(one: Path) -> None:
    """As if `conf/` had said otherwise when it ran."""
    edit(one, "config.yaml", penalty={"_target_": "fulmen.tasks.penalties.none"}, seed=99)
    optimizer = config_of(one)["optimizer"] | {"eps": 0.5}
    edit(one, "config.yaml", optimizer=optimizer)
    config = to_rerun(one, [], None)
    assert (config.optimizer.eps, config.seed) == (0.5, 99)
    assert to_rerun(one, ["seed=1"], None).seed == 1


def test_what_refers_to_a_changed_key_follows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own" / "experiment"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# @package _global_\n# mine\ndata:\n  seed: ${seed}\ntrainer:\n  max_epochs: 1\n")
    assert main(["--config-dir", "own", "experiment=mine", "run_dir=one", "seed=5", "figures=none", "logger=none"]) == 0
    assert config_of(Path("one"))["data"]["seed"] == 5
    config = to_rerun(Path("one"), ["seed=6"], "own")
    assert (config.seed, config.data.seed, config.experiment) == (6, 6, "mine")


def test_a_key_that_is_no_more_is_named(one: Path) -> None:
    edit(one, "config.yaml", optimizer=config_of(one)["optimizer"] | {"warp": 9})
    with pytest.raises(ValueError, match=r"has the key .optimizer\.warp., which is no more"):
        to_rerun(one, [], None)


def test_permissions_make_no_other_run(one: Path) -> None:
    assert is_repeated(one, to_rerun(one, ["allow_targets=[mine]", "run_dir=two"], None))
    assert not is_repeated(one, to_rerun(one, ["seed=9"], None))


def test_threads_are_kept(one: Path) -> None:
    """They change the last bits of sums; an estimate on another machine could give others."""
    edit(one, "status.json", threads=2)
    assert main(["rerun=one", "run_dir=two"]) == 0
    assert json.loads(Path("two/status.json").read_text())["threads"] == 2
    assert main(["rerun=one", "run_dir=three", "trainer.threads=1"]) == 0
    assert json.loads(Path("three/status.json").read_text())["threads"] == 1


REFERENCES = {
    "plain": "${oc.env:HOME}",
    "default": "${oc.env:NOT_SET,${seed}}",
    "text": "a/${oc.env:HOME}/b",
    "list": ["${plain}", {"deep": "${oc.env:HOME,null}"}],
    "seed": 3,
    "word": "env",
    "composed": "${oc.${word}:HOME}",
}


def test_what_refers_to_the_environment_is_kept_and_the_resolver_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to the whole process, and a program that uses Fulmen may have one of its own."""
    config = OmegaConf.create(REFERENCES)
    monkeypatch.setattr(OmegaConf, "register_new_resolver", None)
    found = plain(config)
    assert found["plain"] == found["composed"] == found["list"][0] == "${oc.env:HOME}"
    assert found["default"] == "${oc.env:NOT_SET,3}" and found["text"] == "a/${oc.env:HOME}/b"
    assert found["list"][1]["deep"] == "${oc.env:HOME,null}"
    assert config.plain == os.environ["HOME"] and type(config) is type(config.list[1])


@pytest.mark.parametrize(
    "text",
    ["${oc.env:SECRET}", "${oc.${w}:SECRET}", "${oc.decode:'$${r}'}", "a${oc.decode:'[$${r}]'}", "${oc.create:${m}}"],
)
def test_other_variables_are_refused_however_they_are_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "7")
    config = OmegaConf.create({"w": "env", "r": "{oc.env:SECRET}", "x": text})
    if "m" in text:
        config.m = {"a": "${oc.env:SECRET}"}
    with pytest.raises(ConfigurationError, match="reads SECRET from the environment"):
        check_environment(config)
    check_environment(OmegaConf.create({"x": "${oc.env:FULMEN_DATA}"}))


@pytest.mark.parametrize("command", [["resume=run"], ["rerun=run"], ["evaluate", "run", "weights=best"]])
def test_a_run_of_an_earlier_version_is_refused(
    command: list[str], refused: Callable[..., str], tmp_path: Path
) -> None:
    """Modules had other names then, and nothing of the kind is guessed."""
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    config = fulmen.compose([])
    config.loss._target_, config.trainer._target_ = "fulmen.losses.auto", "fulmen.trainer.TrainerOptions"
    (tmp_path / "run" / "config.yaml").write_text(yaml_text(plain(config)))
    (tmp_path / "run" / "status.json").write_text('{"state": "interrupted"}')
    content = {"metadata": {"config": plain(config), "learned": {}}, "state_dict": {}}
    torch.save(content, tmp_path / "run" / "checkpoints" / "best.ckpt")
    assert "recorded by an earlier version of Fulmen, where fulmen." in refused(*command)


def test_any_path_of_ones_own_data_starts_where_the_run_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "rows").mkdir(parents=True)
    (tmp_path / "here" / "rows.csv").touch()
    monkeypatch.chdir(tmp_path)
    data = {"_target_": "mine.Rows", "file": "rows.csv", "more": {"folder": "rows"}, "name": "else", "path": "gone.csv"}
    found = anchored(OmegaConf.create({"data_root": "cache", "score": "rows", "data": data}), str(tmp_path / "here"))
    here = tmp_path / "here"
    assert (found.data.file, found.data.more.folder) == (str(here / "rows.csv"), str(here / "rows"))
    assert (found.data.name, found.score) == ("else", "rows")
    assert (found.data.path, found.data_root) == (str(here / "gone.csv"), str(here / "cache"))
    shipped = {"_target_": "fulmen.data.sets.table.Table", "path": "rows.csv", "target": "rows"}
    found = anchored(OmegaConf.create({"data": shipped}), str(here))
    assert (found.data.path, found.data.target) == (str(here / "rows.csv"), "rows")
