"""What README.md and CONTRIBUTING.md say of the files, the choices and the commands is so."""

import dataclasses
import re
import runpy
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

import fulmen

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def _tree() -> dict[str, str]:
    """Each path of README's file tree, and the phrase beside it. Folders end in a slash; two spaces a level."""
    (block,) = re.findall(r"<!-- tree -->\s*```\w*\n(.*?)```", README, flags=re.DOTALL)
    phrases: dict[str, str] = {}
    above: list[str] = []
    for line in block.splitlines():
        name, *phrase = re.split(r"\s{2,}", line.strip(), maxsplit=1)
        level = (len(line) - len(line.lstrip())) // 2
        above[level:] = [name]
        phrases["".join(above)] = phrase[0] if phrase else ""
    return phrases


def _tracked() -> list[str]:
    """Paths that git keeps."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("a file is known to belong to the project by git alone, and this is no checkout")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    return listed.stdout.splitlines()


def test_tree_lists_nothing_that_is_absent() -> None:
    absent = [path for path in _tree() if not (ROOT / path).exists() or (ROOT / path).is_dir() != path.endswith("/")]
    assert not absent, f"README.md lists what is not there: {absent}"


def test_tree_lists_each_file_of_the_package_and_of_the_top_level() -> None:
    tracked = _tracked()
    top = {path if "/" not in path else path.partition("/")[0] + "/" for path in tracked} - {"src/"}
    package = {path for path in tracked if path.startswith("src/fulmen/") and not path.endswith("/__init__.py")}
    missing = sorted((top | package) - _tree().keys())
    assert not missing, "README.md's tree lacks a line for each of:\n" + "\n".join(missing)


def test_each_line_of_the_tree_has_a_phrase() -> None:
    assert not [path for path, phrase in _tree().items() if not phrase]


def _groups() -> dict[str, tuple[set[str], str]]:
    """Each row of README's table of groups: the group, its choices, the default."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", README, flags=re.MULTILINE)
    return {group: (set(re.findall(r"`(\w+)`", choices)), default.strip(" `")) for group, choices, default in rows}


def test_table_of_groups_is_what_conf_holds() -> None:
    held = {folder.name: {file.stem for file in folder.glob("*.yaml")} for folder in (ROOT / "conf").iterdir()}
    held = {
        group: choices for group, choices in held.items() if choices and group not in ("hydra", "experiment", "sweep")
    }
    assert {group: choices for group, (choices, _) in _groups().items()} == held


def test_table_of_groups_has_the_defaults_of_conf() -> None:
    train = OmegaConf.load(ROOT / "conf" / "train.yaml")
    assert isinstance(train, DictConfig)
    defaults = {
        group: name for entry in train.defaults if isinstance(entry, DictConfig) for group, name in entry.items()
    }
    for group, (_, default) in _groups().items():
        assert defaults[group] == default


def _commands(text: str) -> list[str]:
    """Lines of code blocks that train, `-m` or not, with what is in this repository."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [
        line
        for line in lines
        if line.startswith("python train.py ") and not re.search(r" --|resume=|rerun=|sweep=", line)
    ]


COMMANDS = _commands(README) + _commands(CONTRIBUTING)


def test_there_are_commands_to_try() -> None:
    assert len(COMMANDS) >= 3


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_compose(command: str) -> None:
    words = shlex.split(command, comments=True)[2:]
    if "-m" in words:  # the first job of a sweep
        words = [word for word in words if word != "-m" and not word.startswith("hydra")]
        words = [re.sub(r"range\(\d+\)", "0", word).split(",")[0] for word in words]
    cfg = fulmen.compose(words)
    for key, _, value in (word.partition("=") for word in words):
        if key not in _groups():
            assert str(OmegaConf.select(cfg, key)).replace(" ", "") == value


def _example(kind: Literal["model", "data"], folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the Python of CONTRIBUTING.md's example defines, and the keys of its YAML."""
    number = ("model", "data").index(kind)
    code, yaml = (re.findall(rf"```{name}\n(.*?)```", CONTRIBUTING, flags=re.DOTALL) for name in ("python", "yaml"))
    (folder / "example.py").write_text(code[number], encoding="utf-8")
    keys = OmegaConf.to_container(OmegaConf.create(yaml[number]))
    assert isinstance(keys, dict)
    return runpy.run_path(str(folder / "example.py")), {str(key): value for key, value in keys.items()}


def test_the_example_of_a_model_is_one(tmp_path: Path) -> None:
    defined, keys = _example("model", tmp_path)
    assert keys.pop("_partial_") is True
    assert keys.pop("_target_") == "fulmen.models.bilinear.Bilinear"
    assert defined["Bilinear"]((3, 4), 2, **keys)(torch.ones(5, 3, 4)).shape == (5, 2)


def test_the_example_of_a_data_set_is_one(tmp_path: Path) -> None:
    defined, keys = _example("data", tmp_path)
    parabola = defined["Parabola"]
    assert keys.pop("_target_") == "fulmen.data.sets.parabola.Parabola"
    assert {field.name for field in dataclasses.fields(parabola)} == keys.keys(), "every field is a key"
    x, y = parabola(**keys).load()["train"]
    assert x.shape == y.shape == (200, 1)
    assert abs(y - x**2).std() < 0.2


@pytest.mark.slow
def test_a_model_in_a_folder_of_ones_own_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    """README's command, with CONTRIBUTING.md's model called `Net` in `mine/`."""
    code = re.findall(r"```python\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)[0].replace("Bilinear(nn", "Net(nn")
    (command,) = re.findall(r"^python train.py (--config-dir .*)$", README, flags=re.MULTILINE)
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "net.py").write_text(code, encoding="utf-8")
    (tmp_path / "mine" / "model" / "net.yaml").write_text("_target_: net.Net\n_partial_: true\n", encoding="utf-8")
    words = [*shlex.split(command), "trainer.max_epochs=1", "figures=none", "logger=none"]
    monkeypatch.chdir(tmp_path)
    trained = forked(*words)
    assert trained.wait() == 0, trained.stderr
    assert len(list(tmp_path.glob("logs/runs/*/metrics.json"))) == 1


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_to_files_lead_somewhere(name: str) -> None:
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_the_example_in_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, Any] = {}
    exec(code.replace("max_epochs=20", "max_epochs=1"), names)
    assert names["again"].metrics == names["run"].metrics
    curves = names["found"].curves.query("metric == 'val/loss'")
    assert len(names["found"].frame) == curves["job"].nunique() == 10 and curves["value"].notna().all()
