"""A grid: a run for every combination of the values that the overrides list.

All jobs are composed and checked before the first one starts, so a typo in the last of them costs nothing. Hydra takes
a tenth of a second to compose a configuration, so that is done once for each distinct set of choices; jobs that differ
in values of keys are copies with other values in them.
"""

import copy
import functools
import itertools
import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf

from fulmen.config import allowlist, validate
from fulmen.config.compose import compose
from fulmen.config.groups import choices, groups, search_path
from fulmen.config.overrides import COLUMNS, check_choice, product, read
from fulmen.config.recorded import PERMISSIONS
from fulmen.data.source import Source
from fulmen.errors import ConfigurationError
from fulmen.experiment import importing
from fulmen.experiment.build import record
from fulmen.rules import alternatives, split_override
from fulmen.runs.settings import leaves

GROUP = "sweep"
PARTS = ("model", "loss", "penalty", "optimizer", "scheduler", "init", "callbacks", "logger")
"""Groups whose choice may be a part of the user's own."""


def named(overrides: Sequence[str]) -> bool:
    """Returns whether a preset is among the overrides."""
    return any(override.startswith(f"{GROUP}=") for override in overrides)


def expanded(overrides: Sequence[str], config_dir: str | None) -> list[str]:
    """Returns the overrides, preceded by those of the preset that they name.

    Raises:
        ConfigurationError: there is no such preset, or it is no list of overrides.
    """
    names = [split_override(override)[1] for override in overrides if override.startswith(f"{GROUP}=")]
    typed = [override for override in overrides if not override.startswith(f"{GROUP}=")]
    if not names:
        return typed
    there = choices(GROUP, search_path(config_dir))
    if len(names) > 1:
        raise ConfigurationError(f"{GROUP}= takes one preset, but there are {len(names)}: {', '.join(names)}")
    if names[0] not in there:
        raise ConfigurationError(f"there is no {GROUP}={names[0]}{alternatives(names[0], there)}")
    keys = {split_override(override)[0] for override in typed}
    return [*(override for override in _words(there[names[0]]) if split_override(override)[0] not in keys), *typed]


def _words(path: Path) -> list[str]:
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    words = found.get("words") if isinstance(found, dict) and len(found) == 1 else None
    if not isinstance(words, list) or not all(isinstance(word, str) and "=" in word for word in words):
        raise ConfigurationError(f"{path} is no preset; it must have one key, as in 'words: [optimizer=sgd,adam]'")
    return words


COMPOSED_ANEW = (
    "trainer.max_epochs",
    "trainer.max_steps",
    "data.epochs",
    "metrics",
    "allow_targets",
    "trust_checkpoint",
)
"""Keys that decide more than their own value."""
ENVIRONMENT = re.compile(r"\$\{oc\.env:[^{}]*\}")
OTHER = re.compile(r"\$\{([\w.]+)\}")
"""A reference to the environment, and one to another key."""


@dataclass(frozen=True)
class Grid:
    """The combinations, and which of their overrides differ."""

    factors: list[list[str]]
    """For each override that was typed those that it stands for, one or several."""

    @property
    def varying(self) -> dict[str, list[str]]:
        """The keys and groups that vary, and the values of each, as typed."""
        several = [factor for factor in self.factors if len(factor) > 1]
        return {
            split_override(factor[0])[0]: [split_override(override)[1] for override in factor] for factor in several
        }

    @property
    def jobs(self) -> list[list[str]]:
        """The overrides of every job, in the order of their numbers: the last one varies fastest."""
        return [list(job) for job in itertools.product(*self.factors)]

    def job(self, number: int) -> list[str]:
        """Returns the overrides of one job."""
        overrides = []
        for factor in reversed(self.factors):
            number, place = divmod(number, len(factor))
            overrides.append(factor[place])
        return overrides[::-1]


def grid(overrides: Sequence[str], config_dir: str | None) -> Grid:
    """Returns the grid that overrides describe.

    Raises:
        ConfigurationError: an override names a choice that does not exist or nothing at all, or asks for a search.
    """
    folders = search_path(config_dir)
    typed = parsed(overrides)
    for override in typed:
        if not override.is_sweep_override():
            check_choice(override, folders)
    return Grid(product(typed, folders))


def parsed(overrides: Sequence[str]) -> list[Override]:
    """Returns the overrides of a sweep as Hydra reads them.

    Raises:
        ConfigurationError: Hydra cannot, one that stands for several values is not the only one about its key, or one
            that allows something stands for several.
    """
    found = [read(text) for text in overrides]
    for override in filter(Override.is_sweep_override, found):
        text, key = override.input_line, override.key_or_group
        if others := [other.input_line for other in found if other.key_or_group == key and other is not override]:
            raise ConfigurationError(f"{text} and {others[0]} are about the same; give {key}= once, with all values")
        if key in PERMISSIONS:
            raise ConfigurationError(f"{text} would vary what is allowed; give one value, for all runs")
    return found


