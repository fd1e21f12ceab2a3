"""From overrides to a configuration: Hydra composes, and its refusals become one sentence.

Nothing here imports torch.
"""

import functools
import pickle
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from fulmen.config import allowlist, tuned
from fulmen.config.groups import conf_dir, groups, search_path
from fulmen.config.hydra_private import beside_host, set_values
from fulmen.config.overrides import COLUMNS, check_choice, check_keys, parse, quoted, read, several, unknown
from fulmen.errors import ConfigurationError, advice
from fulmen.rules import SIGNATURES, alternatives, did_you_mean, split_override
from fulmen.runs.settings import MAPPINGS

TABLE = "fulmen.data.sets.table.Table"
MADE = (*SIGNATURES, "backprop", "baseline", "figures")
"""Groups, among other kinds of parts, whose choice names what it makes."""
GLOBAL = re.compile(r"^# *@package +_global_\s*$", re.MULTILINE)
ADDS = re.compile(r"^# *@package\s+(\w+)|^defaults:", re.MULTILINE)
HYDRAS = re.compile(r"((override|optional)\s+)*/?hydra\b")


def compose(overrides: Iterable[str] = (), config_dir: str | Path | None = None) -> DictConfig:
    """Composes the configuration that the overrides describe.

    Args:
        overrides: `group=choice` and `key=value`, as on the command line.
        config_dir: a folder of the user's own with further choices, laid out as `conf/`; may hold Python files, too.

    Returns:
        The configuration, with two entries beside those of `conf/train.yaml`: `choices`, the choice made in each group,
        and `overrides`, as given.

    Raises:
        ConfigurationError: an override cannot be read; a group, choice or key does not exist; or a target is not
            allowed.
    """
    overrides = list(overrides)
    folders = search_path(config_dir)
    parsed = [read(text) for text in overrides]
    for override in parsed:
        check_single(override, advice("add -m to run them all", "fulmen.sweep runs them all"))
        check_choice(override, folders)
        _check_file(override.key_or_group, str(override.value()), folders)
    try:
        config = _compose(overrides, folders)
    except Exception as error:  # Hydra and OmegaConf raise a ValueError or a TypeError for some overrides
        check_keys(parsed, _known(parsed, folders), folders)
        raise ConfigurationError(_sentence(error, folders)) from error
    if any(override.type is not OverrideType.CHANGE or override.key_or_group == "experiment" for override in parsed):
        _check_against_choices(config, folders)
    for section, key in ((config, "metrics"), (config.figures, "own")):
        _spell_out(section, key)
    allowlist.check(config, typed=overrides)
    _check_made(config)
    try:
        config = _finish(config, overrides)
        tuned.check(config)
        tuned.warn_if_changed(config)
    except OmegaConfBaseException as error:  # a value that is missing, or refers to what is not there
        raise ConfigurationError(_sentence(error, folders)) from error
    return config


def _check_made(config: DictConfig) -> None:
    """Checks that each choice of a part names what it makes."""
    for group, choice in config.hydra.runtime.choices.items():
        section: Any = config.get(group) if group in MADE else None
        if OmegaConf.is_dict(section) and "_target_" not in section:
            must = f"; it must be {SIGNATURES[group]}" if group in SIGNATURES else ""
            raise ConfigurationError(f"{group}={choice} has no '_target_' that names what it makes{must}")


def _spell_out(section: DictConfig, key: str) -> None:
    """Writes each function of the user's own, such as `my_metrics.profit_score`, as the target that it stands for."""
    found: Any = OmegaConf.to_container(section, resolve=False)
    if key not in found:  # a choice of the user's own need not have it
        return
    parts = found[key]
    section[key] = [
        {"_target_": each, "_partial_": True}
        if isinstance(each, str) and re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", each)
        else each | {"_partial_": True}
        if isinstance(each, dict)
        else each
        for each in (parts if isinstance(parts, list) else [parts])
    ]


def _compose(overrides: Sequence[str], folders: Sequence[Path]) -> DictConfig:
    """Lets Hydra compose; where it has composed the same choices of ours before, only the keys are set anew.

    Nor is Hydra asked about a choice that is its file and nothing else: the file's content is put in its place.
    """
    given = for_hydra(overrides)
    parsed = [parse(text) for text in given]
    if any(override.type is not OverrideType.CHANGE for override in parsed):
        return _compose_anew(given, folders)
    values = [override for override in parsed if _is_value(override, folders)]
    choices = [override for override in parsed if override not in values]
    files = tuple((str(path), path.stat().st_mtime_ns) for path in folders[0].rglob("*.yaml"))
    parts = _parts(choices, folders, files)
    left = [override for override in choices if override.key_or_group not in parts]
    if folders[1:] and not all((folders[0] / f"{each.key_or_group}/{each.value()}.yaml").is_file() for each in left):
        return _compose_anew(given, folders)
    texts = tuple(text for text, override in zip(given, parsed, strict=True) if override in left)
    config: DictConfig = pickle.loads(_compose_choices(texts, folders[0], files))
    for group, path in parts.items():
        config[group] = pickle.loads(_part(path, path.stat().st_mtime_ns))
        config.hydra.runtime.choices[group] = path.stem
    set_values(config, values)
    return config


