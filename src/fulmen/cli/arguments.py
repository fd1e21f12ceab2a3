"""The arguments of a command: what it works on, then options, as in `fulmen predict RUN input=rows.csv`."""

import fnmatch
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fulmen import rules
from fulmen.errors import ConfigurationError
from fulmen.experiment import importing
from fulmen.rules import did_you_mean, split_override
from fulmen.runs.files import expand_home
from fulmen.runs.folder import SWEEP

if TYPE_CHECKING:
    from fulmen.experiment.load import Trained


LABELS = {
    "name": "only runs of that name, * for any letters",
    "tags": "only runs with all these tags, separated by commas",
    "note": "only runs with these words in their note",
}
"""Options of the commands that look through many runs."""


class Arguments(NamedTuple):
    """A command's arguments, sorted."""

    subjects: list[str]
    """Run folders or checkpoints, in the order given."""
    options: dict[str, str]
    """Values of the options that the command knows, as typed."""
    overrides: list[str]
    """All other `key=value`, for the configuration."""


def parse(arguments: Sequence[str], known: Mapping[str, str], *, configuration: bool = False) -> Arguments:
    """Sorts a command's arguments.

    Args:
        arguments: as typed, after the command's name.
        known: the options, and what each of them is.
        configuration: whether overrides may change the configuration.

    Raises:
        ConfigurationError: an argument is none of these.
    """
    found = Arguments([], {}, [])
    for argument in arguments:
        name, value = split_override(argument)
        if argument.startswith("-"):
            raise ConfigurationError(f"there is no option {name}; {_there(known)}")
        is_path = "=" not in argument or "/" in name or "\\" in name
        if is_path or (name not in known and (argument.endswith(".ckpt") or expand_home(argument).exists())):
            found.subjects.append(argument if "://" in argument else str(expand_home(argument)))
        elif name in known:
            found.options[name] = value
        elif configuration and ("." in name or not did_you_mean(name, known)):
            found.overrides.append(argument)
        else:
            raise ConfigurationError(f"there is no option {name}={did_you_mean(name, known) or ';'} {_there(known)}")
    return found


def labels(options: Mapping[str, str]) -> dict[str, str]:
    """Returns those of a command's options that are in `LABELS`.

    Raises:
        ConfigurationError: one is empty.
    """
    found = {name: value for name, value in options.items() if name in LABELS}
    for name, value in found.items():
        if not value.strip("[] "):
            raise ConfigurationError(f"{name}= is empty, but means: {LABELS[name]}; give it a value, or leave it out")
    return found


def is_labelled(config: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    """Returns whether a run, by its configuration, has the labels that `labels` returned."""
    tags = {tag.strip(" '\"") for tag in wanted.get("tags", "").strip("[]").split(",")} - {""}
    is_named = fnmatch.fnmatchcase(str(config.get("name") or ""), wanted.get("name", "*"))
    return is_named and tags <= {*(config.get("tags") or ())} and wanted.get("note", "") in (config.get("note") or "")


def output(arguments: Arguments, endings: Collection[str] = ()) -> Path | None:
    """Returns where the user wants the result; None where they did not say.

    Raises:
        ConfigurationError: it does not end as it must, or cannot be a file there.
    """
    if "output" not in arguments.options:
        return None
    path = expand_home(arguments.options["output"])
    if endings and path.suffix not in endings:
        one_of = "one of " if len(endings) > 1 else ""
        raise ConfigurationError(f"output={path} must end in {one_of}{', '.join(endings)}")
    if not path.parent.is_dir():
        raise ConfigurationError(f"output={path} cannot be written: {path.parent} is not a folder")
    if path.is_dir():
        raise ConfigurationError(f"output={path} is a folder")
    given = expand_home(arguments.options.get("input", ""))
    if path.exists() and given.is_file() and path.samefile(given):
        raise ConfigurationError(f"output={path} is the input, which it would replace; name another file")
    return path


def folder(name: str, value: str) -> Path:
    """Returns the folder that an option names, which is made.

    Raises:
        ConfigurationError: it cannot be one.
    """
    path = expand_home(value)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{name}={path} cannot be a folder: {error.strerror or error}") from error
    return path


def one_of(name: str, value: str, there: Collection[str]) -> str:
    """Returns an option's value.

    Raises:
        ConfigurationError: it is none of those `there` are.
    """
    rules.check(name, value, rules.one_of(*there))
    return value


def _there(known: Mapping[str, str]) -> str:
    return "there are " + (", ".join(f"{name}= ({what})" for name, what in known.items()) or "none")


OPTIONS = {
    "weights": "best or last, of a run's folder",
    "trust_checkpoint": "true for a checkpoint that holds more than plain values",
    "allow_targets": "modules of your own that it may name",
}
"""The arguments of every command on a trained network."""
YES_NO = ("true", "false")


def load(arguments: Arguments) -> "Trained":
    """Returns the network in the run's folder or checkpoint that was named.

    Raises:
        ConfigurationError: none or several were, or a sweep.
        CheckpointError: it cannot be used; says why.
    """
    if len(arguments.subjects) != 1:
        given = f"{len(arguments.subjects)} were given" if arguments.subjects else "none was given"
        raise ConfigurationError(f"name one run's folder or checkpoint first; {given}")
    if (Path(arguments.subjects[0]) / SWEEP).is_file():
        raise ConfigurationError(_of_sweep(Path(arguments.subjects[0])))
    with importing.at_once():  # torch: seconds, which help and refusals need not wait for
        from fulmen.config.allowlist import listed
        from fulmen.config.overrides import read
        from fulmen.experiment import load as loading

    options = arguments.options
    return loading.read(
        arguments.subjects[0],
        weights=options.get("weights"),
        trust_checkpoint=one_of("trust_checkpoint", options.get("trust_checkpoint", "false"), YES_NO) == "true",
        allow_targets=listed(read(f"allow_targets={options.get('allow_targets', '[]')}").value()),
    )


def _of_sweep(folder: Path) -> str:
    """Returns the sentence about a sweep that was named where a command takes one of its runs."""
    from fulmen.sweeps import record, results  # which help and other refusals need not wait for

    plan = record.read(folder)
    best = results.best(results.read_all(folder, plan.jobs), plan.score)
    which = f"none of its runs has a {plan.score} yet"
    if best is not None:
        which = f"the best of its runs, by {plan.score}, is {best.folder}"
    return f"{folder} is a sweep, not a run; {which}"
