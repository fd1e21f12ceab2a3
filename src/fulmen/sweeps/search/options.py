"""`hydra.sweeper.*`, the keys of `sweep=optuna`; their defaults stand in `conf/sweep/optuna.yaml`."""

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fulmen.config.groups import conf_dir
from fulmen.config.overrides import parse
from fulmen.errors import ConfigurationError
from fulmen.rules import Rule, alternatives, check, many, one_of, or_null, split_override, text, whole

WORD: Final = "sweep=optuna"
KEYS: Final = "hydra.sweeper."
RULES: Final[Mapping[str, Rule]] = {
    "n_trials": whole(1, or_else=[None]),
    "sampler": one_of("tpe", "gp", "cmaes", "random", "grid"),
    "pruner": one_of("median", "hyperband", "none"),
    "objectives": or_null(many(text())),
    "n_startup_trials": whole(0),
    "n_jobs": whole(1),
    "storage": text(or_null=True),
    "study_name": text(or_null=True),
}


def split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the overrides about the search, and all others."""
    about = [override for override in overrides if re.match(r"[+~]*hydra[./]sweeper", override)]
    return about, [override for override in overrides if override not in about]


def read(overrides: Sequence[str]) -> dict[str, Any]:
    """Returns every key, with its default or what was typed.

    Raises:
        ConfigurationError: Optuna is not installed, or there is no such key, or its value is not what it must be.
    """
    check_installed()
    found: dict[str, Any] = yaml.safe_load((conf_dir() / "sweep" / "optuna.yaml").read_text("utf-8"))
    for override in map(parse, map(_quoted, overrides)):
        name = override.key_or_group.removeprefix(KEYS)
        if override.is_sweep_override():
            raise ConfigurationError(f"{override.input_line} names several values, and a search has one")
        if name not in found:
            near = alternatives(name, found, "it has")
            raise ConfigurationError(f"there is no {override.input_line} in {WORD}{near}")
        found[name] = override.value()
    for name, rule in RULES.items():
        check(f"{KEYS}{name}", found[name], rule)
    _check_together(found, {split_override(text)[0] for text in overrides})
    return found


def check_installed() -> None:
    """Raises ConfigurationError where Optuna is not there."""
    for library in ("optuna", "cmaes"):
        if find_spec(library) is None:
            raise ConfigurationError(f"{WORD} needs {library}, which comes with: pip install 'fulmen[optuna]'")


def address(storage: str) -> str:
    """Returns the address of a database, with what it takes from the environment, such as a password, put in.

    Raises:
        ConfigurationError: the environment does not have that.
    """
    try:
        return str(OmegaConf.create({"storage": storage}).storage)
    except OmegaConfBaseException as error:
        why = str(error).partition("\n")[0]
        raise ConfigurationError(f"{KEYS}storage={storage} cannot be read: {why}") from error


def _quoted(override: str) -> str:
    """Quotes an address, which has characters that Hydra's grammar needs in quotes."""
    key, value = split_override(override)
    plain = key == f"{KEYS}storage" and value not in ("", "null") and value[0] not in "'\""
    return f"{key}='{value}'" if plain else override


def _check_together(found: dict[str, Any], typed: set[str]) -> None:
    if found["storage"] is not None and "://" not in address(found["storage"]):
        raise ConfigurationError(
            f"{KEYS}storage is {found['storage']!r}, but must be an address, as postgresql://user@host/database"
        )
    if found["study_name"] is not None and found["storage"] is None:
        raise ConfigurationError(f"{KEYS}study_name is a name in a database; add {KEYS}storage=<address>")
    if found["objectives"] is None:
        return
    if len(found["objectives"]) < 2:
        raise ConfigurationError(f"{KEYS}objectives needs two or more metrics; for one, use score=")
    if found["sampler"] == "cmaes":
        raise ConfigurationError(f"{KEYS}sampler=cmaes is for one objective; take tpe, gp, random or grid")
    if f"{KEYS}pruner" in typed and found["pruner"] != "none":
        raise ConfigurationError(f"{KEYS}pruner={found['pruner']} is for one objective; leave it out")
    found["pruner"] = "none"