def _parts(choices: Sequence[Override], folders: Sequence[Path], files: tuple[tuple[str, int], ...]) -> dict[str, Path]:
    """Returns the files of choices that need no Hydra, by their groups."""
    chosen = {override.key_or_group: override.value() for override in choices}
    packaged = any(override.package is not None for override in choices)
    if packaged or "experiment" in chosen or not all((folders[0] / group).is_dir() for group in chosen):
        return {}
    found = {
        group: next(filter(Path.is_file, (folder / group / f"{choice}.yaml" for folder in folders)), None)
        for group, choice in chosen.items()
        if group in _separate(folders[0], files)
    }
    return {group: path for group, path in found.items() if path and not ADDS.search(path.read_text("utf-8"))}


@functools.lru_cache(maxsize=1)
def _separate(folder: Path, _files: tuple[tuple[str, int], ...]) -> set[str]:
    """Returns the groups of `train.yaml` of which every file is what it adds, and to which no other file adds."""
    defaults = _content(folder / "train.yaml")["defaults"]
    groups = {group for entry in defaults if isinstance(entry, dict) for group in entry}
    for path in folder.glob("*/*.yaml"):
        if adds := ADDS.search(path.read_text("utf-8")):
            groups -= {path.parent.name, adds[1]}
    return groups


@functools.lru_cache(maxsize=256)
def _part(path: Path, _written: int) -> bytes:
    return pickle.dumps(OmegaConf.create(_content(path)))


def _is_value(override: Override, folders: Sequence[Path]) -> bool:
    """Returns whether an override gives a key a value that refers to nothing."""
    if override.package is not None or any((folder / override.key_or_group).is_dir() for folder in folders):
        return False
    return re.search(r"_target_|[{$]", str(override.input_line)) is None


@functools.lru_cache(maxsize=256)
def _compose_choices(overrides: tuple[str, ...], folder: Path, _files: tuple[tuple[str, int], ...]) -> bytes:
    """Returns the configuration, pickled: loading a copy takes far less time than Hydra takes to compose it.

    The folder's files and when each was written are given so that one that has changed is read again.
    """
    return pickle.dumps(_compose_anew(overrides, [folder]))


def _compose_anew(overrides: Sequence[str], folders: Sequence[Path]) -> DictConfig:
    addresses = [str(folder).replace("\\", "/").replace("'", "\\'") for folder in folders[1:]]
    searched = ",".join(f"'file://{address}'" for address in addresses)
    own = [f"hydra.searchpath=[{searched}]"] if searched else []
    with beside_host(), hydra.initialize_config_dir(str(folders[0]), version_base="1.3"):
        return hydra.compose("train", [*own, *overrides], return_hydra_config=True)


