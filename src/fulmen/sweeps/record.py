"""A sweep's folder: `sweep.yaml`, which says what was asked for, and a folder for each job with its configuration.

All of it is written before the first job starts, so that each job runs from what `conf/` said then, whatever becomes of
`conf/` in the meantime. `sweep.yaml` comes last: where it is, the plan is whole.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from fulmen.config.recorded import PERMISSIONS
from fulmen.errors import ConfigurationError
from fulmen.rules import Rule, check, did_you_mean, many, mapping, number, split_override, text, whole, yes_no
from fulmen.runs import folder as folders
from fulmen.runs.files import remove_leftovers, write_text
from fulmen.runs.folder import SWEEP, absent
from fulmen.runs.names import stamp
from fulmen.sweeps.grid import Grid
from fulmen.sweeps.search import options
from fulmen.sweeps.search.space import Dimension

SWEEPS: Final = Path("logs/sweeps")
MOST_JOBS: Final = 1_000_000
"""Limit for one sweep; a file that says more is damaged."""
STOP: Final = ".stop"
"""In a sweep's folder, once jobs are to end, wherever they run: the names of the launches they are of, a line each."""


WORDS: Final = many(text())


def _lists(value: Any) -> str | None:
    is_right = isinstance(value, dict) and all(
        isinstance(key, str) and WORDS(each) is None for key, each in value.items()
    )
    return None if is_right else "names, each with a list of texts"


def _filled(each: Rule) -> Rule:
    return lambda value: many(each)(value) if value != [] else "a list that is not empty"


_finite = number("(-1e300, 1e300)")

SWEEP_KEYS: Final[Mapping[str, Rule]] = {
    "words": WORDS,
    "grid": many(_filled(text())),
    "varying": _lists,
    "score": text(),
    "jobs": whole(1, MOST_JOBS),
    "config_dir": text(or_null=True),
    "permissions": WORDS,
    "directory": text(),
    "search": lambda value: None if value is None else mapping(value),
}
"""Values of keys in `sweep.yaml`; then those inside of `search`."""
SEARCH_KEYS: Final[Mapping[str, Rule]] = {
    "options": mapping,
    "space": _filled(mapping),
    "fixed": WORDS,
    "seed": whole(0),
    "objectives": _filled(text()),
    "study": text(),
    "trials": many(mapping),
}
RANGE: Final[Mapping[str, Rule]] = {
    "low": _finite,
    "high": _finite,
    "step": number("(0, 1e300)", or_null=True),
    "log": yes_no,
    "whole": yes_no,
}
DIMENSION_KEYS: Final[Mapping[str, Rule]] = {
    "key": text(),
    "typed": text(),
    "choices": lambda value: None if value is None else _filled(text())(value),
    **RANGE,
}


@dataclass(frozen=True)
class Trial:
    """The values that a search has chosen for one job."""

    number: int
    """The trial's in the study, where the same may have other numbers than jobs."""
    words: list[str]


@dataclass(frozen=True)
class Search:
    """The settings of a search, and the trials that it has chosen so far."""

    options: dict[str, Any]
    """The keys of `hydra.sweeper`."""
    space: list[Dimension]
    fixed: list[str]
    """Overrides of every job."""
    seed: int
    objectives: list[str]
    """Figures of `metrics.json`."""
    study: str
    """Its name in the storage."""
    trials: list[Trial]
    """In the order of the jobs' numbers; it grows."""


@dataclass(frozen=True)
class Sweep:
    """The content of `sweep.yaml`."""

    words: list[str]
    """The overrides as typed."""
    grid: list[list[str]]
    """The overrides of the jobs: for each that was typed, all those that it stands for."""
    varying: dict[str, list[str]]
    """Keys and groups that vary, and their values."""
    score: str
    jobs: int
    config_dir: str | None
    """The folder of the user's own choices."""
    permissions: list[str]
    """The overrides that were typed to allow something; they count only where they are typed."""
    search: Search | None = None
    """None of a grid, whose jobs are known beforehand."""
    directory: str = ""
    """The folder that it was started from; relative paths start there."""

    def job_overrides(self, number: int) -> list[str]:
        """Returns all overrides of a job."""
        if self.search is None:
            return Grid(self.grid).job(number)
        chosen = self.search.trials[number].words if number < len(self.search.trials) else []
        return [*self.search.fixed, *chosen]

    def own_overrides(self, number: int) -> list[str]:
        """Returns the overrides in which a job differs from the others."""
        return [override for override in self.job_overrides(number) if split_override(override)[0] in self.varying]


