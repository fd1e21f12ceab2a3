"""What the pages say of files, choices and commands is so, and every command and example in them works."""

import dataclasses
import importlib
import itertools
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from fulmen.cli.main import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHOICES = (ROOT / "docs" / "choices.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def _tree() -> dict[str, str]:
    """Each path of the file tree in CONTRIBUTING.md, and the phrase beside it; folders end in a slash."""
    (block,) = re.findall(r"<!-- tree -->\s*```\w*\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)
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
    assert not absent, f"CONTRIBUTING.md lists what is not there: {absent}"


def test_tree_lists_each_file_of_the_package_and_of_the_top_level() -> None:
    tracked = _tracked()
    top = {path if "/" not in path else path.partition("/")[0] + "/" for path in tracked} - {"src/"}
    package = {path for path in tracked if path.startswith("src/fulmen/") and not path.endswith("/__init__.py")}
    missing = sorted((top | package) - _tree().keys())
    assert not missing, "the tree in CONTRIBUTING.md lacks a line for each of:\n" + "\n".join(missing)


def test_each_line_of_the_tree_has_a_phrase() -> None:
    assert not [path for path, phrase in _tree().items() if not phrase]


def _groups() -> dict[str, tuple[set[str], str]]:
    """Each row of the table of groups in docs/choices.md: the group, its choices, the default."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \| ([^|]+) \|", CHOICES, flags=re.MULTILINE)
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


def _commands(text: str) -> list[list[str]]:
    """The lines of each code block that is typed in a shell, and each command within a sentence."""
    blocks = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    within = re.findall(r"`((?:python train.py|fulmen \w+) [^`]+)`", text)
    return [[line for line in map(str.strip, block.splitlines()) if line] for block in (*blocks, *within)]


OTHERS = ("cd ", "python -m ", "python scripts/", ". .venv", "make ", "pip install", "tensorboard ", "eval ")
"""Commands that are not Fulmen's."""
QUICKLY = {
    r"max_epochs=\d+": "max_epochs=1",
    r"max_steps=\d+": "max_steps=2",
    r"range\(\d+\)": "range(2)",
    r"n_trials=\d+": "n_trials=2",
    r"glob\(\*\)": "glob(iris_petals_a*)",
    r"tune batch_size.*": "tune batch_size data=moons data.train_size=16",
    r"sweep=optimizers": "sweep=optimizers 'optimizer=gd,sgd'",
    r"hydra(/launcher|\.launcher\.through)=joblib hydra.launcher.n_jobs=2 ": "",
}
"""A long training as a short one; a launcher starts processes, which tests of its own do."""


NOISE = """
import torch
class Noise(torch.nn.Module):
    def __init__(self, std):
        super().__init__()
        self.std = std
    def forward(self, images):
        return images + self.std * torch.randn_like(images)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: a run, a sweep, a table, arrays, a network of one's own."""
    folder = tmp_path_factory.mktemp("pages")
    random = np.random.RandomState(0)
    (folder / "mine" / "model").mkdir(parents=True)
    code = re.findall(r"```python\n(.*?)```", CONTRIBUTING, flags=re.DOTALL)[0].replace("Bilinear(nn", "Net(nn")
    (folder / "mine" / "net.py").write_text(code, encoding="utf-8")
    (folder / "mine" / "model" / "net.yaml").write_text("_target_: net.Net\n_partial_: true\n", encoding="utf-8")
    (folder / "docs").symlink_to(ROOT / "docs")
    rooms = random.randint(1, 9, 60)
    prices = "\n".join(f"{room},{room * 100 + number}" for number, room in enumerate(rooms))
    (folder / "houses.csv").write_text(f"rooms,price\n{prices}\n")
    stars = "\n".join(
        f"{'good' if star > 2 else 'bad'} film {star},2024-01-{star + 10},{star}" for star in [1, 2, 3, 4] * 9
    )
    (folder / "reviews.csv").write_text(f"review,day,stars\n{stars}\n")
    for animal, image in itertools.product(("cat", "dog"), range(20)):
        (folder / "photos" / animal).mkdir(parents=True, exist_ok=True)
        pixels = random.randint(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / animal / f"{image}.png")
    shutil.copytree(folder / "photos" / "cat", folder / "new_photos")
    (folder / "mine" / "changes.py").write_text(NOISE)
    (folder / "new.csv").write_text("x1,x2\n0.2,-0.7\n")
    np.save(folder / "new.npy", [[0.2, -0.7]])
    (folder / "measurements").mkdir()
    for split in ("train", "val"):
        np.save(folder / "measurements" / f"{split}_x.npy", random.randn(20, 3))
        np.save(folder / "measurements" / f"{split}_y.npy", random.randn(20))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*QUIET, "run_dir=logs/runs/one"]) == 0
        assert main([*QUIET, "run_dir=logs/runs/two", "tags=[baseline,tryout]"]) == 0
        assert main([*QUIET, "run_dir=logs/runs/three", "data=moons"]) == 0
        assert main(["-m", *QUIET, "seed=0,1"]) == 0
        patch.setenv("XDG_CONFIG_HOME", str(folder / "home"))
        assert main(["new", "path/to/project"]) == 0
        (sweep,) = Path("logs/sweeps").iterdir()
        sweep.rename("sweep")
    return folder


