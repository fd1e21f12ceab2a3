"""Hydra's own flags: showing the composed configuration, and completing overrides in a shell."""

import argparse
import sys
from collections.abc import Sequence

import hydra
from omegaconf import DictConfig

from fulmen.config.compose import compose, for_hydra
from fulmen.config.groups import conf_dir
from fulmen.errors import ConfigurationError

SHOWN = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def run(arguments: Sequence[str], config_dir: str | None) -> int:
    """Does what the flags say; trains nothing.

    Args:
        arguments: flags and overrides.
        config_dir: the folder of the user's own choices.

    Raises:
        ConfigurationError: a flag lacks its value, has a wrong one or stands alone, or as `compose`.
    """
    options, overrides = _read(arguments)
    flags = [argument for argument in arguments if argument not in overrides]
    if not options.shell_completion:  # its overrides are Hydra's: install=bash, query=bash
        compose(overrides, config_dir)  # for its checks
        overrides = for_hydra(overrides)
    sys.argv = [sys.argv[0], *flags, *overrides, *([] if config_dir is None else ["--config-dir", config_dir])]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(_nothing)()
    return 0


def _read(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Returns the flags, as Hydra would read them, and the overrides."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    parser.add_argument("--info", "-i", nargs="?", choices=SHOWN, const="all")
    parser.add_argument("--package", "-p")
    for name in ("--resolve", "--hydra-help"):
        parser.add_argument(name, action="store_true")
    parser.add_argument("--shell-completion", "-sc", action="store_true")
    parser.add_argument("--multirun", "-m", action="store_true")
    try:
        options, overrides = parser.parse_known_args(list(arguments))
    except argparse.ArgumentError as error:
        raise ConfigurationError(f"{error}; --cfg job shows the configuration, and --help what there is") from error
    if options.multirun:
        raise ConfigurationError("--cfg and --info show one run; leave -m out, and give each key one value")
    if options.cfg is None and (options.resolve or options.package is not None):
        raise ConfigurationError("--resolve and --package go with --cfg, as --cfg job --package model")
    return options, overrides


def _nothing(_config: DictConfig) -> None:
    """Runs nothing: Hydra's flags only print."""
