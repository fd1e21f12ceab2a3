"""Composing inside other people's programs."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from hydra.version import getbase

import fulmen
from fulmen.errors import ConfigurationError

APP = """\
import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobRuntime
from hydra.version import getbase

import fulmen


@hydra.main(version_base="1.2", config_path=None)
def main(_config):
    def state():
        return GlobalHydra.instance().hydra, getbase(), JobRuntime.instance().get("name"), HydraConfig.get().job.name

    before = state()
    print("model", fulmen.compose(["model=deep"]).choices.model)
    assert state() == before and before[0] is not None, (before, state())


main()
"""


def test_composing_leaves_a_host_of_hydra_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    done = subprocess.run([sys.executable, "app.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "model deep\n"


@pytest.mark.parametrize("base", [None, "1.2", "1.3"])
@pytest.mark.parametrize("overrides", [["model=deep"], ["modle=deep"], ["data=table", "data.target=größe"]])
def test_a_hosts_hydra_is_as_it_was_whatever_becomes_of_composing(base: str | None, overrides: list[str]) -> None:
    with hydra.initialize(None, version_base=base, job_name="host"):
        before = GlobalHydra.instance().hydra, getbase(), JobRuntime.instance().get("name")
        with suppress(ConfigurationError):
            fulmen.compose(overrides)
        assert (GlobalHydra.instance().hydra, getbase(), JobRuntime.instance().get("name")) == before
        assert hydra.compose(overrides=["+x=1"]).x == 1
    assert not GlobalHydra.instance().is_initialized()
