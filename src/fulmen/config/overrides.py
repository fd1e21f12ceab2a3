"""The overrides of a command line, `group=choice` and `key=value`: read, expanded, and checked against the choices.

Nothing here imports torch; what help needs does not even import Hydra.
"""

import functools
import itertools
import math
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fulmen.config.groups import choices, groups
from fulmen.errors import ConfigurationError, advice, command
from fulmen.rules import alternatives, closest, did_you_mean, split_override

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

PATHS = ("run_dir", "tuned", "start_from", "data_root", "data.path", "data.root")
"""Keys whose values are paths: taken as they are, though Hydra's grammar would want some of them in quotes."""
COLUMNS = ("data.target", "data.features", "data.leave_out", "data.time", "data.group")
"""Keys whose values are names of columns: texts, even if they look like a number, a switch or a formula."""
READABLE = re.compile(r"[\w\s.:/+\-%@?|*$\\]*", re.ASCII)
"""Letters of a value that Hydra's grammar reads without quotes."""
IDENTIFIER = re.compile(r"(?!(true|false|null|nan|inf)$)[a-z_]\w*", re.ASCII | re.IGNORECASE)
"""What it reads as a text."""
OF_OTHERS = ("experiment", "sweep")
"""Groups whose choices hold the keys of other groups."""
SYNTAX = re.compile(r"[(){}\[\]'\"]")
"""Letters that mean something in that grammar."""
OF_RUNS = ("resume", "rerun")
"""What is taken before keys are read, and is a function's argument in Python."""
MEANT = {"epochs": "trainer.max_epochs", "learning_rate": "optimizer.lr"}
"""Keys by names that other programs have for them, which are close to a key of another meaning here."""
MOST_JOBS = 100_000
"""Of a sweep; planning so many takes minutes."""
FUNCTIONS = {
    "choice": "choice(a,b)",
    "range": "range(1,4)",
    "interval": "interval(0.1,1)",
    "glob": "glob(a*)",
    "shuffle": "shuffle(a,b)",
    "sort": "sort(3,1,2)",
    "tag": "tag(log, interval(0.001,1))",
}
"""What stands for several values, each with an example."""
FUNCTION = re.compile(r"(choice|range|interval|glob|shuffle|sort|tag|str|int|float|bool)\(.*\)")
_NUMBER = r"[-+]?[\d.]+(?:e[-+]?\d+)?"
SPELLED = re.compile(
    rf"(?i)(?P<log>(?:tag\()?log)?\w*?[\s(,]*(?P<name>interval|uniform|range)?[\s(,]*(?P<inner>log\s*,)?\s*"
    rf"(?P<low>{_NUMBER})\s*,\s*(?P<high>{_NUMBER})[\s)]*"
)
"""Two numbers, and what other programs call what lies between them: log(interval(0.001, 1)), loguniform(0.001, 1)."""
NESTED = re.compile(r"[^\[{'\"]*\$\{[^{}]*\$\{")
"""Begins a reference with another one inside, which it reads in quotes alone."""
ITEM = re.compile(r"""(?:^|,)\s*("(?:\\.|[^"\\])*"(?=\s*(?:,|$))|'(?:\\.|[^'\\])*'(?=\s*(?:,|$))|[^,]*)""")
"""An item of a list: in quotes, or whatever stands before the next comma."""


