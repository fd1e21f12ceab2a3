"""A run's configuration, read from its folder: to go on with (`resume=`), or to run once more (`rerun=`).

Permissions do not come from files: `allow_targets` and `trust_checkpoint` count only where they are typed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc

from fulmen.composition import compose, search_path
from fulmen.words import ConfigurationError, check_choice, read, suggestion, unknown

PERMISSIONS = ("allow_targets", "trust_checkpoint")
NOT_SET = ("choices", "experiment")
"""What follows from words and is not set by a key."""
BESIDE_RESUME = ("trainer.max_epochs", "trainer.max_steps", "accelerator", *PERMISSIONS)
"""All that may be said beside `resume=`: how long and where a run goes on, and what it may do."""


def configuration(folder: Path) -> DictConfig:
    """The configuration of the run in `folder`, as `compose` gives one.

    Raises:
        ConfigurationError: there is no run in `folder`, or its `config.yaml` is damaged.
    """
    try:
        record = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(_no_run(folder)) from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{folder / 'config.yaml'} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(record, dict) or not {"sizes", "choices", "trainer", "data", "model"} <= record.keys():
        raise ConfigurationError(f"{folder / 'config.yaml'} is not the configuration of a run")
    return of_record(record)


def of_record(record: Mapping[str, Any]) -> DictConfig:
    """A recorded configuration as `compose` gives one: without sizes, with permissions still to be given."""
    config = OmegaConf.create(
        {name: value for name, value in record.items() if name != "sizes"}
        | {"overrides": [], "allow_targets": [], "trust_checkpoint": False}
    )
    OmegaConf.set_struct(config, True)
    return config


def status(folder: Path) -> dict[str, Any]:
    """The content of `status.json`; nothing where it is not there, or not whole."""
    try:
        content: dict[str, Any] = json.loads((folder / "status.json").read_text("utf-8"))
        return content
    except (OSError, ValueError):
        return {}


def to_resume(folder: Path, words: Sequence[str]) -> DictConfig:
    """The configuration with which the run in `folder` goes on.

    Args:
        folder: the run's.
        words: those of `BESIDE_RESUME`.

    Raises:
        ConfigurationError: another word is given, or as `configuration`.
    """
    config = configuration(folder)
    for override in map(read, words):
        key = override.key_or_group
        if key not in BESIDE_RESUME or override.type is not OverrideType.CHANGE:
            raise ConfigurationError(
                f"resume= goes on with the run's own configuration, and {override.input_line} is not one of "
                f"{', '.join(BESIDE_RESUME)}; to train with changes, take rerun={folder}"
            )
        if key == "accelerator":
            check_choice(override, search_path(None))
            config.choices.accelerator = override.value()
            key = "trainer.accelerator"
        OmegaConf.update(config, key, override.value())
    config.overrides = list(words)
    return config


def to_rerun(folder: Path, words: Sequence[str], config_dir: str | None) -> DictConfig:
    """The configuration of the run in `folder`, with `words` changed.

    The words typed then are composed anew together with the new ones, so that what refers to a changed key follows it;
    where today's choices would give another value than the one on record, that one is taken.

    Raises:
        ConfigurationError: as `configuration` and `compose`.
    """
    recorded = _leaves(plain(configuration(folder)))
    chosen = {read(word).key_or_group for word in words}
    if "experiment" in chosen:
        raise ConfigurationError("experiment= is a configuration of its own; leave rerun= out")
    typed = [word for word in status(folder).get("overrides", []) if not _replaced(read(word).key_or_group, chosen)]
    config, then = compose([*typed, *words], config_dir), _leaves(plain(compose(typed, config_dir)))
    for key, value in recorded.items():
        if key.partition(".")[0] in NOT_SET or _replaced(key, chosen):
            continue
        if key not in then:
            raise ConfigurationError(f"that run has the key '{key}', which is no more; take the commit it ran with")
        if then[key] != value:
            OmegaConf.update(config, key, value, merge=False)
    return config


def with_data(config: DictConfig, words: Sequence[str]) -> DictConfig:
    """The configuration with other data: a choice, or keys of the choice it has.

    Raises:
        ConfigurationError: a word is about something else, or names what does not exist.
    """
    overrides = [read(word) for word in words]
    for override in overrides:
        key = override.key_or_group
        if key not in ("data", "data_root") and not key.startswith("data."):
            raise ConfigurationError(f"{override.input_line} would change the network; only data can be another here")
    if any(override.key_or_group == "data" for override in overrides):
        fresh, config = compose(words), config.copy()
        OmegaConf.set_struct(config, False)
        config.data, config.data_root = fresh.data, fresh.data_root
        return config
    config, known = config.copy(), [f"data.{name}" for name in config.data if not str(name).startswith("_")]
    for override in overrides:
        key = override.key_or_group
        if key == "data_root":
            key = "data.root"
        if key not in known:
            raise ConfigurationError(unknown(key, known, search_path(None)))
        OmegaConf.update(config, key, override.value(), merge=False)
    return config


def differences(one: Path, other: Path) -> list[str]:
    """What a run and its repetition have not in common, a line each: commit, versions, machine, figures."""
    before, after = ({**found, **found.get("versions", {})} for found in (status(one), status(other)))
    names = ("commit", "dirty", *after.get("versions", {}), "host", "device", "threads")
    lines = [
        f"  {name}: {before.get(name)} -> {after.get(name)}" for name in names if before.get(name) != after.get(name)
    ]
    equal = _bytes(one / "metrics.json") == _bytes(other / "metrics.json")
    figures = f"figures {'equal, to the last bit, those' if equal else 'differ from those'} of {one}"
    return [figures, *(["what else differs:", *lines] if lines else [])]


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def plain(config: DictConfig) -> dict[str, Any]:
    """The configuration as `config.yaml` keeps it: every reference worked out.

    But for those to the environment, which may hold what nobody should read in a file.
    """
    with _environment_unread():
        found = OmegaConf.to_container(config, resolve=True)
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items() if key != "overrides"}


@contextmanager
def _environment_unread() -> Iterator[None]:
    """While it lasts, `${oc.env:NAME}` stands for its own text."""
    OmegaConf.register_new_resolver("oc.env", lambda *words: f"${{oc.env:{','.join(map(_word, words))}}}", replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def _word(value: Any) -> str:
    return "null" if value is None else str(value)


def _leaves(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every value by its dotted key; a list is one value."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        found |= _leaves(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def _replaced(key: str, chosen: set[str]) -> bool:
    """Whether a word sets `key` or chooses its group anew; permissions are always given anew."""
    return key in PERMISSIONS or key in chosen or key.partition(".")[0] in chosen or key.startswith("hydra")


def _no_run(folder: Path) -> str:
    """The sentence about a folder in which there is no run."""
    if any((folder / name).is_dir() for name in ("0", "1")):
        return f"{folder} is a sweep's folder; name one of its runs, as {folder / '0'}"
    if folder.is_dir():
        return f"{folder} is no run's folder: it has no config.yaml"
    beside = [path.name for path in folder.parent.iterdir() if path.is_dir()] if folder.parent.is_dir() else []
    return f"there is no folder {folder}{suggestion(folder.name, beside)}"
