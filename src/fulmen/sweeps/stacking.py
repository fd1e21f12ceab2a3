"""The launcher `vectorized`: jobs that differ only where copies of a network may differ train as one.

Which jobs go together is read from their configurations, before torch is imported.
"""

import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fulmen.runs import folder as folders
from fulmen.sweeps.job import STACKS
from fulmen.sweeps.results import jobs, runs

DIFFERENT: Final = (
    "seed",
    "run_dir",
    "init",
    "penalty",
    "optimizer.lr",
    "optimizer.weight_decay",
    "data.seed",
    "data.noise",
)
"""Keys and sections in which the copies of a stack may differ; a dropout's share is another, where it is not 0."""


DURING_TRAINING: Final = ("animation", "histograms", "inside", "landscape")
"""Figures of what training leaves no trace of but in a single run."""


def obstacle(config: Mapping[str, Any]) -> str | None:
    """Returns why a run cannot be a copy in a stack, as far as its configuration says; None if it may."""
    trainer, figures = config["trainer"], config["figures"]
    obstacles = {
        "L-BFGS decides by its losses what to do next": config["choices"]["optimizer"] == "lbfgs",
        "gradients are found by hand": config["choices"]["backprop"] != "autograd",
        f"trainer.devices={trainer['devices']} is not stacked": trainer["devices"] > 1,
        f"trainer.precision={trainer['precision']} is not stacked": trainer["precision"] not in ("32-true", "64-true"),
        "trainer.profile times the parts of one run": trainer.get("profile", False),
        "trainer.debug looks at each operation": trainer["debug"],
        "callbacks watch a single run": config["choices"].get("callbacks", "none") != "none",
        "metrics=[...] are measured of single runs": config.get("metrics"),
        "start_from= takes over the weights of another network": config.get("start_from"),
        "freeze= trains a part of the weights": config.get("freeze"),
        "learning_rates= has several rates for one network": config.get("learning_rates"),
        "data.augment= draws changes for one network": config["data"].get("augment"),
        "figures show how weights change": any(map(figures.get, DURING_TRAINING)),
    }
    return next((why for why, holds in obstacles.items() if holds), None)


def key(config: Mapping[str, Any]) -> str:
    """Returns a text that is the same for runs that may train as one."""
    kept = {name: value for name, value in config.items() if name not in DIFFERENT and name != "overrides"}
    kept["choices"] = {name: value for name, value in config["choices"].items() if name not in DIFFERENT}
    for name in DIFFERENT:
        section, _, leaf = name.partition(".")
        if leaf:
            kept[section] = {each: value for each, value in kept[section].items() if each != leaf}
    own = config["penalty"].get("_target_", "")
    if not own.startswith("fulmen."):  # a penalty of the user's own has no formula for its gradient
        kept["penalty"] = config["penalty"]
    if config["model"].get("dropout"):
        kept["model"] = config["model"] | {"dropout": True}
    if any("${" in str(value) for value in _different(config)):  # what a variable holds is not known here
        kept["different"] = str(_different(config))
    return json.dumps(kept, sort_keys=True, default=str)


def _different(config: Mapping[str, Any]) -> list[Any]:
    """Returns the values in which copies may differ."""
    places = [name.partition(".") for name in DIFFERENT]
    return [config[section].get(leaf) if leaf else config[section] for section, _, leaf in places]


@dataclass(frozen=True)
class Group:
    """Jobs that train as one, or a job that trains by itself."""

    places: list[Path]
    """Their folders."""
    why: str | None = None
    """Why a job trains by itself."""
    config: Mapping[str, Any] | None = None
    """The configuration of one of them; None for what is not new."""
    is_resumed: bool = False
    """True for a stack that was stopped, which goes on with the same jobs, even those that have ended."""


def groups(places: Sequence[Path]) -> list[Group]:
    """Returns the groups that the jobs in some folders of a sweep make: stacks, then jobs that train by themselves."""
    found, waiting = list[Group](), list(places)
    for file in sorted((places[0].parent / STACKS).glob("*.json")) if places else ():
        members = _members(file)
        if file.with_suffix(".ckpt").exists() and set(members) & set(waiting):
            found.append(Group(members, is_resumed=True))
            waiting = [place for place in waiting if place not in members]
    together: dict[str, Group] = {}
    alone: list[Group] = []
    for place in waiting:
        config = folders.read_config(place)
        resumes = (place / "checkpoints" / folders.LAST).exists()
        why = "a checkpoint of a single run is there to resume from" if resumes else obstacle(config)
        if why is None:
            together.setdefault(key(config), Group([], config=config)).places.append(place)
        else:
            alone.append(Group([place], why))
    return [*found, *together.values(), *alone]


