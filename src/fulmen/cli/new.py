"""Writes a small project of your own: a model, a data set, a metric, a test, and an experiment that trains at once.

usage: fulmen new FOLDER

FOLDER is new, or empty; its name becomes the name of the project's Python package.

  fulmen new my_project
  cd my_project
  fulmen experiment=first

`fulmen.toml` in it says where the project's choices are, and which of its modules Fulmen may run. You need not type
either again: within the folder, and with runs that were started there, every command reads it. Its modules are trusted
as they are written; when they change, you are asked once (see `fulmen help trust`).
"""

import keyword
import re
import shlex
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path

from fulmen.cli import arguments
from fulmen.config import project
from fulmen.errors import ConfigurationError, command
from fulmen.runs.files import write_text

TAKEN = ("conf", "logs", "tests")
"""Folders of a project that are not its package."""
CODE = ("model", "data", "metric")
CHOICES = ("model/waves.yaml", "data/parabola.yaml")
WRITTEN = {
    "fulmen.toml": """\
# Read by every command in this folder; the modules are trusted by `fulmen trust`, not by this file alone
config_dir = "conf" # choices: one YAML file each
allow_targets = ["NAME"] # modules that they may name
""",
    "conf/experiment/first.yaml": """\
# @package _global_
# This project's model on its data, with its metric
defaults:
  - override /data: parabola
  - override /model: waves

optimizer:
  lr: 0.03
metrics: [NAME.metric.within_score]
""",
    "NAME/__init__.py": '''\
"""Parts of my own; a file in `conf/` names each."""
''',
    "tests/test_parts.py": '''\
"""The parts, tried on a few rows: `python -m pytest`."""

import torch

from NAME.data import Parabola
from NAME.metric import within_score
from NAME.model import Waves


def test_model_returns_a_row_for_each_row() -> None:
    assert Waves((3,), 2, waves=4)(torch.rand(5, 3)).shape == (5, 2)


def test_data_are_a_parabola() -> None:
    rows = dict(train_size=8, val_size=0, test_size=0, batch_size=4, epochs=1, scale="none", seed=0)
    x, y = Parabola(noise=0.0, **rows).load()["train"]
    assert abs(y - x**2).max() < 1e-6


def test_metric_counts_near_misses() -> None:
    assert within_score(torch.tensor([1.0, 2.0]), torch.tensor([1.05, 3.0])) == 0.5
''',
    "pyproject.toml": """\
[project]
name = "NAME"
version = "0.1.0"
dependencies = ["fulmen"]

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.hatch.build.targets.wheel]
packages = ["NAME"]

[tool.pytest.ini_options]
pythonpath = ["."]
""",
    ".gitignore": "logs/\n__pycache__/\n",
    "README.md": """\
# NAME

A model, a data set and a metric for Fulmen: Python files in `NAME/`, named by files in `conf/`.

    fulmen experiment=first                train
    fulmen -m experiment=first seed=0,1,2  ... with several seeds
    fulmen help waves                      the model's keys
    python -m pytest                       try the parts

`fulmen.toml` names the folder of choices and the modules that may run; `fulmen trust .` trusts what they hold now.
""",
}


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Raises:
        ConfigurationError: the folder is there already, or its name cannot be a package's.
    """
    given = arguments.parse(argv, {})
    if len(given.subjects) != 1:
        raise ConfigurationError(f"name one new folder, as in {command('new', 'my_project')}")
    folder = Path(given.subjects[0])
    name = re.sub(r"\W", "_", folder.resolve().name).lower()
    if not name.isidentifier() or keyword.iskeyword(name) or name in (*TAKEN, *sys.builtin_module_names):
        raise ConfigurationError(f"{folder.name} cannot be the name of a Python package; take one such as my_project")
    there = PathFinder.find_spec(name)
    if there is not None and there.origin is not None:  # else it is a mere folder, which comes last
        raise ConfigurationError(f"Python has a module {name} already ({there.origin}); take another name")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is there already, and is not an empty folder; name a new one")
    written = {path.replace("NAME", name): text.replace("NAME", name) for path, text in WRITTEN.items()}
    sources = {f"{name}/{module}.py": f"own/{module}.py" for module in CODE}
    for path, source in (sources | {f"conf/{path}": path for path in CHOICES}).items():
        written[path] = (_example() / source).read_text("utf-8").replace("_target_: own.", f"_target_: {name}.")
    for path, text in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        write_text(folder / path, text, flush=False)
    its = project.read(folder)
    project.trust(its, project.content(its))
    program, start = Path(sys.argv[0]), command("experiment=first")
    if program.name == "train.py":  # which is somewhere else, seen from the project
        start = shlex.join(["python", str(program.resolve()), "experiment=first"])
    typed = f"{shlex.join(['cd', str(folder)])}, then {start}"
    print(f"{folder}: a project that trains at once; to try it: {typed}")
    return 0


def _example() -> Path:
    """Returns the folder of examples: inside an installed package, or in `docs/` of a checkout."""
    installed = Path(__file__).parents[1] / "example"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "docs" / "example"