def for_hydra(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides for Hydra: paths quoted, and without `experiment=null`, a default that it cannot read."""
    return [quoted(override) for override in overrides if override != "experiment=null"]


def check_single(override: Override, way_out: str = "give one") -> None:
    """Raises ConfigurationError if an override names several values, though only one run is meant."""
    if override.is_sweep_override():
        as_one = ", or write a list as [a,b], or a text as 'a,b'"
        if (group := override.key_or_group) in groups([conf_dir()]):
            as_one = several(group)
        raise ConfigurationError(f"{override.input_line} names several values; {way_out}{as_one}")


def _known(parsed: Sequence[Override], folders: Sequence[Path]) -> dict[str, Any]:
    """Returns the keys under these choices, before any key is set; if the choices fail too, under the defaults."""
    choosing = [o.input_line or "" for o in parsed if any((folder / o.key_or_group).is_dir() for folder in folders)]
    try:
        return _keys(_compose(choosing, folders))
    except Exception:  # as above
        return _keys(_compose([], folders))


def _check_against_choices(config: DictConfig, folders: Sequence[Path]) -> None:
    """Compares the keys with those of the choices alone: experiments and `+key=value` may not add any.

    Raises:
        ConfigurationError: a key is there that no choice has, or one is missing.
    """
    chosen = {group: choice for group, choice in config.hydra.runtime.choices.items() if "hydra/" not in group}
    experiment = chosen.pop("experiment", None)
    source = f" (in experiment={experiment})" if experiment else ""
    known = _keys(_compose([f"{group}={choice}" for group, choice in chosen.items()], folders))
    there = _keys(config)
    for key in there:
        if key not in known and not key.startswith(tuple(f"{each}." for each in MAPPINGS)):
            raise ConfigurationError(unknown(key, known, folders) + source)
    for key in known:
        if key not in there:
            raise ConfigurationError(f"the key '{key}' is removed{source}, but a run needs it")


def _keys(config: DictConfig) -> dict[str, Any]:
    """Returns every key, dotted, of a configuration without Hydra's own part."""
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return dict(_walk({key: value for key, value in plain.items() if key != "hydra"}))


def _walk(config: Mapping[Any, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in config.items():
        yield f"{prefix}{key}", value
        if isinstance(value, Mapping):
            yield from _walk(value, f"{prefix}{key}.")


def _sentence(error: Exception, folders: Sequence[Path]) -> str:
    """Returns the part of Hydra's message that helps a user."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file is not None:
        group, _, name = error.missing_cfg_file.rpartition("/")
        there = list(error.options or [])
        return f"there is no {group}={name}{alternatives(name, there)}"
    if isinstance(error, yaml.MarkedYAMLError):
        return _not_yaml(error)
    if wrong := re.match(r"In '(\w+)/(.+?)': Could not override '(?:\1/)?(.+?)'", str(error)):
        group, choice, name = wrong.groups()
        near = did_you_mean(f"override /{name}", [f"override /{group}" for group in groups(folders)])
        return f"there is no 'override /{name}'{near or '; see --help for the groups'} (in {group}={choice})"
    if twice := re.match(r"Multiple values for (\w+)\. To override a value use 'override \w+: (.+)'", str(error)):
        group, choice = twice.groups()
        return f"{group} is chosen twice; in the defaults of a file of your own, write '- override /{group}: {choice}'"
    return " ".join(str(error if str(error) else error.__cause__).split("\n")[0].split())


def _finish(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    if config.data._target_ != TABLE:
        _read_values(config.data, overrides)
    with open_dict(config):
        chosen = config.pop("hydra").runtime.choices
        config.experiment = chosen.get("experiment")
        config.choices = {group: chosen[group] for group in config if group in chosen and group != "experiment"}
        config.choices.accelerator = chosen.accelerator
        config.overrides = literal(overrides)
        config.allow_targets = allowlist.listed(config.allow_targets)
        if config.trainer.max_epochs is None and config.trainer.max_steps is None:
            config.trainer.max_epochs = config.data.epochs
    return config


def _read_values(data: DictConfig, overrides: Iterable[str]) -> None:
    """Reads the values of keys that name columns, which were taken for texts, where other data gives them a meaning."""
    for key in {split_override(text)[0] for text in overrides} & set(COLUMNS):
        name = key.removeprefix("data.")
        texts = list(data[name]) if OmegaConf.is_list(data[name]) else [data[name]]
        values = [parse(f"value={text}").value() if re.fullmatch(r"[\w.+-]+", str(text)) else text for text in texts]
        data[name] = values if OmegaConf.is_list(data[name]) else values[0]


def literal(overrides: Iterable[str]) -> list[str]:
    """Returns overrides as texts in a configuration that stay as they were typed: it would resolve their references."""
    return [re.sub(r"(\\*)\$\{", r"\1\1\\${", text) for text in overrides]


def _check_file(group: str, choice: str, folders: Sequence[Path]) -> None:
    """Reads the file of a choice that is not among those shipped: of two files Hydra takes the first, ours.

    Raises:
        ConfigurationError: the file cannot be read, is no mapping, is an experiment whose keys would end up in the
            wrong place, or sets what is Hydra's.
    """
    paths = [folder / group / f"{choice}.yaml" for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None or path == paths[0]:
        return
    content, is_global = _content(path), GLOBAL.search(path.read_text("utf-8")) is not None
    if group == "experiment" and not is_global:
        raise ConfigurationError(f"{path} is an experiment without its first line; add '# @package _global_'")
    defaults = content.get("defaults")
    entries = [entry for entry in defaults if isinstance(entry, dict)] if isinstance(defaults, list) else []
    keys = [str(key) for entry in entries for key in entry]  # groups, with `override` or `optional` before them
    if any(HYDRAS.match(key) for key in [*keys, *(content if is_global else ())]):
        raise ConfigurationError(
            f"{path} sets keys of Hydra itself, which has no effect here; remove 'hydra', "
            "and choose the run's folder with run_dir=<folder>"
        )


def _not_yaml(error: yaml.MarkedYAMLError) -> str:
    """Returns the sentence about a file that is no YAML: which, and where in it."""
    mark = error.problem_mark or error.context_mark
    assert mark is not None
    return f"{mark.name}, line {mark.line + 1}: not valid YAML: {error.problem}"


def _content(path: Path) -> dict[str, Any]:
    try:
        content = OmegaConf.load(path)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError(_not_yaml(error)) from error
    except (OSError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigurationError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, DictConfig):
        raise ConfigurationError(f"{path} is a list, but must hold one 'key: value' per line, such as 'seed: 1'")
    plain: Any = OmegaConf.to_container(content, resolve=False)
    return {str(key): value for key, value in plain.items()}
