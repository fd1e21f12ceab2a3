"""Every exception that Fulmen raises, and warnings for the user."""

import sys


def warn(sentence: str) -> None:
    """Prints a warning on the error stream: what a user should know but need not act on."""
    print(f"fulmen: {sentence}", file=sys.stderr)


class CheckpointError(ValueError):
    """A checkpoint is not there, is damaged, or is none."""


class UntrustedCheckpoint(CheckpointError):
    """A checkpoint holds more than tensors and plain values, so that reading it would run code."""


class Pruned(Exception):
    """A run was ended because it was not worth its time; no failure."""


class Diverged(ArithmeticError):
    """The loss, the score or a parameter is no longer finite."""

    def __init__(self, what: str, way_out: str = "try a smaller optimizer.lr, or trainer.gradient_clip=1") -> None:
        super().__init__(f"{what}; {way_out}")
        self.what = what


class ConfigurationError(ValueError):
    """Something in the configuration is not as it must be; the message says what, and what would be right."""


class Finished(ValueError):
    """A run that was to be resumed has nothing more to do."""
