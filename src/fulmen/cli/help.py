"""`--help`: every group with its choices and what each of them is, read from the first lines of the files."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from fulmen.config.groups import choices, groups
from fulmen.errors import command

USAGE = """\
Fulmen composes experiments on neural networks: model, data, optimizer, accelerator.

usage: {command} [group=choice ...] [key=value ...]

  {command}                                  train the default: a small network on a sine boundary
  {command} model=deep optimizer=adam        another model, another optimizer
  {command} -m optimizer=sgd,adam seed=0,1   a run for every combination
  {command} sweep=seeds model=deep           a sweep whose overrides are listed in a file
  {command} report FOLDER                    a page on a run or a sweep, to open in a browser
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
    root = yaml.safe_load((folders[0] / "train.yaml").read_text("utf-8"))
    chosen = {group: name for entry in root["defaults"] if isinstance(entry, dict) for group, name in entry.items()}
    order = [group for group in chosen if group in groups(folders)]
    order += [group for group in groups(folders) if group not in order]
    parts = [USAGE.format(command=command()), "groups (* is taken unless you choose)"]
    parts += ["\n".join(_group(group, chosen.get(group), folders)) for group in order if choices(group, folders)]
    parts += ["keys (those of a group: --cfg job group=choice)"]
    parts += [
        "\n".join(_keys(folders[0] / "train.yaml", "")),
        "\n".join(_keys(folders[0] / "trainer/default.yaml", "trainer.")),
    ]
    return "\n\n".join(parts) + "\n"


def _group(group: str, default: str | None, folders: Sequence[Path]) -> Iterator[str]:
    yield group
    for name, path in choices(group, folders).items():
        yield f"  {'*' if name == default else ' '} {name:<28}{description(path)}"


def description(path: Path) -> str:
    """Returns a choice's own one-line comment."""
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return next((line[2:] for line in lines if line.startswith("# ") and not line.startswith("# @")), "")


def _keys(path: Path, prefix: str) -> Iterator[str]:
    """Yields the keys at the top of a file that have a comment behind them."""
    for line in path.read_text("utf-8").splitlines():
        entry, found, comment = line.partition(" # ")
        if found and not entry.startswith((" ", "#")):
            yield f"    {prefix}{entry}".ljust(48) + comment