def permissions(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides that allow something."""
    return [override for override in overrides if split_override(override)[0] in PERMISSIONS]


def write(sweep: Sweep, records: Sequence[Mapping[str, Any]]) -> Path:
    """Makes the folder of a new sweep and those of its jobs.

    Raises:
        ConfigurationError: it cannot be made.
    """
    folder = SWEEPS / stamp()
    try:
        folder.mkdir(parents=True)
        for number, record in enumerate(records):
            (folder / str(number)).mkdir()
            (folder / str(number) / "config.yaml").write_text(folders.yaml_text(record), "utf-8")
        rewrite(sweep, folder)
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be made ({error.strerror or error}); start from a folder that you may write to"
        ) from error
    return folder


def rewrite(sweep: Sweep, folder: Path) -> None:
    """Writes `sweep.yaml`, whole or not at all."""
    write_text(folder / SWEEP, folders.yaml_text(asdict(sweep)))


def plan(record: Mapping[str, Any], folder: Path) -> None:
    """Makes the folder of one more job; one that was left half-made is taken."""
    folder.mkdir(exist_ok=True)
    write_text(folder / "config.yaml", folders.yaml_text(record))


def read(folder: Path) -> Sweep:
    """Reads a sweep's folder.

    Raises:
        ConfigurationError: there is no sweep in it, or `sweep.yaml` is damaged.
    """
    path = folder / SWEEP
    if not path.exists():
        if folder.is_dir() and (folder / "status.json").exists():
            raise ConfigurationError(f"{folder} is a single run; leave out -m to resume it")
        unfinished = folder.is_dir() and any(folder.glob("*/config.yaml")) and not any(folder.glob("*/status.json"))
        raise ConfigurationError(
            f"{folder} has no {SWEEP}: it was stopped before its first job, so there is nothing to resume"
            if unfinished
            else absent(folder)
            .replace("no run in", "no sweep in")
            .replace("runs are in logs/runs", "sweeps are in logs/sweeps")
        )
    try:
        return _checked(yaml.safe_load(path.read_text("utf-8")))
    except Exception as error:  # a damaged file makes the parser raise nearly anything
        raise ConfigurationError(
            f"{path} cannot be read: {' '.join(str(error).split())}; restore the file, or start the sweep again, "
            "without resume="
        ) from error


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a sweep while it lasts: no other process runs the same one.

    Raises:
        ConfigurationError: one does.
    """
    refusal = ConfigurationError(
        f"{folder} is held by another process, which is running this sweep; wait for it to end"
    )
    with folders.lock(folder, refusal):
        remove_leftovers(folder)
        try:
            yield
        finally:
            for path in (*folder.glob("*.journal.lock"), *folder.glob(".worker-*")):
                with suppress(OSError):  # Windows keeps it while it is held
                    path.unlink()


def _checked(found: Any) -> Sweep:
    """Returns a sweep from the content of its file.

    Raises:
        ValueError: a key is missing, unknown, or has a value that it cannot have.
    """
    _check(found, SWEEP_KEYS)
    search = found.get("search")
    if search is None:
        if (combinations := math.prod(map(len, found["grid"]))) != found["jobs"]:
            raise ValueError(f"jobs is {found['jobs']}, but must be the number of combinations of grid, {combinations}")
        return Sweep(**found)
    _check(search, SEARCH_KEYS, "search.")
    _check(search["options"], options.RULES, "search.options.")
    for index, dimension in enumerate(search["space"]):
        _check(dimension, DIMENSION_KEYS, f"search.space.{index}.", optional=("choices", *RANGE))
        one = Dimension(**dimension)
        is_range = one.low < one.high and not (one.log and (one.low <= 0 or one.step is not None))
        if one.choices is None and not is_range:
            raise ValueError(f"search.space.{index} is {one.typed!r:.40}, but its low, high and step are no range")
    for index, trial in enumerate(search["trials"]):
        _check(trial, {"number": whole(0), "words": WORDS}, f"search.trials.{index}.")
    fewest, n_trials = len(search["trials"]), search["options"]["n_trials"]
    check("search.options.n_trials", n_trials, whole(1))  # null stands for a default only where it is typed
    because = "the numbers of search.trials and of search.options.n_trials"
    check("jobs", found["jobs"], whole(fewest, max(n_trials, fewest)), because)
    space, trials = [Dimension(**each) for each in search["space"]], [Trial(**each) for each in search["trials"]]
    return Sweep(**found | {"search": Search(**search | {"space": space, "trials": trials})})


def _check(
    found: Any, rules: Mapping[str, Rule], prefix: str = "", optional: Sequence[str] = ("search", "directory")
) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"{prefix.rstrip('.') or 'it'} holds {found!r:.40}, and no names with values")
    for name in [*rules, *(name for name in found if name not in rules)]:
        if name not in rules:
            raise ValueError(f"{prefix}{name} is no key of a sweep{did_you_mean(str(name), rules)}")
        if name not in found and name not in optional:
            raise ValueError(f"{prefix}{name} is missing")
        if name in found:
            check(f"{prefix}{name}", found[name], rules[name])