def read(text: str) -> "Override":
    """Parses an override.

    Raises:
        ConfigurationError: Hydra cannot, or the override sets a key of Hydra itself, which would have no effect: Fulmen
            makes its folders itself.
    """
    override = parse(text)
    line, key = override.input_line, override.key_or_group
    if key in ("launcher", "hydra.launcher"):
        right = f"hydra/launcher={split_override(text)[1]}"
        raise ConfigurationError(f"there is no key '{key}'; write {right}, {advice('with -m', 'for fulmen.sweep')}")
    if re.split("[./]", key)[0] != "hydra":
        return override
    if key == "hydra.searchpath":
        own = advice("--config-dir", "config_dir=")
        raise ConfigurationError(f"hydra.searchpath cannot be set; use {own} for a folder of your own choices")
    if re.match("hydra[./]launcher", key):
        raise ConfigurationError(f"{line} chooses where a sweep runs; {advice('add -m', 'give it to fulmen.sweep')}")
    if re.match("hydra[./]sweeper", key):
        raise ConfigurationError(
            f"{line} is about a search; {advice('add -m', 'give it to fulmen.sweep, with')} sweep=optuna"
        )
    raise ConfigurationError(
        f"{line} sets a key of Hydra itself, which has no effect here; choose a run's folder with run_dir=<folder>"
    )


@functools.lru_cache(maxsize=4096)  # each is parsed several times, and Hydra's grammar takes 0.3 ms for it
def parse(text: str) -> "Override":
    """Parses an override, which may be about Hydra itself.

    Raises:
        ConfigurationError: Hydra cannot.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _ = split_override(text)
    if key != "sweep" and key.strip("+~ ") == "sweep":
        raise ConfigurationError(f"{text} does not take a sign; write {text.strip('+~ ')}")
    if key == "sweep":
        raise ConfigurationError(f"{text} stands for many runs, but one is needed here; leave it out")
    if not key.strip("+~ ") or ("=" not in text and not key.startswith("~")):
        raise ConfigurationError(f"cannot read {text!r}; write key=value")
    if text.startswith("-"):
        raise ConfigurationError(f"there is no option {text!r}; see --help, and write key=value without dashes")
    try:
        override: Override = OverridesParser.create().parse_override(quoted(text))
    except HydraException as error:
        key, value = split_override(text)
        if not re.fullmatch(r"[\w.+~/@:-]+", key, re.ASCII):
            why = "a key can have only the letters a to z, digits, _ and dots"
            raise ConfigurationError(f"cannot read {text!r}: {why}") from error
        if value[:1] in ("[", "{") and open_brackets(value) > 0:
            why = "a bracket is not closed; quote the whole argument if there are spaces in it"
            raise ConfigurationError(f"cannot read {text!r}: {why}, as 'learning_rates={{layers.0: 0.001}}'") from error
        if re.search(r"^,|,\s*,|,$", value):
            raise ConfigurationError(f"cannot read {text!r}; a value is missing beside a comma") from error
        meant = SPELLED.fullmatch(value)
        if meant is not None and (meant["log"] or meant["inner"] or meant["name"]):
            function = "range" if (meant["name"] or "").lower() == "range" else "interval"
            right = f"{function}({meant['low']}, {meant['high']})"
            right = f"tag(log, {right})" if meant["log"] or meant["inner"] else right
            raise ConfigurationError(f"cannot read {text!r}; write '{key}={right}'") from error
        called = re.match(r"(\w+)\(", value)
        if called is not None and called[1] not in FUNCTIONS and closest(called[1], FUNCTIONS):
            raise ConfigurationError(f"cannot read {text!r}{did_you_mean(called[1], FUNCTIONS)}") from error
        if called is not None and called[1] in FUNCTIONS:
            example = FUNCTIONS[called[1]]
            raise ConfigurationError(f"cannot read {text!r}; write it as in '{key}={example}'") from error
        typed = shlex.quote(f"{key}={as_value(value)}") if re.search(r"[\\'\"]", value) else f"'{key}=\"{value}\"'"
        raise ConfigurationError(f"cannot read {text!r}; if its value is a text, quote it: {typed}") from error
    if not override.key_or_group:
        raise ConfigurationError(f"cannot read {text!r}; write key=value")
    return override


def open_brackets(text: str) -> int:
    """Returns how many more brackets a text opens than it closes."""
    return sum((letter in "[{(") - (letter in ")}]") for letter in text)


def quoted(text: str) -> str:
    """Quotes paths, names of columns and words of any script, which Hydra's grammar refuses or reads as numbers."""
    key, value = split_override(text)
    if key in PATHS:
        return text if _is_written(value) else f"{key}={as_value(value)}"
    if FUNCTION.fullmatch(value) or (key not in COLUMNS and READABLE.fullmatch(value)):
        return text
    if NESTED.match(value) or len(value) == 1:
        return f"{key}={_spelled(value, key)}"
    is_list = value.startswith("[") and value.endswith("]") and "],[" not in value  # else several lists
    items = ",".join(_spelled(item, key) for item in ITEM.findall(value[1:-1] if is_list else value))
    return f"{key}=[{items}]" if is_list else f"{key}={items}"


