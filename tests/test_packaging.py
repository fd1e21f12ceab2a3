"""What is installed, and from what: the wheel, the requirements and the files that hand over to the package."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RUNTIME = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = [Requirement(line) for extra in PROJECT["optional-dependencies"].values() for line in extra]
DIRECT = RUNTIME + [requirement for requirement in EXTRAS if requirement.name != PROJECT["name"]]


def python(*words: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs this very Python in `cwd`, with `path` before everything that is installed."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        env=_environment(path),
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def _environment(path: Path | None) -> dict[str, str]:
    plain = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return plain | {"PYTHONUTF8": "1"} | ({} if path is None else {"PYTHONPATH": str(path)})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this tree, built without a download."""
    folder = tmp_path_factory.mktemp("wheel")
    built = python("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = folder.glob("*.whl")
    return file


def _files(folder: Path) -> set[str]:
    """Files under `folder`, as paths with forward slashes."""
    every = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return {file.as_posix() for file in every if "__pycache__" not in file.parts}


def test_wheel_carries_the_package_conf_and_the_example(wheel: Path) -> None:
    code = {f"fulmen/{file}" for file in _files(ROOT / "src" / "fulmen")}
    conf = {f"fulmen/conf/{file}" for file in _files(ROOT / "conf")}
    assert "fulmen/conf/train.yaml" in conf

    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == code | conf | {f"fulmen/example/{file}" for file in _files(ROOT / "docs" / "example")}


@pytest.mark.slow
def test_installed_wheel_gives_help_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    installed = python("-m", "pip", "install", "--no-deps", "--no-index", "--target", site, wheel, cwd=empty)
    assert installed.returncode == 0, installed.stderr

    found = python("-c", "import fulmen; print(fulmen.__file__)", cwd=empty, path=site)
    assert Path(found.stdout.strip()) == site / "fulmen" / "__init__.py", found.stderr

    helped = python("-X", "importtime", "-m", "fulmen.cli.main", "--help", cwd=empty, path=site)
    assert helped.returncode == 0, helped.stderr[-2000:]
    assert "sine_boundary" in helped.stdout, "help lists the choices, which lie in conf/"
    imported = set(re.findall(r"\|\s*(\w+)\S*$", helped.stderr, flags=re.MULTILINE))
    assert "fulmen" in imported
    assert not imported & {"torch", "lightning", "pytorch_lightning", "torchmetrics", "sklearn"}
    assert not list(empty.iterdir()), "help writes nothing"


@pytest.mark.slow
def test_train_py_works_from_any_folder(tmp_path: Path) -> None:
    helped = python(ROOT / "train.py", "--help", cwd=tmp_path)
    assert helped.returncode == 0, helped.stderr
    assert "sine_boundary" in helped.stdout


def test_train_py_only_hands_over() -> None:
    module = ast.parse((ROOT / "train.py").read_text(encoding="utf-8"))
    module.body = module.body[1:]  # without its docstring
    assert len(ast.unparse(module).splitlines()) <= 6  # the imports, the answer to Ctrl-C, the call


def test_version_stands_in_pyproject_alone() -> None:
    import fulmen

    assert fulmen.__version__ == PROJECT["version"]


def test_hydra_is_one_that_checks_what_it_calls() -> None:
    """CVE-2026-68508 and CVE-2026-106439 are fixed in 1.3.7."""
    (hydra,) = [requirement for requirement in RUNTIME if requirement.name == "hydra-core"]
    assert not any(hydra.specifier.contains(version) for version in ("1.3.2", "1.3.6"))


def test_lightning_leaves_out_the_malicious_releases() -> None:
    (lightning,) = [requirement for requirement in RUNTIME if requirement.name == "lightning"]
    assert not any(lightning.specifier.contains(version) for version in ("2.6.2", "2.6.3", "2.6.5"))
    assert lightning.specifier.contains("2.6.6")


def _constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_constraints_pin_every_direct_dependency_within_its_range(requirement: Requirement) -> None:
    pins = _constraints()
    name = canonicalize_name(requirement.name)
    assert name in pins, f"constraints.txt lacks {name}"
    assert requirement.specifier.contains(pins[name]), f"{requirement} leaves out {pins[name]} of constraints.txt"


def test_every_dependency_has_its_reason_beside_it() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    for requirement in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        found = [line for line in lines if line.strip().startswith(f'"{requirement}"')]
        assert found and all(" # " in line for line in found), found


def test_every_import_is_a_declared_dependency() -> None:
    extras = PROJECT["optional-dependencies"]
    imported = ("parquet", "export", "optuna", "ray", "trackio")
    optional = [Requirement(line) for extra in imported for line in extras[extra]]
    declared = {canonicalize_name(requirement.name) for requirement in [*RUNTIME, *optional]}
    distributions = packages_distributions()
    for file in sorted((ROOT / "src" / "fulmen").rglob("*.py")):
        for module in _imported(ast.parse(file.read_text(encoding="utf-8"))) - sys.stdlib_module_names - {"fulmen"}:
            names = {canonicalize_name(name) for name in distributions.get(module, [module])}
            assert names & declared, f"{file.name} imports {module}, which pyproject.toml does not ask for"


def _imported(tree: ast.Module) -> set[str]:
    """Top-level names of the modules that `tree` imports, inside functions too."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module and not node.level
    }
    return {name.partition(".")[0] for name in names}
