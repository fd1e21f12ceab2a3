"""The network that a command works on: loaded as its words say."""

from collections.abc import Sequence

from fulmen import loading
from fulmen.commands.arguments import Arguments
from fulmen.loading import Trained
from fulmen.words import ConfigurationError, read

OPTIONS = {
    "weights": "best or last, of a run's folder",
    "trust_checkpoint": "true for a checkpoint that holds more than plain values",
    "allow_targets": "modules of your own that it may name",
}
"""What every command on a trained network takes."""


def load(arguments: Arguments) -> Trained:
    """The network in the run's folder or checkpoint that was named.

    Raises:
        ConfigurationError: none or several were.
        CheckpointError: it cannot be used; says why.
    """
    if len(arguments.subjects) != 1:
        given = f"{len(arguments.subjects)} were given" if arguments.subjects else "none was given"
        raise ConfigurationError(f"name one run's folder or checkpoint first; {given}")
    options = arguments.options
    return loading.read(
        arguments.subjects[0],
        weights=options.get("weights"),
        trust_checkpoint=_value(options, "trust_checkpoint", False) is True,
        allow_targets=_list(_value(options, "allow_targets", [])),
    )


def _value(options: dict[str, str], name: str, default: object) -> object:
    return read(f"{name}={options[name]}").value() if name in options else default


def _list(value: object) -> Sequence[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
