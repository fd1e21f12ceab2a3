"""Sources built as a run builds them: from their YAML files."""

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fulmen.data.sets.table import Table
from fulmen.data.source import Source

ROOT = Path(__file__).parents[2]
MNIST = ROOT.parent / "shared" / "mnist"


@pytest.fixture
def source() -> Callable[..., Source]:
    """Builds `conf/data/<name>.yaml` with other values for some keys; skips the full MNIST where it is not at hand."""

    def make(name: str, /, **keys: object) -> Source:
        if name == "mnist" and not MNIST.is_dir():
            pytest.skip(f"MNIST's files are not in {MNIST}")
        data = OmegaConf.load(ROOT / "conf" / "data" / f"{name}.yaml")
        config = OmegaConf.create({"data_root": str(MNIST), "data": data})
        made = instantiate(config.data, **keys)
        assert isinstance(made, Source)
        return made

    return make


@pytest.fixture
def load_without_torch(tmp_path: Path) -> Callable[..., None]:
    """Loads the data that words name, in a process that has not imported torch when it has read everything."""

    def load(*words: str) -> None:
        code = (
            "import sys, fulmen; from fulmen.config import validate; "
            f"validate.check(fulmen.compose({[*words]})).load(); sys.exit('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr

    return load


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a table to a file, CSV or Parquet."""

    def to_file(table: pd.DataFrame, ending: str = "csv") -> Path:
        path = tmp_path / f"table.{ending}"
        if ending == "csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path)
        return path

    return to_file


@functools.cache
def _of_a_table() -> dict[Any, Any]:
    data = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "data" / "table.yaml"))
    assert isinstance(data, dict)
    return data


@pytest.fixture
def made() -> Callable[..., Table]:
    """Builds a table from `conf/data/table.yaml` with other values for some keys."""

    def make(path: Path | str | None = None, target: str | list[str] | None = None, /, **keys: object) -> Table:
        fields: dict[Any, Any] = _of_a_table() | {"path": path and str(path), "target": target} | keys
        del fields["_target_"]
        return Table(**fields)

    return make