def _spelled(item: str, key: str) -> str:
    """Quotes an item of a list, or a single value, if it is a text that Hydra's grammar would not read as one."""
    item = item.strip()
    is_word = IDENTIFIER.fullmatch(item) or (key not in COLUMNS and READABLE.fullmatch(item))
    may_be_syntax = not NESTED.match(item) and len(item) != 1
    is_syntax = may_be_syntax and (_is_written(item) or (key not in COLUMNS and SYNTAX.search(item)))
    return item if is_word or is_syntax else as_value(item)


def _is_written(value: str) -> bool:
    """Returns whether a value is written as Hydra has it: in quotes, null, a reference, or not at all."""
    return value in ("", "null") or value.startswith("${") or (value[0] in "'\"" and value[-1] == value[0] != value)


def as_value(text: str) -> str:
    """Quotes and escapes a text for Hydra's grammar."""
    quote = '"' if "'" in text and '"' not in text else "'"
    escaped = re.sub(rf"(\\*)({quote}|$)", lambda found: 2 * found[1] + ("\\" if found[2] else "") + found[2], text)
    return f"{quote}{escaped}{quote}"


def product(parsed: Sequence["Override"], folders: Sequence[Path]) -> list[list[str]]:
    """Expands each of a sweep's overrides into its single values; their combinations are the sweep's jobs.

    Raises:
        ConfigurationError: an override names nothing, asks for a search, which is not a grid, or there are too many.
    """
    found = [_values(override, folders) for override in parsed]
    if (jobs := math.prod(map(len, found))) > MOST_JOBS:
        raise ConfigurationError(f"these are {jobs:,} combinations, and a sweep has at most {MOST_JOBS:,} jobs")
    return found


def _values(override: "Override", folders: Sequence[Path]) -> list[str]:
    from hydra.core.override_parser.types import Glob

    line, key = override.input_line or "", override.get_key_element()
    value = override.value()
    if not override.is_sweep_override():
        return [line]
    if isinstance(value, Glob):
        values = value.filter(list(choices(key, folders)))
    elif override.is_discrete_sweep():
        try:
            values = list(itertools.islice(override.sweep_string_iterator(), MOST_JOBS + 1))
        except ValueError as error:  # as of a range in steps of 0
            raise ConfigurationError(f"{line} is no list of values: {' '.join(str(error).split())}") from error
    else:
        raise ConfigurationError(
            f"{line} asks for a search, but a grid needs lists: {key}=a,b or range(1,4); to search, add sweep=optuna"
        )
    if not values:
        raise ConfigurationError(f"{line} matches nothing")
    if len(values) > MOST_JOBS:
        raise ConfigurationError(f"{line} has more values than a sweep may have jobs, {MOST_JOBS:,}")
    return [f"{key}={value}" for value in values]


def check_choice(override: "Override", folders: Sequence[Path]) -> None:
    """Refuses a choice that a group does not have.

    Raises:
        ConfigurationError: names it, what is like it, and all there are.
    """
    group, value = override.key_or_group, override.value()
    if group in groups(folders) and not override.is_delete() and (group, value) != ("experiment", None):
        if isinstance(value, list):
            raise ConfigurationError(f"{override.input_line} is a list, and a run takes one {group}{several(group)}")
        there = choices(group, folders)
        name = value if isinstance(value, str) else str(override.get_value_element_as_str())
        if name not in there:
            raise ConfigurationError(f"there is no {group}={name}{alternatives(name, there)}")