def start_over(places: Sequence[Path]) -> None:
    """Deletes what stacks with one of these jobs would resume from, since the job is to start over."""
    for file in [*(places[0].parent / STACKS).glob("*.json")] if places else ():
        if set(_members(file)) & set(places):
            for path in (file, file.with_suffix(".ckpt"), file.with_suffix(".rows")):
                path.unlink(missing_ok=True)


def hint(records: Sequence[Mapping[str, Any]]) -> str | None:
    """Returns a sentence about runs that could train as one, with about how much faster; None if it hardly pays.

    Args:
        records: the configurations of all runs of a sweep.
    """
    sizes = Counter(key(record) for record in records if obstacle(record) is None)
    stacks = [size for size in sizes.values() if size > 1]
    example = next((record for record in records if sizes.get(key(record), 0) > 1), None)
    if example is None:
        return None
    if faster(example, stacks) < WORTHWHILE:
        return None
    many = f"all {runs(len(records))}" if sum(stacks) == len(records) else f"{sum(stacks)} of {runs(len(records))}"
    return f"hint: {many} could train together, in steps {_times(example, stacks)}: {LAUNCHER}"


def faster(config: Mapping[str, Any], sizes: Sequence[int]) -> float:
    """Returns about how many times faster runs take their steps in stacks of these sizes."""
    operations = _seconds_of_operations(config)
    alone = sum(sizes) * (STEP + operations)
    return alone / sum(STACKED_STEP + size * (STEP_OF_A_COPY + operations) for size in sizes)


def _times(config: Mapping[str, Any], sizes: Sequence[int]) -> str:
    times = faster(config, sizes)
    if times >= WORTHWHILE:
        return f"about {f'{times:.0f}' if times < 10 else 5 * round(times / 5)} times faster"
    few = _seconds_of_operations(config) < STEP
    return f"little faster, because {'they are few' if few else 'arithmetic takes most of their time'}"


STEP, STACKED_STEP, STEP_OF_A_COPY, OPERATIONS = 1.8e-4, 4.5e-4, 5.6e-6, 4e10
"""Seconds of a small network's step, of a stack's step, of each copy in it; operations a second, where those decide.

See docs/performance.md, *Stacked sweeps*."""
WORTHWHILE = 2.0
LAUNCHER: Final = "hydra/launcher=vectorized"


def _seconds_of_operations(config: Mapping[str, Any]) -> float:
    """Returns the seconds that the operations of a step take; of a model that is no MLP, too few."""
    sizes, size, hidden = config["sizes"], config["data"].get("batch_size", "full"), config["model"].get("hidden")
    rows = (size if isinstance(size, int) else USUAL_ROWS) * config["trainer"]["accumulate"]
    known = hidden if isinstance(hidden, list) and all(isinstance(width, int) for width in hidden) else []
    widths = [math.prod(sizes["in_shape"]), *known, sizes["out_features"]]  # a model of one's own may mean others
    return float(6 * rows * sum(one * other for one, other in itertools.pairwise(widths)) / OPERATIONS)


USUAL_ROWS = 500
"""Rows of a data set, where a step takes all."""


def _members(file: Path) -> list[Path]:
    try:
        return [file.parent.parent / str(name) for name in json.loads(file.read_text("utf-8"))["jobs"]]
    except (OSError, ValueError, KeyError, TypeError):  # a stack that was stopped before it could say so
        return []


def lines(found: Sequence[Group]) -> list[str]:
    """Returns what to print about groups: how many train as one, and why others do not."""
    said = []
    for group in found:
        if len(group.places) == 1:
            continue
        times = "" if group.config is None else f", {_times(group.config, [len(group.places)])}"
        said.append(f"{runs(len(group.places))} train as one{times}: {jobs(group.places)}")
    reasons: dict[str, list[Path]] = {}
    for group in found:
        if len(group.places) == 1:
            reasons.setdefault(group.why or "nothing to train together with", []).extend(group.places)
    for why, places in reasons.items():
        said.append(f"{jobs(places)} {'trains by itself' if len(places) == 1 else 'train one by one'}: {why}")
    return said


def cut(found: Sequence[Group], copies: int) -> list[Group]:
    """Returns groups of at most so many runs; 0 for any number. A stack that is resumed stays whole."""
    smaller = []
    for group in found:
        size = copies if copies and not group.is_resumed else len(group.places)
        why = group.why if len(group.places) == 1 else f"hydra.launcher.copies={copies}"
        for start in range(0, len(group.places), size):
            smaller.append(replace(group, places=group.places[start : start + size], why=why))
    return smaller


def stacked(found: Sequence[Group], copies: int) -> dict[str, tuple[list[str], int | None]]:
    """Returns the stacks as `Job` takes them.

    Args:
        found: the groups, cut.
        copies: how many runs train as one at most; 0 for as many as fit into memory.
    """
    return {
        group.places[0].name: ([place.name for place in group.places], None if group.is_resumed else copies)
        for group in found
        if len(group.places) > 1
    }
