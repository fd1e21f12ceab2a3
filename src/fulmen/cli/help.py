"""`--help`, and `fulmen help TOPIC`: commands, and every group, choice and key, read from the lines of their files."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fulmen.config.groups import choices, groups
from fulmen.errors import ConfigurationError, command
from fulmen.rules import did_you_mean, split_override

if TYPE_CHECKING:
    from fulmen.rules import Rule

COMMANDS = {
    "train": "train one run; what is done where no command is named",
    "sweep": "train a run for every combination of the listed values",
    "resume": "continue a run or a sweep that was stopped",
    "rerun": "repeat a run in a new folder, with changes if you give any",
    "evaluate": "measure a trained network",
    "predict": "apply a trained network to the rows of a file",
    "export": "write a trained network as ONNX or as a program of torch.export",
    "compare": "show several runs side by side",
    "leaderboard": "rank runs by their score",
    "report": "write a page on a run or a sweep, to open in a browser",
    "tune": "recommend a learning rate or a batch size",
    "new": "write a project of your own: a model, a data set, a metric and a test",
    "trust": "let the modules of a project run on this machine",
    "clean": "show what takes space in folders of runs, and delete what you name",
    "help": "explain a command, a group or a choice",
}
TRAINING = {
    "train": """\
Trains one run; the word `train` may be left out.

usage: {command} train [group=choice ...] [key=value ...]

as in
  {command} train model=deep optimizer=adam optimizer.lr=0.01
""",
    "sweep": """\
Trains a run for every combination of the listed values; -m without the word `sweep` does the same.

usage: {command} sweep [group=choice,choice ...] [key=value,value ...]

as in
  {command} sweep optimizer=sgd,adam seed=0,1,2
  {command} sweep sweep=seeds model=deep        the overrides in conf/sweep/seeds.yaml
""",
    "resume": """\
Continues a run, or a sweep, in its own folder and with its own configuration; resume=FOLDER does the same.

usage: {command} resume FOLDER [trainer.max_epochs=N] [trainer.max_steps=N] [accelerator=choice]

options
  retry=failed    of a sweep: train its failed runs again, too

as in
  {command} resume logs/runs/2026-11-22_11-12-41_ad4e22 trainer.max_epochs=200
""",
    "rerun": """\
Repeats a run in a new folder, with changes if you give any, and shows what has changed; rerun=FOLDER does the same.

usage: {command} rerun FOLDER [group=choice ...] [key=value ...]

as in
  {command} rerun logs/runs/2026-11-22_11-12-41_ad4e22 optimizer.lr=0.01
""",
    "help": """\
Explains commands, groups and choices: their keys with defaults, and which values a key takes.

usage: {command} help TOPIC ...

as in
  {command} help optimizer    the group's choices, and the keys of the default one
  {command} help lbfgs        the keys of a choice; optimizer=lbfgs where its name is in several groups
  {command} help predict      a command and its options
""",
}
"""The help of commands without a file of their own."""
USAGE = """\
Fulmen composes experiments on neural networks: model, data, optimizer, accelerator.

usage: {command} [group=choice ...] [key=value ...]
       {command} COMMAND ...

commands ({command} help COMMAND says more)
{commands}

  {command}                                  train the default: a small network on a sine boundary
  {command} model=deep optimizer=adam        another model, another optimizer
  {command} -m optimizer=sgd,adam seed=0,1   a run for every combination
  {command} sweep=seeds model=deep           a sweep whose overrides are listed in a file
  {command} tune lr data=moons               a learning rate for a run, recommended

options
  -m, --multirun        run every combination of the listed values; hydra/launcher=joblib: several at once
  -m resume=FOLDER      finish a sweep that was stopped; retry=failed: with what failed
  --config-dir FOLDER   take further choices, and the Python files they name, from a folder of your own
  --cfg job             print the composed configuration and run nothing
  -sc install=bash      print the script that completes overrides in a shell: eval "$(fulmen -sc install=bash)"
  --version             print the version
  --help                this text