def several(group: str) -> str:
    """Returns the end of a sentence about several choices of a group that were given to one run."""
    return "; for several in one run, make a choice of a function that returns a list" if group == "callbacks" else ""


def check_keys(parsed: Sequence["Override"], known: Mapping[str, object], folders: Sequence[Path]) -> None:
    """Refuses a key that the composed configuration does not have; `known` are those without the overrides, dotted.

    Raises:
        ConfigurationError: names it, what is like it, and which choices do have it.
    """
    for override in parsed:
        if (key := override.key_or_group) not in known and key not in groups(folders):
            raise ConfigurationError(unknown(key, known, folders))


def unknown(key: str, known: Iterable[str], folders: Sequence[Path]) -> str:
    """Returns the message about an unknown key: which choices have it, or what is close to it in its own section."""
    section, _, name = key.rpartition(".")
    there = [other.rpartition(".")[2] for other in known if section and other.rpartition(".")[0] == section]
    there = [other for other in there if not other.startswith("_")]
    elsewhere = _names(section, folders)
    if name in elsewhere:
        way_out = f"it belongs to {section}={', '.join(elsewhere[name])}"
    elif near := closest(name, there, cutoff=0.5):  # a short name: a letter makes much of it
        way_out = f"did you mean {section}.{near}?"
    elif near := closest(name, elsewhere):
        way_out = f"did you mean {section}.{near}? It belongs to {section}={', '.join(elsewhere[near])}"
    elif there:
        way_out = f"{section} has {', '.join(there)}"
    elif key in OF_RUNS:
        way_out = f"use {command(f'{key}=FOLDER')}"
    elif key in MEANT:
        way_out = f"did you mean {MEANT[key]}?"
    elif not section and (same := [other for other in known if other.rpartition(".")[2] == name]):
        way_out = f"did you mean {' or '.join(same)}?"
    elif not section and (there := [g for g in groups(folders) if g not in OF_OTHERS and name in _names(g, folders)]):
        way_out = " or ".join(
            f"{each}.{name} belongs to {each}={', '.join(_names(each, folders)[name])}" for each in there
        )
    else:
        near = closest(key, [*groups(folders), *known, *OF_RUNS])
        if near is None and not section and (last := closest(name, [other.rpartition(".")[2] for other in known])):
            near = next(other for other in known if other.rpartition(".")[2] == last)
        way_out = f"did you mean {near}?" if near else f"{command('--help')} lists groups and keys"
    return f"there is no key '{key}'; {way_out}"


def where_it_belongs(name: str, folders: Sequence[Path]) -> str | None:
    """Returns the key that a name without its section means, or a group or a dotted key itself; None if there is none.

    It reads the choices' files alone: composing a configuration takes Hydra.
    """
    if name in OF_RUNS or name.partition(".")[0] in groups(folders):
        return name
    there = re.findall(r"^(\w+):", (folders[0] / "train.yaml").read_text("utf-8"), flags=re.MULTILINE)
    sections = (group for group in groups(folders) if group not in OF_OTHERS and name in _names(group, folders))
    section = next(sections, None)
    return name if name in there else MEANT.get(name, f"{section}.{name}" if section else None)


def _names(group: str, folders: Sequence[Path]) -> dict[str, list[str]]:
    """Maps every key of a group's choices to the choices that have it; an unreadable file has none."""
    found: dict[str, list[str]] = {}
    for choice, path in choices(group, folders).items() if group in groups(folders) else ():
        for name in re.findall(r"^(\w+):", path.read_text("utf-8", errors="replace"), flags=re.MULTILINE):
            found.setdefault(name, []).append(choice)
    return found
