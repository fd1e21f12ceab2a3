"""Hydra's private names that Fulmen relies on; `tests/config/test_private.py` fails when a new Hydra changes one."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.types import HydraContext
from hydra.version import VersionBase
from omegaconf import DictConfig

OWN_TARGETS = frozenset(
    f"hydra._internal.core_plugins.basic_{part}.Basic{part.title()}" for part in ("launcher", "sweeper")
)
"""Targets in Hydra's part of every configuration."""
STATE = (GlobalHydra, JobRuntime, VersionBase)


@contextmanager
def beside_host() -> Iterator[None]:
    """Sets the state of a surrounding Hydra application aside and restores it at the end."""
    instances: dict[Any, Any] = Singleton._instances
    host = {kind: instances.pop(kind) for kind in STATE if kind in instances}
    try:
        yield
    finally:
        now: dict[Any, Any] = Singleton._instances  # a launcher that runs jobs in this process has put another there
        for kind in STATE:
            now.pop(kind, None)
        now.update(host)


def context(config: DictConfig) -> HydraContext:
    """Returns what a launcher is made with; Hydra must be initialized."""
    hydra = GlobalHydra.instance().hydra
    assert hydra is not None
    return HydraContext(hydra.config_loader, Callbacks(config))


def set_values(config: DictConfig, overrides: Iterable[Override]) -> None:
    """Gives keys of a composed configuration the values of overrides, as Hydra does where it composes."""
    ConfigLoaderImpl._apply_overrides_to_config(list(overrides), config)
