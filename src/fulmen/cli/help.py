"""`--help`, and `fulmen help TOPIC`: commands, groups, choices, keys (read from the lines of their files) and terms."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

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
    "help": "explain a command, a group, a choice, a key, a metric or a term",
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
Explains commands, groups and choices, keys with their defaults and the values they take, metrics and terms.

usage: {command} help TOPIC ...

as in
  {command} help optimizer    the group's choices, and the keys of the default one
  {command} help lbfgs        the keys of a choice; optimizer=lbfgs where its name is in several groups
  {command} help predict      a command and its options
  {command} help freeze       a key; optimizer.lr, or lr for the keys of that name in all groups
  {command} help auroc        a metric
""",
}
"""The help of commands without a file of their own."""
TERMS = {
    "run": "one training, from its configuration to its metrics, in a folder of its own.",
    "sweep": "many runs from one command.",
    "job": "a run of a sweep.",
    "score": "the metric that decides which weights and which runs are best; `val/loss` unless you set `score=`.",
    "split": "rows for one purpose. The network learns from `train`; `val` decides which weights are kept; `test` is "
    "only for the final metrics.",
    "choice": "one file in the folder of a group, such as `conf/optimizer/adam.yaml`.",
    "group": "a kind of part, such as `optimizer`, from which a run takes one choice: `optimizer=adam`.",
    "key": "a setting with a value, of a choice or of the whole run: `optimizer.lr=0.01`, `seed=1`.",
    "override": "`group=choice` or `key=value`, as typed.",
    "pass": "one round through all training rows, an epoch.",
    "hydra/launcher": "what runs the jobs of a sweep: `basic` (one after the other), `joblib` (several at once), "
    "`vectorized` (all as one), `ray`, `submitit_local` or `submitit_slurm`.",
    "hydra.launcher.copies": "of `hydra/launcher=vectorized`: how many runs train as one at most; `auto`: as many as "
    "fit into memory.",
    "hydra.launcher.through": "of `hydra/launcher=vectorized`: `basic`, `joblib` or `ray`, which runs each stack.",
}
"""The words of the README, and some that messages use."""
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
    """Returns what `help` prints on a group, a choice (`adam` or `optimizer=adam`), a key, a metric or a term.

    A name that is several of these is explained as each.

    Args:
        topic: as typed.
        folders: as for `help_text`.

    Raises:
        ConfigurationError: there is nothing of that name.
    """
    there, keys = groups(folders), _all_keys(folders)
    group, name = split_override(topic)
    parts = list[str]()
    if name and group in there:
        parts += ["\n".join(_choice(group, name, folders))] if name in choices(group, folders) else []
    else:
        parts += [_group_and_keys(group, folders)] if group in there else []
        parts += ["\n".join(_choice(each, group, folders)) for each in there if group in choices(each, folders)]
        parts += list(_meanings(group))
        parts += ["\n".join(_key_lines(key, found)) for key, found in keys.items() if _is_named(group, key)]
        parts += list(_options(group))
    if not parts:
        names = [choice for each in there for choice in choices(each, folders)]
        pairs = [f"{each}={choice}" for each in there for choice in choices(each, folders)]
        from fulmen.tasks.names import MEANINGS

        known = [*COMMANDS, *there, *names, *keys, *(key.rpartition(".")[2] for key in keys), *MEANINGS, *TERMS]
        near = did_you_mean(topic, pairs if "=" in topic else known)
        raise ConfigurationError(f"there is no help on {topic}{near or f'; {command()} --help lists all there is'}")
    return "\n\n".join(parts) + "\n"


def _is_named(topic: str, key: str) -> bool:
    return topic in (key, key.rpartition(".")[2])


def _meanings(topic: str) -> Iterator[str]:
    """Yields what a term or a metric means; a metric may have its split before it, as in `val/loss`."""
    from fulmen.data.source import SPLITS
    from fulmen.tasks.names import FURTHER, MEANINGS, METRICS, mode

    term = "split" if topic in SPLITS else topic
    if term in TERMS:
        yield f"{term}: {TERMS[term]}"
    split, _, metric = topic.rpartition("/")
    if metric in MEANINGS and split in ("", *SPLITS):
        of_values, of_classes = (metric in (*METRICS[task], *FURTHER[task]) for task in ("regression", "multiclass"))
        of = "values and classes" if of_values == of_classes else "values" if of_values else "classes"
        added = any(metric in names for names in FURTHER.values())
        yield "\n".join(
            [
                f"metric {metric}, of {of}: {MEANINGS[metric]}",
                f"    {mode(metric)}imized where it is the score: score=val/{metric}",
                *([f"    measured with metrics=[{metric}]"] if added else []),
            ]
        )


