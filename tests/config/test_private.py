"""Private names of Hydra and OmegaConf behave as Fulmen needs them to."""

import os

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import OmegaConf

from fulmen.config import hydra_private
from fulmen.config.groups import conf_dir
from fulmen.config.omegaconf_private import with_environment


def test_a_surrounding_hydra_application_is_set_aside_and_restored() -> None:
    with hydra.initialize(None, version_base="1.2", job_name="host"):
        host = GlobalHydra.instance()
        assert host.is_initialized()
        with hydra_private.beside_host():
            assert not GlobalHydra.instance().is_initialized()
            with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="inner"):
                inner = hydra.compose("train", return_hydra_config=True)
                assert inner.hydra.job.name == "inner"
        assert GlobalHydra.instance() is host
        assert hydra.compose(return_hydra_config=True).hydra.job.name == "host"


def test_state_set_up_inside_does_not_stay() -> None:
    with hydra_private.beside_host():
        hydra.initialize_config_dir(str(conf_dir()), version_base="1.3").__enter__()
    assert not GlobalHydra.instance().is_initialized()


def test_a_launchers_context_has_hydras_loader_and_callbacks() -> None:
    with hydra_private.beside_host(), hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = hydra.compose("train", return_hydra_config=True)
        context = hydra_private.context(config)
        assert isinstance(context, HydraContext)
        assert context.config_loader.get_sources()
        context.callbacks.on_multirun_start(config=config, config_name="train")


def test_hydras_own_targets_are_those_of_a_plain_configuration() -> None:
    with hydra_private.beside_host(), hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = hydra.compose("train", return_hydra_config=True).hydra
    assert {config.launcher._target_, config.sweeper._target_} == hydra_private.OWN_TARGETS


def test_values_are_set_as_by_hydra() -> None:
    config = OmegaConf.create({"a": {"b": [1, 2]}, "c": None})
    hydra_private.set_values(config, OverridesParser.create().parse_overrides(["a.b=[3]", "c='4'", "a.b=[5,6]"]))
    assert config == {"a": {"b": [5, 6]}, "c": "4"}


def test_the_environment_is_what_the_resolver_makes_of_it_in_the_copy_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULMEN_TEST", "host")
    config = OmegaConf.create(
        {
            "plain": "${oc.env:FULMEN_TEST}",
            "nested": {"list": [{"key": "${oc.env:FULMEN_TEST,none}"}]},
            "name": "FULMEN_TEST",
            "put_together": "${oc.env:${name}}",
            "referred": "${plain}",
            "decoded": "${oc.decode:'{a: \"${oc.env:FULMEN_TEST}\"}'}",
            "null": None,
        }
    )
    copied = with_environment(config, lambda *arguments: "+".join(map(str, arguments)))
    assert OmegaConf.to_container(copied, resolve=True) == {
        "plain": "FULMEN_TEST",
        "nested": {"list": [{"key": "FULMEN_TEST+none"}]},
        "name": "FULMEN_TEST",
        "put_together": "FULMEN_TEST",
        "referred": "FULMEN_TEST",
        "decoded": {"a": "FULMEN_TEST"},
        "null": None,
    }
    assert config.plain == config.nested.list[0].key == os.environ["FULMEN_TEST"] == "host"