def records(jobs: Sequence[Sequence[str]], config_dir: str | None) -> Iterator[dict[str, Any]]:
    """Yields each job's configuration, checked, as `config.yaml` keeps it.

    Args:
        jobs: the overrides of each; they all have the same keys.
        config_dir: the user's own choices.

    Raises:
        ConfigurationError: one of them is wrong.
    """
    cheap = _cheap(jobs, search_path(config_dir))
    composed: dict[tuple[str, ...], Original] = {}
    sources: dict[str, Source] = {}
    checked = set[str]()
    for overrides in jobs:
        chosen = tuple(override for override in overrides if override not in cheap)
        if chosen not in composed:
            composed[chosen] = Original(_compose(overrides, config_dir))
        values = {cheap[override].key_or_group: cheap[override].value() for override in overrides if override in cheap}
        original = composed[chosen]
        job = original.copy(values) if original.can_be_copied else Original(_compose(overrides, config_dir)).record
        data = repr(job["data"])
        if data not in sources:
            sources[data] = validate.source(OmegaConf.create(job["data"]))
        validate.check_again(job, values, sources[data])
        _check_own_parts(job, checked)
        yield job


def _check_own_parts(job: Mapping[str, Any], checked: set[str]) -> None:
    """Makes the parts of a job that are the user's own, to find a key that they do not take; none is called yet.

    Raises:
        ConfigurationError: one cannot be made, or not be called as it will be.
    """
    sections = [(part, section) for part in PARTS if isinstance(section := job.get(part), dict)]
    sections += [("metric", each) for each in job.get("metrics", ()) if isinstance(each, dict)]
    sections += [("figure", each) for each in job["figures"].get("own") or ()]
    for part, section in sections:
        if section["_target_"] not in allowlist.shipped() and repr(section) not in checked:
            with importing.at_once():
                from fulmen.experiment import own_parts  # and with it torch and Lightning, which jobs alone may need

            own_parts.make(part, OmegaConf.create(section))
            checked.add(repr(section))


def _cheap(jobs: Sequence[Sequence[str]], folders: Sequence[Path]) -> Mapping[str, Override]:
    """Returns the overrides that only give a key a plain value."""
    found = {text: read(text) for text in dict.fromkeys(itertools.chain(*jobs))}
    keys = [found[text].key_or_group for text in jobs[0]]
    alone = {key for key in keys if sum(_overlap(key, other) for other in keys) == 1}
    return {
        text: override
        for text, override in found.items()
        if override.type is OverrideType.CHANGE
        and override.key_or_group in alone - {*groups(folders), *COMPOSED_ANEW, *COLUMNS}
        and not re.search(r"_target_|[{$]|^[^=]*\.\d", text)  # the last: a place in a list
    }


def _overlap(one: str, other: str) -> bool:
    """Returns whether two keys are the same, or one is inside the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def _compose(overrides: Sequence[str], config_dir: str | None) -> DictConfig:
    """Returns the configuration of a job, which draws no figures, the slowest part, unless an override names them."""
    about_figures = any(read(override).key_or_group.partition(".")[0] == "figures" for override in overrides)
    return compose([*overrides, *([] if about_figures else ["figures=none"])], config_dir)


class Original:
    """A composed configuration, of which others are copies.

    Raises:
        ConfigurationError: it is wrong.
    """

    def __init__(self, config: DictConfig) -> None:
        self.record = record(config, validate.check(config))
        _check_single_runs(config)
        plain = OmegaConf.to_container(config, resolve=False)
        assert isinstance(plain, dict)
        values = leaves({str(key): value for key, value in plain.items() if key != "overrides"})
        found = {key: str(value) for key, value in values if "${" in str(value)}
        others = {key: value for key, value in found.items() if not ENVIRONMENT.fullmatch(value)}
        self.references = {key: OTHER.fullmatch(value) for key, value in others.items()}
        self.can_be_copied = None not in self.references.values()

    def copy(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the same with other values, which what refers to their keys takes, too."""
        found = copy.deepcopy(self.record)
        for key, value in values.items():
            for place in self._places(key):
                *path, name = place.split(".")
                functools.reduce(operator.getitem, path, found)[name] = value
        return found

    def _places(self, key: str) -> Iterator[str]:
        yield key
        for place, reference in self.references.items():
            if reference is not None and reference[1] == key:
                yield from self._places(place)


def _check_single_runs(config: DictConfig) -> None:
    """Finds what only single runs may have."""
    if config.run_dir is not None:
        raise ConfigurationError("run_dir is for single runs, and those of a sweep go to logs/sweeps; leave it out")
    if config.quiet:
        raise ConfigurationError("quiet is for single runs; a sweep prints a line for each run and its leaderboard")
    if config.trainer.devices > 1:
        raise ConfigurationError("trainer.devices is for single runs; the runs of a sweep have one device each")