@pytest.fixture(scope="module")
def tried() -> set[str]:
    """Commands that have worked."""
    return set()


QUIET = ["logger=none", "figures=none", "trainer.max_epochs=1"]


def _as_tried(command: str) -> list[str]:
    """The arguments of a command that is trained for a moment, on the runs of `folder`."""
    for pattern, instead in QUICKLY.items():
        command = re.sub(pattern, instead, command)
    command = re.sub(r"logs/sweeps/\d{4}\S+|(?<=-m resume=)FOLDER", "sweep", command)
    for name in ("logs/runs/one", "logs/runs/two"):
        command = re.sub(r"logs/runs/\d{4}\S+|FOLDER", name, command, count=1)
    command = command.replace("FILE", "logs/runs/one/checkpoints/best.ckpt").replace("NAME", "sine_boundary_adam")
    words = shlex.split(re.sub(r"^(python train.py|fulmen) ?", "", command), comments=True)
    trains = not words or "=" in words[0] or words[0] in ("-m", "--config-dir", "tune")
    if not trains or any(word.startswith(("resume=", "--cfg")) for word in words):
        return words
    given = {word.partition("=")[0] for word in words}
    few = {"logger": "none", "figures": "none", "trainer.max_epochs": "1"}
    if {"trainer.max_steps", "trainer"} & given or any("=debug" in word or "rerun=" in word for word in words):
        del few["trainer.max_epochs"]
    return [*words, *(f"{key}={value}" for key, value in few.items() if key not in given)]


PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.usefixtures("unpainted")
def test_the_first_run_is_the_one_that_the_readme_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Typed as it is printed: with no argument at all."""
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    printed, shown = capsys.readouterr().out, (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("loss", "accuracy", "f1", "auroc"):
        ours, theirs = (
            re.findall(rf"│ {name} +│ ([\d.]+) +│ ([\d.]+) +│ ([\d.]+)", text)[0] for text in (printed, shown)
        )
        assert list(map(float, ours)) == pytest.approx(list(map(float, theirs)), abs=0.01), name
    assert list(tmp_path.glob("logs/runs/*/figures/*.png"))


@pytest.mark.usefixtures("unpainted", "own_imported_anew")
@pytest.mark.parametrize("page", PAGES)
def test_every_command_works(page: str, folder: Path, tried: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "home"))
    for block in _commands((ROOT / page).read_text(encoding="utf-8")):
        monkeypatch.chdir(folder)
        for command in block:
            if command.startswith("cd "):
                monkeypatch.chdir(command.removeprefix("cd "))
            if command.startswith(OTHERS):
                continue
            assert command.startswith(("python train.py", "fulmen ")), command
            words = _as_tried(command)
            if shlex.join(words) in tried:  # by another page
                continue
            tried.add(shlex.join(words))
            assert main(words) == 0, f"{command}\nas {shlex.join(words)}"


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("page", PAGES)
def test_every_example_in_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    code = "\n".join(re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL))
    for pattern, instead in QUICKLY.items():
        code = re.sub(pattern, instead, code)
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    names = vars(importlib.import_module("page"))
    if page == "README.md":
        assert names["again"].metrics == names["run"].metrics
        curves = names["found"].curves.query("metric == 'val/loss'")
        assert len(names["found"].frame) == curves["job"].nunique() == 4 and curves["value"].notna().all()
    del sys.modules["page"]


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_and_names_of_files_lead_somewhere(page: str) -> None:
    text, home = (ROOT / page).read_text(encoding="utf-8"), (ROOT / page).parent
    for target, _, section in re.findall(r"\]\((?!https?:)([^)#]*)(#)?([^)]*)\)", text):
        other = home / target if target else ROOT / page
        assert other.exists(), target
        if section:
            titles = re.findall(r"^#+ (.*)", other.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert section in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles], section
    assert not [name for name in re.findall(r"`(tests/\S+\.py)`", text) if not (ROOT / name).exists()]


def test_readme_is_short() -> None:
    assert README.count("\n") <= 220
