"""Every exception that Fulmen raises, and warnings for the user."""

import functools
import shlex
import sys
import sysconfig
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = Path(__file__).parent
LONGEST = 500
"""Characters of a foreign message, at most."""
LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))

_in_python: ContextVar[bool] = ContextVar("in_python", default=False)
own_words: ContextVar[tuple[str, ...]] = ContextVar("own_words", default=())
"""What a command on the run of this process needs beside it: `--config-dir` and a folder, then permissions."""


def from_python(function: Callable[P, R]) -> Callable[P, R]:
    """Lets advice be in the words of Python, not of a command line, while a function runs."""

    @functools.wraps(function)
    def call(*args: P.args, **keywords: P.kwargs) -> R:
        python, own = _in_python.set(True), own_words.set(())
        try:
            return function(*args, **keywords)
        finally:
            _in_python.reset(python)
            own_words.reset(own)

    return call


def advice(typed: str, python: str) -> str:
    """Returns what to do on a command line, or from Python."""
    return python if _in_python.get() else typed


def permission(name: str, value: str) -> str:
    """Returns how `allow_targets` or `trust_checkpoint` is given a value that is written as an override's."""
    argument = "True" if value == "true" else value.strip("[]").split(",")
    return advice(f"{name}={value}", f"{name}={argument} (in a list of overrides: {f'{name}={value}'!r})")


def warn(sentence: str) -> None:
    """Prints a warning on the error stream: what a user should know but need not act on."""
    print(f"fulmen: {sentence}", file=sys.stderr)


def command(*words: str) -> str:
    """Returns what to type for these words, after the program as it was typed: `python train.py`, or else `fulmen`.

    From Python it is the function to call, where there is one that does it.
    """
    if words and words[0].partition("=")[0] in ("resume", "rerun"):
        own = [word for word in own_words.get() if word not in words]
        start = 2 if own[:1] == ["--config-dir"] else 0
        words = (*own[:start], *words, *own[start:])
    if _in_python.get() and (call := _call([*words])):
        return call
    program = Path(sys.argv[0])
    return shlex.join([*(["python", str(program)] if program.name == "train.py" else ["fulmen"]), *words])


def _call(words: list[str]) -> str | None:
    config_dir = words[1] if words[:1] == ["--config-dir"] else None
    words = words[2:] if config_dir else words
    name, _, folder = words[0].partition("=") if words else ("", "", "")
    own = f", config_dir={config_dir!r}" if config_dir else ""
    if name == "-m":
        return f"fulmen.sweep({words[1:]}{own})"
    if name == "resume":
        return f"fulmen.resume({folder!r}{f', {words[1:]}' if words[1:] else ''})"
    if name == "rerun":
        return f"fulmen.train({f'{words[1:]}, ' if words[1:] else ''}rerun={folder!r}{own})"
    return None


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


class Impossible(Exception):
    """Something would be faster in another way, which is not possible here; says why. Never reaches the user alone."""


class Finished(ValueError):
    """A run that was to be resumed has nothing more to do."""


def is_own(error: BaseException) -> bool:
    """Returns whether Fulmen wrote the message of an error; other code raises the same types."""
    frames = traceback.extract_tb(error.__traceback__)
    raised_here = bool(frames) and PACKAGE in Path(frames[-1].filename).parents
    return type(error).__module__ == __name__ or (raised_here and isinstance(error, (ValueError, FileExistsError)))


def first_line(error: BaseException) -> str:
    """Returns the type of an error and the first line of its message."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def one_line(error: BaseException) -> str:
    """Returns an error as a sentence; one of foreign code has its type before it, and the line of the user's file."""
    said = " ".join(str(error).split())
    if is_own(error):
        return said
    said = f"{said[:LONGEST]} ..." if len(said) > LONGEST else said  # some print whole tensors
    files = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    while files and PACKAGE not in files[0][0].parents:  # the program that uses Fulmen
        del files[0]
    known = (PACKAGE, *LIBRARIES)
    own = [(file, line) for file, line in files if file.is_file() and not any(home in file.parents for home in known)]
    place = f" ({own[-1][0]}, line {own[-1][1]})" if own else ""
    return f"{type(error).__name__}{f': {said}' if said else ''}{place}"
