"""A search: a sweep whose jobs come one after the other, each with settings that follow from how the earlier ones did.

A job is planned as one of a grid is, only later: its folder and configuration are there before it starts, and what
became of it is read from its folder.
"""

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from omegaconf import OmegaConf

from fulmen.config.compose import compose
from fulmen.config.groups import groups, search_path
from fulmen.config.overrides import check_choice
from fulmen.errors import ConfigurationError
from fulmen.rules import alternatives, split_override
from fulmen.sweeps import grid, record
from fulmen.sweeps.grid import parsed, records
from fulmen.sweeps.record import Search, Sweep
from fulmen.sweeps.results import runs
from fulmen.sweeps.search import options
from fulmen.sweeps.search.space import Dimension, dimension, probes, size
from fulmen.tasks.names import METRICS, metric_names

if TYPE_CHECKING:
    from fulmen.sweeps.search.study import Study

USUAL_TRIALS: Final = 20
BATCH: Final = 8
"""Runs of a search that train as one: more would all be chosen without knowing how the others did."""


def named(overrides: Sequence[str]) -> bool:
    """Returns whether the overrides ask for a search."""
    return options.WORD in overrides


def plan(overrides: Sequence[str], config_dir: str | None) -> Sweep:
    """Plans a new search.

    Args:
        overrides: as typed, without those about the launcher.
        config_dir: the user's own choices.

    Raises:
        ConfigurationError: Optuna is not installed, an override is wrong, or an end of what is searched makes a
            configuration that is.
    """
    about, typed = options.split([text for text in overrides if text != options.WORD])
    found, folders = options.read(about), search_path(config_dir)
    if grid.named(typed):
        raise ConfigurationError(f"{options.WORD} is a search of its own, and takes no other sweep=")
    read = parsed(typed)
    varying = [override for override in read if override.is_sweep_override()]
    if not varying:
        example = "'optimizer.lr=tag(log, interval(0.0001, 1))'"
        raise ConfigurationError(f"{options.WORD} has nothing to choose; name what to search, as {example}")
    for override in read:
        if not override.is_sweep_override():
            check_choice(override, folders)
    fixed = [text for text, override in zip(typed, read, strict=True) if override not in varying]
    space = _space(varying, fixed, folders, config_dir)
    planned = list(records(probes(space, groups(folders), fixed), config_dir))
    scores = {str(each["score"]) for each in planned}
    if len(scores) > 1:
        raise ConfigurationError(f"a sweep ranks its runs by one score, and these are {', '.join(sorted(scores))}")
    objectives = found["objectives"] or [*scores]
    for name in found["objectives"] or ():
        _check_objective(name, planned)
    trials = _trials(found, space)
    own = None if config_dir is None else str(Path(config_dir).resolve())
    search = Search(found | {"n_trials": trials}, space, fixed, int(planned[0]["seed"]), objectives, "", [])
    search = replace(search, study=found["study_name"] or _name(search))
    ranges = {one.key: [one.typed] for one in space}
    return Sweep([*overrides], [], ranges, scores.pop(), trials, own, record.permissions(typed), search, os.getcwd())


def in_batches(sweep: Sweep, overrides: Sequence[str]) -> Sweep:
    """Returns a search that chooses several runs at once, so that they can train as one, unless a number is typed."""
    assert sweep.search is not None
    if any(split_override(override)[0] == f"{options.KEYS}n_jobs" for override in overrides):
        return sweep
    return replace(sweep, search=replace(sweep.search, options=sweep.search.options | {"n_jobs": BATCH}))


def nothing_to_do(sweep: Sweep) -> str:
    """Returns the sentence about a search whose study, in a database, has all its runs; else nothing.

    Raises:
        ConfigurationError: the database cannot be opened, or holds another study of that name.
    """
    assert sweep.search is not None
    if sweep.search.options["storage"] is None:
        return ""
    study = opened(sweep.search, Path())
    if study.count < sweep.jobs and not study.is_exhausted:
        return ""
    return (
        f"the study {sweep.search.study} has its {runs(study.count)}: nothing more to do; for more of them give "
        f"{options.KEYS}n_trials=, for another search {options.KEYS}study_name="
    )


def _space(varying: Sequence[Any], fixed: Sequence[str], folders: Sequence[Path], own: str | None) -> list[Dimension]:
    """Returns the search space; keys whose default is a whole number are searched in whole numbers."""
    choosing = [dimension(each, None, folders) for each in varying if each.key_or_group in groups(folders)]
    config = compose([*fixed, *(f"{one.key}={one.probes[0]}" for one in choosing)], own)
    return [dimension(each, OmegaConf.select(config, each.key_or_group), folders) for each in varying]


def _check_objective(name: str, planned: Sequence[dict[str, Any]]) -> None:
    task, further = planned[0]["sizes"]["task"], metric_names(planned[0])
    there = [f"{split}/{figure}" for split in ("val", "train", "test") for figure in ("loss", *METRICS[task], *further)]
    if name not in (*there, "parameters"):
        raise ConfigurationError(f"there is no objective {name}{alternatives(name, [*there, 'parameters'])}")


def _trials(found: dict[str, Any], space: Sequence[Dimension]) -> int:
    """Returns how many runs there are in all; no more than there are different ones."""
    wanted: int | None = found["n_trials"]
    points = size(space)
    if points is None and found["sampler"] != "grid":
        return wanted or USUAL_TRIALS
    if points is None:
        endless = max(space, key=lambda one: math.inf if one.count is None else one.count)
        raise ConfigurationError(
            f"{endless.key}={endless.typed} has no end of values, and hydra.sweeper.sampler=grid tries all; "
            f"give a list, {endless.key}=a,b, or a range, or take another sampler"
        )
    return min(points, wanted or (points if found["sampler"] == "grid" else USUAL_TRIALS))


def _name(search: Search) -> str:
    """Returns the study's name in a database: the same for all who type the same overrides."""
    about = [sorted((one.key, one.typed) for one in search.space), sorted(search.fixed), search.objectives]
    return f"fulmen_{hashlib.sha256(json.dumps(about).encode()).hexdigest()[:12]}"


def extended(sweep: Sweep, about: Sequence[str]) -> Sweep:
    """Returns the search with another number of runs, where one stands beside `resume=`; never fewer than there are.

    Raises:
        ConfigurationError: another key is there, or the sweep is no search; or Optuna is not installed.
    """
    if sweep.search is None:
        if about:
            raise ConfigurationError(f"{about[0]} is about a search, and this sweep is a grid")
        return sweep
    found = options.read(about)
    for override in about:
        if split_override(override)[0] != f"{options.KEYS}n_trials":
            raise ConfigurationError(
                f"a search is resumed with its own settings; {override} is not {options.KEYS}n_trials="
            )
    if not about:
        return sweep
    wanted = _trials({**sweep.search.options, **found}, sweep.search.space)
    search = replace(sweep.search, options=sweep.search.options | {"n_trials": wanted})
    return replace(sweep, jobs=max(wanted, len(search.trials)), search=search)


def opened(search: Search, folder: Path) -> "Study":
    """Returns the study of a search.

    Raises:
        ConfigurationError: its storage cannot be opened, or holds another study of that name.
    """
    from fulmen.sweeps.search.study import Study  # and with it Optuna: half a second

    return Study(search, folder)
