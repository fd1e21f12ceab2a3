"""The command: what `train.py` and `fulmen` do with their arguments. Nothing heavy is imported before a run begins."""

import atexit
import functools
import gc
import importlib
import itertools
import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from fulmen.cli import broken_pipe
from fulmen.cli.help import COMMANDS, TRAINING, help_text, topic_text
from fulmen.config import project
from fulmen.config.groups import choices, groups, search_path
from fulmen.config.overrides import open_brackets, where_it_belongs
from fulmen.errors import ConfigurationError, Finished, command, one_line, own_words
from fulmen.rules import closest, split_override
from fulmen.runs.files import expand_home, explain
from fulmen.runs.signals import Interrupted, raising

HYDRAS_FLAGS = ("--cfg", "--info", "--resolve", "--package", "--shell-completion", "--hydra-help")
HYDRAS_SHORT = ("-c", "-i", "-p", "-sc")
OF_PROJECTS = (*TRAINING, "evaluate", "predict", "export", "tune")
"""Commands that take choices and modules from a `fulmen.toml`."""
OF_NETWORKS = ("evaluate", "predict", "export")
"""Those about a trained network, which may come from anywhere."""
REFUSED = ("--config-name", "--config-path", "-cn", "-cp", "--experimental-rerun")


def console() -> None:
    """Runs this process's arguments and exits with the run's code."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # until a run listens, and again once it has ended
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the last of all: Python forgets handlers next
    broken_pipe.outlive_readers()
    code = main(sys.argv[1:])
    sys.stdout.flush()
    gc.freeze()  # nothing that is still there is garbage; Python would look for a second, once torch is imported
    sys.exit(code)


def main(arguments: Sequence[str]) -> int:
    """Runs a command line.

    Returns:
        0 completed; 1 failed or refused; 3 diverged; 130, 143 or 140 interrupted, with a checkpoint saved.
    """
    try:
        with raising():
            return _dispatch(list(arguments))
    except ConfigurationError as error:
        if not {"trainer=debug", "trainer.debug=true"}.isdisjoint(arguments):
            traceback.print_exception(error)
        return _say(error)
    except OSError as error:
        return _say(explain(error))
    except Interrupted as stop:
        return _say(stop, stop.exit_code)


def _dispatch(arguments: list[str]) -> int:
    own_words.set(())
    _check_split(arguments)
    config_dir = _take_option(arguments, "--config-dir", "-cd")
    asks = _take_flag(arguments, "--help", "-h")
    if config_dir is None:
        config_dir = _take_project(arguments, asks=asks)
    if arguments and arguments[0] in COMMANDS:
        name, *rest = arguments
        if asks or name == "help":
            return _help(config_dir, [name] if asks else rest)
        if name not in TRAINING:
            return _command(config_dir, name, *rest)
        arguments = _as_overrides(name, rest)
    elif arguments and re.fullmatch(r"\w+", arguments[0]) and (near := closest(arguments[0], COMMANDS, cutoff=0.7)):
        raise ConfigurationError(f"there is no command {arguments[0]}; did you mean {near}?")
    if asks:
        return _help(config_dir, [])
    if "--version" in arguments:
        print(f"Fulmen {version('fulmen')}")
        return 0
    if any(split_override(argument)[0] in (*HYDRAS_FLAGS, *HYDRAS_SHORT) for argument in arguments):
        from fulmen.cli import hydra_flags

        return hydra_flags.run(arguments, config_dir)
    multirun = _take_flag(arguments, "--multirun", "-m")
    _take_flag(arguments, "--run", "-r")
    folders = search_path(config_dir)
    for argument, after in itertools.pairwise([*arguments, ""]):
        _check_flag(argument, after, folders)
        _check_word(argument, after, folders)
    if multirun or any(argument.startswith("sweep=") for argument in arguments):
        return _sweep(arguments, config_dir)
    return _single(arguments, config_dir)


def _take_project(arguments: list[str], *, asks: bool) -> str | None:
    """Returns the folder of choices of the project that a command is about, and adds what it may run.

    It is the project that a run or a checkpoint among the arguments lies in; without one, the working directory's.
    What came from elsewhere gets nothing: it could call the project's functions with arguments of its author's.
    """
    name = arguments[0] if arguments and arguments[0] in COMMANDS else "train"
    if name not in OF_PROJECTS or "--version" in arguments:
        return None
    given = (split_override(word)[1] if word.startswith(("resume=", "rerun=")) else word for word in arguments)
    runs = [Path(path) for path in map(expand_home, given) if os.path.exists(path)]
    places = runs or ([] if name in OF_NETWORKS else [Path.cwd()])
    if not asks and name != "help":
        return project.supply(arguments, places)
    its = project.trusted(places, ask=False)
    return None if its is None else str(its.config_dir)


def _help(config_dir: str | None, topics: Sequence[str]) -> int:
    """Prints the help on each topic; without one, all of it."""
    folders, texts = search_path(config_dir), []
    for topic in topics:
        if topic in TRAINING:
            texts.append(TRAINING[topic].format(command=command()))
        elif topic in COMMANDS:
            module = importlib.import_module(f"fulmen.cli.{topic}")
            texts.append((module.__doc__ or "").replace(f"fulmen {topic}", command(topic)))
        if topic not in COMMANDS or topic in groups(folders):
            texts.append(topic_text(topic, folders))
    print("\n".join(texts) if texts else help_text(folders), end="")
    return 0


def _as_overrides(name: str, arguments: list[str]) -> list[str]:
    """Returns the arguments of `train`, `sweep`, `resume` or `rerun` as one types them without such a word.

    Raises:
        ConfigurationError: `resume` or `rerun` has no folder.
    """
    if name in ("train", "sweep"):
        return arguments if name == "train" else ["-m", *arguments]
    if (
        not arguments
        or arguments[0].startswith("-")
        or ("=" in arguments[0] and not expand_home(arguments[0]).exists())
    ):
        raise ConfigurationError(f"{name} needs a folder after it, as in {command(name, 'FOLDER')}")
    is_sweep = name == "resume" and (expand_home(arguments[0]) / "sweep.yaml").is_file()
    return [*(["-m"] if is_sweep else []), f"{name}={arguments[0]}", *arguments[1:]]


def _command(config_dir: str | None, name: str, *arguments: str) -> int:
    module = importlib.import_module(f"fulmen.cli.{name}")
    if config_dir is not None:
        search_path(config_dir)  # where allowed modules may be
    try:
        composes = name in ("tune", "evaluate")
        code: int = module.main(arguments, config_dir) if composes else module.main(arguments)
    except OSError as error:
        return _say(" ".join(str(error).split()))
    except Exception as error:  # what a user can mend, or what nobody has thought of, of somebody's own parts perhaps
        return _say(one_line(error))
    return code


def _single(overrides: list[str], config_dir: str | None) -> int:
    own_words.set(() if config_dir is None else ("--config-dir", config_dir))
    resume, rerun = _take_path(overrides, "resume"), _take_path(overrides, "rerun")
    if resume is not None and rerun is not None:
        raise ConfigurationError("resume= continues a run and rerun= repeats one; give one of the two")
    if resume is not None:
        return _resume(expand_home(resume), overrides, config_dir)
    from fulmen.config import recorded
    from fulmen.config.compose import compose
    from fulmen.experiment import build

    of = None if rerun is None else expand_home(rerun)
    config = compose(overrides, config_dir) if of is None else recorded.to_rerun(of, overrides, config_dir)
    run = functools.partial(build.train, config, rerun=of)
    return _tell(*build.attempt(run, build.new_folder(config), debug=config.trainer.debug))


def _resume(folder: Path, overrides: list[str], config_dir: str | None) -> int:
    from fulmen.experiment import build

    search_path(config_dir)  # where allowed modules may be
    return _tell(*build.attempt(functools.partial(build.resume, overrides=overrides), folder))


def _sweep(overrides: list[str], config_dir: str | None) -> int:
    from fulmen.sweeps import sweep

    try:
        _, found = sweep.run(overrides, config_dir)
    except Finished as nothing:
        print(nothing)
        return 0
    return int(any(not result.done for result in found))


def _take_path(overrides: list[str], name: str) -> str | None:
    """Removes `name=VALUE`, and returns the value as it was typed: it is a path, and Hydra would stumble over some."""
    values = [split_override(argument)[1] for argument in overrides if argument.startswith(f"{name}=")]
    overrides[:] = [argument for argument in overrides if not argument.startswith(f"{name}=")]
    if len(values) > 1 or "" in values:
        raise ConfigurationError(f"{name}= needs exactly one run folder")
    return values[0] if values else None


def _take_option(arguments: list[str], *names: str) -> str | None:
    """Removes `--name VALUE` or `--name=VALUE`, and returns the value."""
    for index, argument in enumerate(arguments):
        name, value = split_override(argument)
        if name in names:
            if "=" in argument:
                del arguments[index]
                return value
            if index + 1 == len(arguments):
                raise ConfigurationError(f"{name} needs a folder after it")
            del arguments[index]
            return arguments.pop(index)
    return None


def _take_flag(arguments: list[str], *names: str) -> bool:
    found = any(argument in names for argument in arguments)
    arguments[:] = [argument for argument in arguments if argument not in names]
    return found


def _check_split(arguments: Sequence[str]) -> None:
    """Refuses a list or names with values that the shell has split at its spaces.

    Raises:
        ConfigurationError: shows the whole, in quotes.
    """
    for index, argument in enumerate(arguments):
        if split_override(argument)[1][:1] not in ("[", "{"):
            continue
        whole = argument
        for part in arguments[index + 1 :]:
            if "=" in part or open_brackets(whole) <= 0:
                break
            whole = f"{whole} {part}"
        if whole != argument and open_brackets(whole) == 0:
            raise ConfigurationError(
                f"{argument!r} is only the beginning of {whole!r}, as the shell splits arguments at spaces; quote the "
                f"whole argument: {shlex.quote(whole)}"
            )


def _check_word(word: str, after: str, folders: Sequence[Path]) -> None:
    """Refuses a word without an equals sign, where it is plain what it should be.

    Raises:
        ConfigurationError: shows that; `after` is the next argument.
    """
    if "=" in word or not re.fullmatch(r"[\w./]+", word):
        return
    meant = [f"{group}={word}" for group in groups(folders) if word in choices(group, folders)]
    if after and "=" not in after and after[0] != "-" and where_it_belongs(word, folders):
        meant = [f"{where_it_belongs(word, folders)}={after}"]
    if meant:
        raise ConfigurationError(f"cannot read {word!r}; write key=value, as {' or '.join(meant)}")


def _check_flag(argument: str, after: str, folders: Sequence[Path]) -> None:
    """Refuses an option that there is not; `after` is the next argument, which may be its value."""
    name, value = split_override(argument)
    if name in REFUSED:
        raise ConfigurationError(
            f"{name} is not for Fulmen: conf/train.yaml is the only root, and choices of your own are in --config-dir"
        )
    if argument.startswith("-"):
        key = name.lstrip("-")
        value = value if "=" in argument or "=" in after or after.startswith("-") else after
        known = ["--help", "--version", "--multirun", "--config-dir", *HYDRAS_FLAGS]
        near = closest(key, [flag.lstrip("-") for flag in known])
        if meant := where_it_belongs(key, folders):
            way_out = f"keys are written without dashes: {meant}={value or '...'}"
        else:
            way_out = f"did you mean --{near}?" if near else "keys are written without dashes, see --help"
        raise ConfigurationError(f"there is no option {name}; {way_out}")


def _tell(code: int, message: str) -> int:
    """Reports how a run ended, unless that is plain to see."""
    if message:
        print(f"fulmen: {message}", file=sys.stderr if code else sys.stdout)
    return code


def _say(message: object, code: int = 1) -> int:
    print(f"fulmen: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    console()
