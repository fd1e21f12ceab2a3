"""A run's configuration, read from its folder: to continue (`resume=`), or to run again (`rerun=`).

Permissions do not come from files: `allow_targets` and `trust_checkpoint` count only where they are typed.
"""

import functools
import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fulmen.config import allowlist
from fulmen.config.compose import check_single, compose, literal
from fulmen.config.groups import choices, search_path
from fulmen.config.omegaconf_private import ENVIRONMENT, reference, sentence, with_environment
from fulmen.config.overrides import check_choice, read, unknown
from fulmen.errors import ConfigurationError, command, permission, warn
from fulmen.rules import check, yes_no
from fulmen.runs import folder as folders
from fulmen.runs.settings import LABELS, differing, leaves, settings, typed

PERMISSIONS = ("allow_targets", "trust_checkpoint")
NOT_SET = ("choices", "experiment")
"""Entries that follow from overrides and are not set by a key."""
GIVEN_ANEW = (*PERMISSIONS, *LABELS, "run_dir", "tuned")
"""Keys that a repeated run does not take from the first one."""
OF_THE_PROCESS = (*PERMISSIONS, "quiet")
"""What a process may do and prints, which is no reason to continue a run."""
BESIDE_RESUME = ("trainer.max_epochs", "trainer.max_steps", "accelerator", *OF_THE_PROCESS)
"""All keys that may be given beside `resume=`: how long and where a run continues, what it may do and prints."""
PLACES = ("path", "root", "mirrors")
"""Keys of a data set that say where its rows come from."""


def configuration(folder: Path) -> DictConfig:
    """Returns the configuration of the run in `folder`, as `compose` would.

    Raises:
        ConfigurationError: there is no run in `folder`, or its `config.yaml` is damaged.
    """
    return anchored(of_record(folders.read_config(folder)), folders.load_status(folder).get("directory", ""))


def anchored(config: DictConfig, began: str) -> DictConfig:
    """Returns a run's configuration with paths that lead where they led in the folder that it was started from.

    If there is nothing any more, but in the current folder there is, they lead there.
    """
    if not began or Path(began) == Path.cwd():
        return config
    is_own = config.data._target_ not in allowlist.shipped()  # any of its keys may be a path
    for key, path in leaves(plain(config)):
        is_path = key in ("data_root", "data.path", "data.root") or (key == "start_from" and "://" not in str(path))
        if not isinstance(path, str) or not path or ENVIRONMENT in path or path.startswith("~"):
            continue
        there = Path(began, path)
        is_there = (is_path or (is_own and key.startswith("data."))) and there.exists()
        if is_there or (is_path and not Path(path).exists()):
            OmegaConf.update(config, key, str(there), merge=False)
    return config


def of_record(record: Mapping[str, Any]) -> DictConfig:
    """Returns a recorded configuration as `compose` would: without sizes, with permissions still to be given.

    Raises:
        ConfigurationError: it was recorded by an earlier version of Fulmen, with a part in a module that is gone.
    """
    for part in record.values():
        target = str(part.get("_target_", "")) if isinstance(part, Mapping) else ""
        if target.startswith("fulmen.") and target not in allowlist.shipped():
            try:
                found = find_spec(target.rpartition(".")[0])
            except (ImportError, ValueError):  # a package above it is gone as well
                found = None
            if found is None:
                raise ConfigurationError(
                    f"this run was recorded by an earlier version of Fulmen, where {target} was; "
                    "train it again, or check out the commit in its status.json"
                )
    config = OmegaConf.create(
        {name: value for name, value in record.items() if name != "sizes"}
        | {"overrides": [], "allow_targets": [], "trust_checkpoint": False}
    )
    OmegaConf.set_struct(config, True)
    return config


