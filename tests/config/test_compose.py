"""Composing inside other people's programs, and again where the choices are those of before."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.utils import JobRuntime
from hydra.version import getbase
from omegaconf import OmegaConf

import fulmen
from fulmen.config import compose
from fulmen.config.groups import conf_dir
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


@pytest.mark.parametrize(
    "overrides",
    [
        ["optimizer=sgd", "optimizer.lr=1e-3", "seed=7"],
        ["seed=1", "data=moons", "seed=2", "data.seed=-3"],
        ["experiment=iris_petals_adam", "trainer.max_epochs=null", "model.hidden=[4,2]"],
        ["model=mlp", "model.hidden=[]", "model.hidden=[5,6]", "model.hidden.0=8"],
        ["data.seed=${seed}", "seed=3", "optimizer={lr:0.5}", "run_dir=a b/c"],
        ["optimizer.lr='0.1'", "optimizer.lr=null", "score=val/loss"],
        ["trainer=debug", "trainer=default", "figures=none", "figures.top=3"],
        ["trainer=debug", "accelerator=cpu", "figures=all", "baseline=auto", "data=blobs", "data.seed=1"],
        ["logger=csv", "model=deep", "optimizer=sgd", "scheduler=cosine", "loss=mse", "penalty=l2", "init=zeros"],
        ["model=deep", "model=mlp", "backprop=numpy"],
        ["model=deep", "data.seed=${seed}", "model.hidden=[3]"],
        ["experiment=iris_petals_adam", "model=deep"],
        ["model=deep", "optimizer=nowhere"],
        ["model=deep", "optimizer@other=adam"],
        ["optimizer.rl=1"],
        ["model=[1]"],
        ["seed.x=3"],
        ["model.hidden.7=8"],
        ["nowhere=3", "seed=1"],
    ],
    ids=" ".join,
)
def test_composing_again_gives_what_hydra_gives(overrides: list[str]) -> None:
    """Values, types, and what may be changed; or the same refusal."""
    expected = found(overrides, [conf_dir()], hydra_alone=True)
    assert found(overrides, [conf_dir()]) == found(overrides, [conf_dir()]) == expected


def found(overrides: list[str], folders: list[Path], hydra_alone: bool = False) -> tuple[object, ...]:
    try:
        if hydra_alone:
            config = compose._compose_anew(compose.for_hydra(overrides), folders)
        else:
            config = compose._compose(overrides, folders)
    except Exception as error:
        return type(error), str(error)
    chosen = OmegaConf.to_container(config.hydra.runtime.choices)
    del config._content["hydra"]  # type: ignore[union-attr]
    return repr(OmegaConf.to_container(config)), repr(chosen), OmegaConf.is_struct(config)


OWN = {
    "net": "# Net\n_target_: nets.Net\nwidth: 3\nseed: ${seed}\n",
    "deep": "# Ours is taken\nwidth: 3\n",
    "inherits": "defaults:\n  - deep\nwidth: 3\n",
    "elsewhere": "# @package optimizer\nlr: 3\n",
    "empty": "# Nothing\n",
}


@pytest.mark.parametrize("choice", [*OWN, "nowhere"])
def test_choices_of_ones_own_are_what_hydra_makes_of_them(choice: str, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    for name, content in OWN.items():
        (tmp_path / "model" / f"{name}.yaml").write_text(content)
    overrides, folders = [f"model={choice}", "optimizer=sgd", "figures=none", "seed=3"], [conf_dir(), tmp_path]
    assert found(overrides, folders) == found(overrides, folders, hydra_alone=True)


def test_a_file_of_ours_that_has_changed_is_read_again(tmp_path: Path) -> None:
    shutil.copytree(conf_dir(), tmp_path / "conf")
    path = tmp_path / "conf" / "optimizer" / "sgd.yaml"
    assert compose._compose(["optimizer=sgd"], [tmp_path / "conf"]).optimizer.lr != 0.625
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("lr:")]
    path.write_text("\n".join([*lines, "lr: 0.625", ""]), "utf-8")
    os.utime(path, ns=(1, 1))
    assert compose._compose(["optimizer=sgd"], [tmp_path / "conf"]).optimizer.lr == 0.625


def test_what_is_done_to_a_configuration_stays_with_it() -> None:
    compose.compose(["optimizer=sgd"]).optimizer.lr = 0.625
    assert compose.compose(["optimizer=sgd"]).optimizer.lr != 0.625


@pytest.mark.parametrize(
    ("base", "overrides"),
    [
        (None, ["model=deep"]),
        ("1.2", ["model=deep"]),
        ("1.2", ["modle=deep"]),
        ("1.3", ["data=table", "data.target=größe"]),
    ],
)
def test_a_hosts_hydra_is_as_it_was_whatever_becomes_of_composing(base: str | None, overrides: list[str]) -> None:
    with hydra.initialize(None, version_base=base, job_name="host"):
        before = GlobalHydra.instance().hydra, getbase(), JobRuntime.instance().get("name")
        with suppress(ConfigurationError):
            fulmen.compose(overrides)
        assert (GlobalHydra.instance().hydra, getbase(), JobRuntime.instance().get("name")) == before
        assert hydra.compose(overrides=["+x=1"]).x == 1
    assert not GlobalHydra.instance().is_initialized()
