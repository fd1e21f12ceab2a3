"""The command: what `train.py` and `fulmen` do with their words. Nothing heavy is imported before a run begins."""

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fulmen.signals import Interrupted, raising
from fulmen.words import ConfigurationError, conf_dir, suggestion

if TYPE_CHECKING:
    from omegaconf import DictConfig

HYDRAS_FLAGS = ("--cfg", "--info", "--resolve", "--package", "--shell-completion", "--hydra-help", "--version")
HYDRAS_SHORT = {"-c": "--cfg", "-i": "--info", "-p": "--package", "-sc": "--shell-completion"}
COMMANDS = ("evaluate", "predict", "export", "compare", "clean")
"""What follows `fulmen` when nothing is to be trained; each is a file in `commands/`."""
REFUSED = ("--config-name", "--config-path", "-cn", "-cp", "--experimental-rerun")


def console() -> None:
    """Runs the words of this process and exits with the run's code."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """Runs a command line.

    Returns:
        0 completed; 1 failed or refused; 3 diverged; 130 or 143 interrupted, with a checkpoint saved.
    """
    try:
        with raising():
            return _dispatch(list(arguments))
    except ConfigurationError as error:
        return _say(error)
    except Interrupted as stop:
        return _say(stop, stop.exit_code)


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in COMMANDS:
        return _command(*arguments)
    config_dir = _take_option(arguments, "--config-dir", "-cd")
    if any(word in ("--help", "-h") for word in arguments):
        from fulmen.composition import search_path
        from fulmen.help import help_text

        print(help_text([conf_dir()] if config_dir is None else search_path(config_dir)), end="")
        return 0
    if any(word.partition("=")[0] in (*HYDRAS_FLAGS, *HYDRAS_SHORT) for word in arguments):
        return _hydra(arguments, config_dir)
    multirun = _take_flag(arguments, "--multirun", "-m")
    _take_flag(arguments, "--run", "-r")
    for word in arguments:
        _check_flag(word)
    if multirun:
        from fulmen.sweeps.grid import sweep

        return sweep(arguments, config_dir)
    return _single(arguments, config_dir)


def _command(name: str, *arguments: str) -> int:
    command = importlib.import_module(f"fulmen.commands.{name}")
    if any(argument in ("--help", "-h") for argument in arguments):
        print(command.__doc__, end="")
        return 0
    code: int = command.main(arguments)
    return code


def _single(words: list[str], config_dir: str | None) -> int:
    from fulmen.composition import compose
    from fulmen.experiment import attempt

    code, message = attempt(compose(words, config_dir))
    return _say(message, code) if code else code


def _take_option(arguments: list[str], *names: str) -> str | None:
    """Removes `--name VALUE` or `--name=VALUE`, and returns the value."""
    for index, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        if name in names:
            if not equals and index + 1 == len(arguments):
                raise ConfigurationError(f"{name} wants a folder after it")
            value = value if equals else arguments[index + 1]
            del arguments[index : index + (1 if equals else 2)]
            return value
    return None


def _take_flag(arguments: list[str], *names: str) -> bool:
    found = any(word in names for word in arguments)
    arguments[:] = [word for word in arguments if word not in names]
    return found


def _check_flag(word: str) -> None:
    name = word.partition("=")[0]
    if name in REFUSED:
        raise ConfigurationError(
            f"{name} is not for Fulmen: conf/train.yaml is the only root, and choices of your own are in --config-dir"
        )
    if word.startswith("-"):
        known = ["--help", "--multirun", "--config-dir", *HYDRAS_FLAGS]
        raise ConfigurationError(
            f"there is no option {name}{suggestion(name, known) or '; keys are written without dashes, see --help'}"
        )


def _hydra(arguments: list[str], config_dir: str | None) -> int:
    """What Hydra itself does well: showing the composed configuration, completing words in a shell."""
    import hydra

    from fulmen.composition import compose

    compose([word for word in arguments if "=" in word and not word.startswith("-")], config_dir)  # for its checks
    sys.argv = [sys.argv[0], *arguments, *([] if config_dir is None else ["--config-dir", config_dir])]
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(_nothing)()
    return 0


def _nothing(_config: "DictConfig") -> None:
    """Hydra's flags print and run nothing."""


def _say(message: object, code: int = 1) -> int:
    print(f"fulmen: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    console()