def to_resume(folder: Path, overrides: Sequence[str]) -> DictConfig:
    """Returns the configuration with which the run in `folder` is resumed.

    Raises:
        ConfigurationError: an override is neither one of `BESIDE_RESUME` nor a key of the callbacks, which may end a
            run; or as `configuration`.
    """
    config = configuration(folder)
    allowed = (*BESIDE_RESUME, *callback_keys(config))
    for override in map(read, overrides):
        check_single(override)
        key = override.key_or_group
        if key not in allowed or override.type is not OverrideType.CHANGE:
            raise ConfigurationError(
                f"resume= continues with the run's own configuration, and {override.input_line} is not one of "
                f"{', '.join(allowed)}; to train with changes, take {command(f'rerun={folder}')}"
            )
        if key == "accelerator":
            check_choice(override, search_path(None))
            config.choices.accelerator = override.value()
            key = "trainer.accelerator"
        OmegaConf.update(config, key, override.value())
    for name in ("trust_checkpoint", "quiet"):
        check(name, config.get(name, False), yes_no)
    if config.trainer.max_epochs is None and config.trainer.max_steps is None:
        raise ConfigurationError("trainer.max_epochs and trainer.max_steps are both null, and a run must end somewhere")
    config.overrides = literal(overrides)
    check_environment(config, folder, trust=config.trust_checkpoint)
    return config


def callback_keys(config: Mapping[str, Any] | DictConfig) -> list[str]:
    """Returns the keys of a run's callbacks."""
    return [f"callbacks.{name}" for name in config.get("callbacks") or () if not str(name).startswith("_")]