"""


def help_text(folders: Sequence[Path]) -> str:
    """Returns all that `--help` prints.

    Args:
        folders: of choices, ours and the user's.
    """
    chosen = _defaults(folders)
    order = [group for group in chosen if group in groups(folders)]
    order += [group for group in groups(folders) if group not in order]
    listed = "\n".join(f"  {name:<14}{what}" for name, what in COMMANDS.items())
    parts = [USAGE.format(command=command(), commands=listed)]
    parts += [f"groups (* is taken unless you choose; {command('help')} GROUP or CHOICE shows keys)"]
    parts += ["\n".join(_group(group, chosen.get(group), folders)) for group in order if choices(group, folders)]
    parts += ["keys"]
    for path, prefix in ((folders[0] / "train.yaml", ""), (folders[0] / "trainer/default.yaml", "trainer.")):
        keys = [(key, value, comment) for key, (value, comment) in _keys(path, folders).items() if comment]
        parts.append("\n".join(f"    {prefix}{key}: {value}".ljust(48) + comment for key, value, comment in keys))
    return "\n\n".join(parts) + "\n"


def topic_text(topic: str, folders: Sequence[Path]) -> str:
    """Returns what `help` prints on a group, on a choice (`adam` or `optimizer=adam`), or on a key's group.

    A name in several groups is explained in each.

    Args:
        topic: as typed.
        folders: as for `help_text`.

    Raises:
        ConfigurationError: there is nothing of that name.
    """
    group, name = split_override(topic)
    group = group.partition(".")[0]
    there = groups(folders)
    if "=" in topic and group in there:
        found = [(group, name)] if name in choices(group, folders) else []
    else:
        found = [(each, group) for each in there if group in choices(each, folders) and "." not in topic]
    parts = ["\n".join(_choice(*each, folders)) for each in found]
    if "=" not in topic and group in there:
        default = _defaults(folders).get(group)
        lines = list(_group(group, default, folders))
        if default is not None and (keys := list(_choice(group, default, folders))[1:]):
            other = command("help", f"{group}=CHOICE")
            lines += ["", f"keys of {group}={default}; {other} shows those of another", *keys]
        parts.insert(0, "\n".join(lines))
    if not parts:
        names = [choice for each in there for choice in choices(each, folders)]
        pairs = [f"{each}={choice}" for each in there for choice in choices(each, folders)]
        near = did_you_mean(topic, pairs if "=" in topic else [*COMMANDS, *there, *names])
        raise ConfigurationError(
            f"there is no command, group or choice {topic}{near or f'; {command()} --help lists all there are'}"
        )
    return "\n\n".join(parts) + "\n"


def _defaults(folders: Sequence[Path]) -> dict[str, str | None]:
    """Returns each group's default choice, in the order of `conf/train.yaml`."""
    import yaml

    root = yaml.safe_load((folders[0] / "train.yaml").read_text("utf-8"))
    return {group: name for entry in root["defaults"] if isinstance(entry, dict) for group, name in entry.items()}


def _group(group: str, default: str | None, folders: Sequence[Path]) -> Iterator[str]:
    yield group
    for name, path in choices(group, folders).items():
        yield f"  {'*' if name == default else ' '} {name:<32}{description(path)}"


def _choice(group: str, name: str, folders: Sequence[Path]) -> Iterator[str]:
    """Yields a choice's name and description, then a line for each key: its default, its values, its comment."""
    path = choices(group, folders)[name]
    text = path.read_text("utf-8", errors="replace")
    yield f"{group}={name}: {description(path)}"
    if group in ("experiment", "sweep"):  # their keys are those of other groups
        yield from (f"    {line}" for line in text.splitlines() if line and not line.startswith("#"))
        return
    package = re.search(r"^# *@package +(\w+)", text, re.MULTILINE)
    target = next(iter(re.findall(r"^_target_: *(\S+)", text, re.MULTILINE)), "")
    for key, (value, comment) in _keys(path, folders).items():
        full = f"{package[1] if package else group}.{key}"
        rule = _rule(full, target)
        values = "" if rule is None else str(rule(object())).partition(";")[0]
        yield f"    {full}: {value} ".ljust(40) + "; ".join(filter(None, (values, comment)))


def description(path: Path) -> str:
    """Returns a choice's own one-line comment."""
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return next((line[2:] for line in lines if line.startswith("# ") and not line.startswith("# @")), "")


def _keys(path: Path, folders: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """Returns a file's keys with their defaults and comments, after those of the choice that it builds on."""
    text, found = path.read_text("utf-8", errors="replace"), dict[str, tuple[str, str]]()
    others = choices(path.parent.name, folders)
    for name in re.findall(r"^ *- (\w+) *$", text, re.MULTILINE):
        if name in others and name != path.stem:
            found |= _keys(others[name], folders)
    for key, value, comment in re.findall(r"^([A-Za-z]\w*):(.*?)(?: # (.*))?$", text, re.MULTILINE):
        if key not in ("defaults", "hydra"):
            found[key] = value.strip(), comment or found.get(key, ("", ""))[1]
    return found


def _rule(key: str, target: str) -> "Rule | None":
    """Returns the rule for a key's values, if Fulmen has one: by its name, or by its type in a data set's class."""
    import typing

    from hydra.utils import get_class

    from fulmen.config.validate import COMMON, RULES
    from fulmen.rules import of_type, yes_no

    group, _, name = key.partition(".")
    if group == "figures":
        return None if name == "own" else yes_no
    if group == "data" and name in COMMON:
        return COMMON[name]
    if group == "data" and target.startswith("fulmen."):  # a user's own is not imported to explain it
        hints = typing.get_type_hints(get_class(target))
        return of_type(hints[name]) if name in hints else None
    return RULES.get(key)
