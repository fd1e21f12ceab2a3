"""The launcher `vectorized`: jobs that differ only where copies of a network may differ train as one.

Which jobs go together is read from their configurations, before torch is imported.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fulmen.runs import folder as folders
from fulmen.sweeps.job import Job
from fulmen.sweeps.results import runs

FOLDER: Final = "stacks"
"""In a sweep's folder, while a stack trains: its checkpoint and what it records."""
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


@dataclass(frozen=True)
class Group:
    """Jobs that train as one, or a job that trains by itself."""

    places: list[Path]
    """Their folders."""
    records: list[dict[str, Any]]
    """Their configurations."""
    why: str | None = None
    """Why a job trains by itself."""


def obstacle(config: Mapping[str, Any]) -> str | None:
    """Returns why a run cannot be a copy in a stack, as far as its configuration says; None if it may."""
    trainer, figures = config["trainer"], config["figures"]
    obstacles = {
        "L-BFGS decides by its losses what to do next": config["choices"]["optimizer"] == "lbfgs",
        "its gradient is found by hand": config["choices"]["backprop"] != "autograd",
        "it trains on several devices": trainer["devices"] > 1,
        f"trainer.precision={trainer['precision']} is not stacked": trainer["precision"] not in ("32-true", "64-true"),
        "trainer.debug looks at each operation": trainer["debug"],
        "its figures show how its weights change": figures.get("animation") or figures.get("histograms"),
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


def groups(places: Sequence[Path]) -> list[Group]:
    """Returns the groups that the jobs in some folders make, in the order of their first jobs."""
    alone: list[Group] = []
    together: dict[str, Group] = {}
    for place in places:
        config = folders.read_config(place)
        why = obstacle(config)
        if why is None:
            group = together.setdefault(key(config), Group([], []))
            group.places.append(place)
            group.records.append(config)
        else:
            alone.append(Group([place], [config], why))
    return [*together.values(), *alone]


def launch(places: Sequence[Path], job: Job, say: Callable[[str], object]) -> None:
    """Runs the jobs in some folders, those that can in stacks."""
    found = groups(places)
    for group in found:
        if group.why is None and len(group.places) > 1:
            say(f"{runs(len(group.places))} train as one: {_numbers(group.places)}")
            first = group.places[0]
            why = job.run_stack(group.places, group.records, first.parent / FOLDER / f"{first.name}.ckpt")
            if why is None:
                continue
            say(f"they train one by one: {why}")
        for place in group.places:
            job({"folder": str(place)})
    with_stacks = places[0].parent / FOLDER
    if with_stacks.is_dir() and not any(with_stacks.iterdir()):
        with_stacks.rmdir()


def _numbers(places: Sequence[Path]) -> str:
    return ", ".join(place.name for place in places[:5]) + (", ..." if len(places) > 5 else "")