def to_rerun(folder: Path, overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    """Returns the configuration of the run in `folder`, with `overrides` changed.

    Its choices and overrides are composed again together with the new ones, so that what refers to a changed key
    follows it; where today's choices would give another value than the one on record, that one is taken.

    Raises:
        ConfigurationError: as `configuration` and `compose`.
    """
    before = configuration(folder)
    chosen = {read(text).key_or_group for text in overrides}
    if "experiment" in chosen:
        raise ConfigurationError("experiment= is a configuration of its own; leave rerun= out")
    allowed = [text for text in overrides if read(text).key_or_group in PERMISSIONS]
    # what composes that run's configuration: its experiment, its choice in each group, the keys typed
    typed = [] if before.experiment is None else [f"experiment={before.experiment}"]
    there = search_path(config_dir)
    from_python = [group for group, choice in before.choices.items() if choice not in choices(group, there)]
    for key in sorted(chosen):
        if (group := key.partition(".")[0]) in from_python and key != group:
            raise ConfigurationError(
                f"{key} cannot be changed: {group}={before.choices[group]} of {folder} is no choice here; "
                f"name its folder of choices with --config-dir, or give {group}= anew"
            )
    typed += [f"{group}={choice}" for group, choice in before.choices.items() if group not in from_python]
    given = folders.load_status(folder).get("overrides") or []
    typed += [text for text in given if read(text).key_or_group not in (*before.choices, "experiment", *GIVEN_ANEW)]
    kept = [text for text in typed if not _replaced(read(text).key_or_group, chosen)]
    repeated = compose([*typed, *allowed], config_dir)
    for checked in (before, repeated):
        check_environment(checked, folder, trust="trust_checkpoint=true" in overrides)
    config, then = compose([*kept, *overrides], config_dir), dict(leaves(plain(repeated)))
    for group in from_python:  # a class that `fulmen.train` was given is no choice, and only the record has it
        if group not in chosen:
            config[group], config.choices[group] = before[group], before.choices[group]
    for key, value in leaves(plain(before)):
        if key.partition(".")[0] in from_python:
            continue
        if key.partition(".")[0] in NOT_SET or _replaced(key, chosen):
            continue
        if key not in then:
            raise ConfigurationError(f"that run has the key '{key}', which is no more; take the commit it ran with")
        if then[key] != value:
            OmegaConf.update(config, key, value, merge=False)
    if not chosen - set(GIVEN_ANEW) and "tuned" not in chosen:
        config.tuned = before.tuned  # the same run, whose learning rate or batch size came from there
    return config


def without_places(config: DictConfig) -> DictConfig:
    """Returns a configuration whose data comes from where the shipped `conf/` says, and not from where its author did.

    A run's folder is the user's own record, but a checkpoint alone may come from anybody: its paths and addresses would
    have files read, and requests sent, where its author likes.

    Raises:
        ConfigurationError: it names an address for a data set that is not Fulmen's, which has no shipped value.
    """
    config = config.copy()
    line = f"_target_: {config.data._target_}\n"
    files = choices("data", search_path(None)).items()
    choice = next((name for name, file in files if line in file.read_text("utf-8")), None)
    if choice is None:
        for key, value in leaves(plain(config)["data"]):
            for text in value if isinstance(value, list) else [value]:
                if isinstance(text, str) and ("://" in text or text.startswith(("//", "\\\\"))):
                    raise ConfigurationError(
                        f"this checkpoint's data.{key} is {text!r}, an address that its author chose; "
                        f"if you trust who made it, add {permission('trust_checkpoint', 'true')}"
                    )
    elif any(key in config.data for key in PLACES):
        shipped_config = compose([f"data={choice}"])
        config.data_root = shipped_config.data_root
        for key in PLACES:
            if key in shipped_config.data:
                OmegaConf.update(config, f"data.{key}", shipped_config.data[key], merge=False, force_add=True)
    return config


def with_data(config: DictConfig, overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Returns the configuration with other data: another choice, or other keys of the same one.

    A choice of the user's own may name what the configuration may.

    Raises:
        ConfigurationError: an override is about something else, names what does not exist, or code that is not allowed.
    """
    parsed = [read(text) for text in overrides]
    for override in parsed:
        check_single(override)
        key = override.key_or_group
        if key not in ("data", "data_root") and not key.startswith("data."):
            raise ConfigurationError(f"{override.input_line} would change the network; only data can be another here")
    if any(override.key_or_group == "data" for override in parsed):
        allowed = f"allow_targets=[{','.join(config.allow_targets)}]"
        fresh, config = compose([*overrides, allowed], config_dir), config.copy()
        OmegaConf.set_struct(config, False)
        config.data, config.data_root = fresh.data, fresh.data_root
        return config
    config, known = config.copy(), [f"data.{name}" for name in config.data if not str(name).startswith("_")]
    for override in parsed:
        key = override.key_or_group
        if key == "data_root":
            key = "data.root"
        if key not in known:
            raise ConfigurationError(unknown(key, known, search_path(None)))
        OmegaConf.update(config, key, override.value(), merge=False)
    allowlist.check_targets(config, allowlist.listed(config.allow_targets))
    return config


def is_repeated(one: Path, config: DictConfig) -> bool:
    """Returns whether `config` is that of the run in `one`, apart from the folder it goes to."""
    anew = dict.fromkeys(GIVEN_ANEW)
    return plain(configuration(one)) | anew == plain(config) | anew


def differences(one: Path, other: Path) -> list[str]:
    """Lists what differs between a run and its repetition, a line each: commit, versions, machine, metrics."""
    before, after = ({**found, **found.get("versions", {})} for found in map(folders.load_status, (one, other)))
    names = (
        "commit",
        "dirty",
        *after.get("versions", {}),
        "host",
        "device",
        "threads",
        "fingerprint",
        "start_fingerprint",
    )
    lines = [
        f"  {name}: {before.get(name)} -> {after.get(name)}" for name in names if before.get(name) != after.get(name)
    ]
    metrics = [folder / "metrics.json" for folder in (one, other)]
    first, second = (path.read_bytes() if path.exists() else b"" for path in metrics)
    equal = first == second
    how = "equal, to the last bit, those" if equal else "differ from those"
    in_stack = "" if equal or "stacked" not in before else ", which trained in a stack, so that last digits differ"
    figures = f"metrics {how} of {one}{in_stack}"
    return [figures, *(["what else differs:", *lines] if lines else [])]


def changes(one: Path, other: Path) -> list[tuple[str, str, str]]:
    """Returns what changed between a run and its repetition: each key or final metric, its old and its new value.

    A key that one of them lacks, such as another optimizer's, has nothing there.
    """
    runs = [settings(folders.read_config(folder)) for folder in (one, other)]
    found: list[tuple[str, Sequence[Mapping[str, Any]]]] = [(key, runs) for key in differing(runs)]
    metrics = [folders.read_metrics(folder) for folder in (one, other)]
    found += [(key, metrics) for key in differing(metrics) if "/" in key and not isinstance(metrics[-1].get(key), list)]
    return [(key, *(typed(values[key]) if key in values else "" for values in pair)) for key, pair in found]  # type: ignore[misc]


def plain(config: DictConfig) -> dict[str, Any]:
    """Returns the configuration as `config.yaml` keeps it: every reference resolved.

    References to the environment are kept, because it may hold secrets.
    """
    found = _resolved(with_environment(config, functools.partial(reference, "oc.env"), keep=True))
    assert isinstance(found, dict)
    return {str(key): value for key, value in found.items() if key != "overrides"}


def environment(config: DictConfig) -> tuple[dict[str, str], ConfigurationError | None]:
    """Returns a short hash of each variable that a configuration reads, and what is wrong with a value, if anything is.

    Of 65,536 values one has the same hash: enough to notice a change, too little to find out a secret.
    """
    found: dict[str, str] = {}

    def note(name: str, *default: Any) -> Any:
        if name != "FULMEN_DATA":  # a folder
            found[name] = hashlib.sha256(f"{name}={os.environ.get(name)!r}".encode()).hexdigest()[:4]
        return os.environ.get(name, *default)

    try:
        _resolved(with_environment(config, note))
    except ConfigurationError as error:
        return found, error
    return found, None


def check_environment(config: DictConfig, folder: Path | None = None, *, trust: bool = False) -> None:
    """Refuses a configuration that reads the environment, which its author could have sent anywhere.

    The values that are there now may be read by whoever knew them: a run in whose folder their hashes are. With `trust`
    any variable may be read, and one that has changed is only warned of.

    Raises:
        ConfigurationError: another variable than `FULMEN_DATA` is named, or has changed, or is not there.
    """
    known = {} if folder is None else folders.load_status(folder).get("environment", {})
    found, wrong = environment(config)
    for name, value in found.items():
        if value == known.get(name):
            continue
        changed = f"{name} is not the same in the environment as when {folder} was started"
        if trust and name in known:
            warn(f"{changed}; using the new value")
        elif name in known:
            raise ConfigurationError(
                f"{changed}; set it as it was, or, to use the new value, add {permission('trust_checkpoint', 'true')}"
            )
        elif not trust:
            raise ConfigurationError(
                f"this configuration reads {name} from the environment; if you trust who made it, "
                f"add {permission('trust_checkpoint', 'true')}"
            )
    if wrong is not None:
        raise wrong


def warn_if_code_changed(config: DictConfig, folder: Path) -> None:
    """Warns if a module of the user's own is not as it was when the run in `folder` was started."""
    known = folders.load_status(folder).get("code", {})
    for module, value in allowlist.code(config).items():
        if known.get(module, value) != value:
            warn(f"the code in {module} has changed since {folder} was started")


def _resolved(config: DictConfig) -> Any:
    try:
        return OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigurationError(sentence(error)) from error


def _replaced(key: str, chosen: set[str]) -> bool:
    """Returns whether an override sets `key` or its group; permissions and folders are always given anew."""
    return key in GIVEN_ANEW or key in chosen or key.partition(".")[0] in chosen or key.startswith("hydra")
