"""The words of a command line, `group=choice` and `key=value`: read, expanded, and checked against the choices.

Nothing here imports torch; what help needs does not even import Hydra.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fulmen.config.groups import choices, groups
from fulmen.errors import ConfigurationError
from fulmen.rules import alternatives, closest, split_override

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

PATHS = ("run_dir", "data_root", "data.path", "data.root")
"""Keys whose values are paths: taken as they are, though Hydra's grammar would want some of them in quotes."""


def read(word: str) -> "Override":
    """A word as Hydra reads it.

    Raises:
        ConfigurationError: Hydra cannot, or the word is about Hydra itself.
    """
    override = parse(word)
    _check_not_hydras(override)
    return override


def parse(word: str) -> "Override":
    """A word as Hydra reads it, which may be about Hydra itself.

    Raises:
        ConfigurationError: Hydra cannot.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _ = split_override(word)
    if key != "sweep" and key.strip("+~ ") == "sweep":
        raise ConfigurationError(f"{word} has a sign too many; a sweep is named with {word.strip('+~ ')}")
    if key == "sweep":
        raise ConfigurationError(f"{word} stands for many runs, and here is one; leave it out, or train with it")
    if not key.strip("+~ ") or ("=" not in word and not key.startswith("~")):
        raise ConfigurationError(f"cannot read {word!r}; write key=value")
    if word.startswith("-"):
        raise ConfigurationError(f"there is no option {word!r}; see --help, and write key=value without dashes")
    try:
        override: Override = OverridesParser.create().parse_override(quoted(word))
    except HydraException as error:
        way_out = "quote a value that has spaces, commas or brackets, as 'key=\"a value\"'"
        raise ConfigurationError(f"cannot read {word!r}; {way_out}") from error
    if not override.key_or_group:
        raise ConfigurationError(f"cannot read {word!r}; write key=value")
    return override


def _check_not_hydras(override: "Override") -> None:
    """Hydra's own words would be accepted, and change nothing: Fulmen makes its folders itself.

    Raises:
        ConfigurationError: says what to take instead.
    """
    line, key = override.input_line, override.key_or_group
    if re.split("[./]", key)[0] != "hydra":
        return
    if key == "hydra.searchpath":
        raise ConfigurationError("hydra.searchpath is not for you to set; give a folder of choices with --config-dir")
    if re.match("hydra[./]launcher", key):
        raise ConfigurationError(f"{line} says where a sweep runs; add -m")
    if re.match("hydra[./]sweeper", key):
        raise ConfigurationError(f"{line} is about a search; add -m sweep=optuna")
    raise ConfigurationError(
        f"{line} is a word of Hydra's own, and would change nothing; a run's folder is run_dir=<folder>"
    )


def quoted(word: str) -> str:
    """The word with its value in quotes, if that is a path that Hydra would stumble over."""
    key, value = split_override(word)
    if key not in PATHS or value[:1] in "'\"" or value in ("", "null") or value.startswith("${"):
        return word
    return f"{key}={as_value(value)}"


def as_value(text: str) -> str:
    """A text in quotes, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def product(overrides: Sequence["Override"], folders: Sequence[Path]) -> list[list[str]]:
    """For each of a sweep's words those that it stands for, whose combinations are the sweep's jobs.

    Raises:
        ConfigurationError: a word names nothing, or asks for a search, which is not a grid.
    """
    return [_values(override, folders) for override in overrides]


def _values(override: "Override", folders: Sequence[Path]) -> list[str]:
    from hydra.core.override_parser.types import Glob

    line, key = override.input_line or "", override.get_key_element()
    value = override.value()
    if not override.is_sweep_override():
        return [line]
    if isinstance(value, Glob):
        values = value.filter(list(choices(key, folders)))
    elif override.is_discrete_sweep():
        values = list(override.sweep_string_iterator())
    else:
        raise ConfigurationError(
            f"{line} asks for a search, and a sweep over a grid takes lists: {key}=a,b or range(1,4); "
            "to search, add sweep=optuna"
        )
    if not values:
        raise ConfigurationError(f"{line} names nothing that exists")
    return [f"{key}={value}" for value in values]


def check_choice(override: "Override", folders: Sequence[Path]) -> None:
    """Finds a choice that a group does not have.

    Raises:
        ConfigurationError: names it, what is like it, and all there are.
    """
    group, value = override.key_or_group, override.value()
    there = choices(group, folders)
    if group in groups(folders) and not override.is_delete() and (group, value) != ("experiment", None):
        name = value if isinstance(value, str) else str(override.get_value_element_as_str())
        if name not in there:
            raise ConfigurationError(f"there is no {group}={name}{alternatives(name, there)}")


def check_keys(overrides: Sequence["Override"], known: Mapping[str, object], folders: Sequence[Path]) -> None:
    """Finds a key that the composed configuration does not have.

    Args:
        overrides: the words.
        known: every key of the configuration without them, dotted, and the choice made in each group.
        folders: of choices.

    Raises:
        ConfigurationError: names it, what is like it, and which choices do have it.
    """
    for override in overrides:
        key = override.key_or_group
        if key in known or key in groups(folders):
            continue
        raise ConfigurationError(unknown(key, known, folders))


def unknown(key: str, known: Iterable[str], folders: Sequence[Path]) -> str:
    """The sentence about a key that is not there: which choices have it, or what is like it in its own section."""
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
    else:
        near = closest(key, [*groups(folders), *known])
        way_out = f"did you mean {near}?" if near else "see --help for what there is"
    return f"there is no key '{key}'; {way_out}"


def _names(group: str, folders: Sequence[Path]) -> dict[str, list[str]]:
    """Every key of a group's choices, and the choices that have it; a file that cannot be read has none."""
    found: dict[str, list[str]] = {}
    for choice, path in choices(group, folders).items() if group in groups(folders) else ():
        for name in re.findall(r"^(\w+):", path.read_text("utf-8", errors="replace"), flags=re.MULTILINE):
            found.setdefault(name, []).append(choice)
    return found
