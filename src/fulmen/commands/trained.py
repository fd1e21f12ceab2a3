"""The network that a command works on: loaded as its words say."""

from typing import TYPE_CHECKING

from fulmen import importing
from fulmen.commands.arguments import Arguments, one_of
from fulmen.targets import listed
from fulmen.words import ConfigurationError, read

if TYPE_CHECKING:
    from fulmen.loading import Trained

OPTIONS = {
    "weights": "best or last, of a run's folder",
    "trust_checkpoint": "true for a checkpoint that holds more than plain values",
    "allow_targets": "modules of your own that it may name",
}
"""What every command on a trained network takes."""
YES_NO = ("true", "false")


def load(arguments: Arguments) -> "Trained":
    """The network in the run's folder or checkpoint that was named.

    Raises:
        ConfigurationError: none or several were.
        CheckpointError: it cannot be used; says why.
    """
    if len(arguments.subjects) != 1:
        given = f"{len(arguments.subjects)} were given" if arguments.subjects else "none was given"
        raise ConfigurationError(f"name one run's folder or checkpoint first; {given}")
    with importing.at_once():
        from fulmen import loading  # and with it torch: seconds, which help and wrong words need not wait for

    options = arguments.options
    return loading.read(
        arguments.subjects[0],
        weights=options.get("weights"),
        trust_checkpoint=one_of("trust_checkpoint", options.get("trust_checkpoint", "false"), YES_NO) == "true",
        allow_targets=listed(read(f"allow_targets={options.get('allow_targets', '[]')}").value()),
    )
