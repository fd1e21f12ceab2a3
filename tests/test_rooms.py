"""Which part may know which, read from the imports: what keeps the parts replaceable."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "fulmen"
FILES = sorted(SOURCE.rglob("*.py"))

MAY_KNOW_HYDRA = {"flags", "words", "composition", "parts", "preflight", "recorded", "targets"} | {
    "sweeps.grid",
    "sweeps.launcher",
    "sweeps.space",
}
"""Hydra's own library; OmegaConf alone is a way to read YAML."""
MAY_START_RUNS = {
    "cli": {"experiment", "sweeps.sweep"},
    "experiment": {"run"},
    "sweeps.grid": {"experiment"},
    "sweeps.job": {"experiment"},
}
ROOMS = {
    "vocabulary": set(),
    "names": set(),
    "suggestions": set(),
    "plan": set(),
    "files": set(),
    "importing": set(),
    "folders": {"files", "words"},
    "space": {"folders", "files", "words"},
    "settings": set(),
    "tables": {"folders", "settings", "vocabulary"},
    "figures": {"figures"},
    "gallery": {
        "gallery",
        "figures",
        "predictor",
        "data",
        "models",
        "vocabulary",
        "callbacks",
        "files",
        "loggers",
        "report",
    },
    "data": {"data", "vocabulary", "plan", "suggestions"},
    "models": {"models", "vocabulary"},
    "tasks": {"vocabulary"},
    "losses": {"tasks"},
    "penalties": set(),
    "divergence": set(),
    "initializers": set(),
    "optimizers": set(),
    "schedulers": {"plan"},
    "accelerators": set(),
    "checkpoints": {"files", "folders"},
    "backprop": {"backprop", "data", "evaluation", "losses", "models", "penalties", "tasks"},
    "first_backward": {"data", "evaluation", "penalties", "precision"},
    "interval": set(),
    "parts": set(),
    "precision": set(),
    "tally": {"losses", "tasks"},
    "evaluation": {"data", "losses", "precision", "tally", "tasks", "vocabulary"},
    "predictor": {"data", "evaluation", "precision", "tasks", "vocabulary"},
    "recipe": {"losses"},
    "unmatched": {"models", "optimizers", "penalties", "recipe", "tasks", "vocabulary"},
    "counterparts": {"losses", "recipe", "tasks", "unmatched"},
    "baselines": {"counterparts", "data", "evaluation", "losses", "recipe", "report", "tasks"},
    "coefficients": {"data"},
    "exporting": {"data", "files", "precision", "predictor"},
    "stepping": {"backprop", "data", "evaluation", "losses", "models", "optimizers", "penalties", "replayed"},
    "replayed": {"evaluation", "losses"},
    "traced": {"data", "optimizers", "replayed", "stepping"},
    "compiled": {"data", "optimizers", "report", "stepping", "traced"},
    "learner": {
        "compiled",
        "loggers",
        "evaluation",
        "interval",
        "divergence",
        "optimizers",
        "schedulers",
        "stepping",
        "plan",
        "data",
        "replayed",
    },
}
"""What each room may import of Fulmen."""


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


def imports(path: Path) -> Iterator[str]:
    """Full names of what a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_rooms_know_only_what_they_may(path: Path) -> None:
    name, ours = name_of(path), [full.removeprefix("fulmen.") for full in imports(path) if full.startswith("fulmen.")]
    room = name.partition(".")[0]
    if room in ROOMS:
        assert {known.partition(".")[0] for known in ours} <= ROOMS[room]
    if name not in MAY_KNOW_HYDRA:
        assert not [full for full in imports(path) if full.partition(".")[0] == "hydra"]
    starters = {
        target
        for target in ("cli", "run", "experiment", "sweeps.sweep")
        for known in ours
        if known.startswith(f"{target}.")
    }
    assert starters <= MAY_START_RUNS.get(name, set()) or name == "__init__"


@pytest.mark.parametrize("path", [path for path in FILES if name_of(path).startswith("data.")], ids=name_of)
def test_sources_know_no_torch(path: Path) -> None:
    """The command asks them for sizes and task before torch is imported."""
    if path.name not in ("module.py", "order.py", "tensors.py"):
        assert not [full for full in imports(path) if full.partition(".")[0] in ("torch", "lightning")]


def test_every_room_is_there() -> None:
    assert {name for name in ROOMS if not (SOURCE / name).exists() and not (SOURCE / f"{name}.py").exists()} == set()