def _options(name: str) -> Iterator[str]:
    """Yields the lines on an option in the help of commands."""
    for each in COMMANDS:
        file = Path(__file__).with_name(f"{each}.py")
        text = TRAINING.get(each) or ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
        option = re.compile(rf"(?:  |usage:.*\[){re.escape(name)}=")
        yield from (f"{command(each)}: {line.strip()}" for line in text.splitlines() if option.match(line))


def _group_and_keys(group: str, folders: Sequence[Path]) -> str:
    default = _defaults(folders).get(group)
    lines = list(_group(group, default, folders))
    if default is not None and (keys := list(_choice(group, default, folders))[1:]):
        other = command("help", f"{group}=CHOICE")
        lines += ["", f"keys of {group}={default}; {other} shows those of another", *keys]
    return "\n".join(lines)


class Found(NamedTuple):
    """A key in a file of `conf/`."""

    choice: str
    """As `optimizer=adam`; empty for a key of `conf/train.yaml`."""
    default: str
    comment: str
    target: str
    """What the choice makes."""


def _all_keys(folders: Sequence[Path]) -> dict[str, list[Found]]:
    """Returns where each key stands, by its full name."""
    found = dict[str, list[Found]]()
    for key, (value, comment) in _keys(folders[0] / "train.yaml", folders).items():
        found.setdefault(key, []).append(Found("", value, comment, ""))
    for group in groups(folders):
        for name, path in choices(group, folders).items():
            is_search = (group, name) == ("sweep", "optuna")
            if group in ("experiment", "sweep") and not is_search:  # their keys are those of other groups
                continue
            package, target = ("hydra.sweeper", "") if is_search else _package(group, path)
            for key, (value, comment) in _keys(path, folders).items():
                found.setdefault(f"{package}.{key}", []).append(Found(f"{group}={name}", value, comment, target))
    return found


def _key_lines(key: str, found: Sequence[Found]) -> Iterator[str]:
    """Yields a line on a key for each of its defaults, with the choices that have it."""
    lines = dict[str, list[str]]()
    for each in found:
        lines.setdefault(_line(key, each.default, each.comment, each.target).strip(), []).append(each.choice)
    for line, names in lines.items():
        group = split_override(names[0])[0]
        yield line + (f" ({group}={', '.join(split_override(name)[1] for name in names)})" if names[0] else "")


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
    package, target = _package(group, path)
    for key, (value, comment) in _keys(path, folders).items():
        yield _line(f"{package}.{key}", value, comment, target)


def _package(group: str, path: Path) -> tuple[str, str]:
    """Returns the section that a choice's keys belong to, and what the choice makes."""
    text = path.read_text("utf-8", errors="replace")
    package = re.search(r"^# *@package +(\w+)", text, re.MULTILINE)
    return package[1] if package else group, next(iter(re.findall(r"^_target_: *(\S+)", text, re.MULTILINE)), "")


def _line(key: str, default: str, comment: str, target: str) -> str:
    rule = _rule(key, target)
    values = "" if rule is None else str(rule(object())).partition(";")[0]
    return f"    {key}: {default} ".ljust(40) + "; ".join(filter(None, (values, comment)))


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
    """Returns the rule for a key's values, if Fulmen has one: by its name, or as a data set's class has it."""
    import typing

    from hydra.utils import get_class

    from fulmen.config.validate import COMMON, RULES
    from fulmen.data.source import Source
    from fulmen.rules import of_type, yes_no
    from fulmen.sweeps.search import options

    group, _, name = key.rpartition(".")
    if group == "figures":
        return None if name == "own" else yes_no
    if group == "data" and name in COMMON:
        return COMMON[name]
    if group == "data" and target.startswith("fulmen."):  # a user's own is not imported to explain it
        made = get_class(target)
        hints = typing.get_type_hints(made)
        own = made.rules.get(name) if issubclass(made, Source) else None
        return own or (of_type(hints[name]) if name in hints else None)
    return options.RULES.get(name) if f"{group}." == options.KEYS else RULES.get(key)
