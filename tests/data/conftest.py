"""Sources built as a run builds them: from their YAML files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fulmen.data.source import Source
from fulmen.data.table import Table

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


@pytest.fixture
def made() -> Callable[..., Table]:
    """Builds a table from `conf/data/table.yaml` with other values for some keys."""

    def make(path: Path | str | None = None, target: str | list[str] | None = None, /, **keys: object) -> Table:
        data = OmegaConf.to_container(OmegaConf.load(ROOT / "conf" / "data" / "table.yaml"))
        assert isinstance(data, dict)
        fields: dict[Any, Any] = data | {"path": path and str(path), "target": target} | keys
        del fields["_target_"]
        return Table(**fields)

    return make
