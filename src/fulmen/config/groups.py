"""The groups of `conf/` and their choices, read from the names of folders and files.

Nothing here imports Hydra or OmegaConf, so that `--help` answers at once.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from fulmen.config import project
from fulmen.errors import ConfigurationError

_not_importable: list[Path] = []
"""Folders of the last choices of the user's own, until one of the modules in them is allowed."""


def conf_dir() -> Path:
    """Returns the folder of choices: inside an installed package, or at the top of a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "conf"


def search_path(config_dir: str | Path | None) -> list[Path]:
    """Returns the folders of choices: ours, then the user's own.

    Raises:
        ConfigurationError: there is no such folder, or one would have Hydra run code in it.
    """
    if config_dir is None:
        return [conf_dir()]
    own = Path(config_dir).resolve()
    if not own.is_dir():
        raise ConfigurationError(f"there is no folder {config_dir} to take choices from")
    beside = project.find([own]) or own  # its modules are in the project's folder, from wherever a command is typed
    added = [path for path in dict.fromkeys((own, beside, Path.cwd())) if str(path) not in sys.path]
    project.check_plugins(added)
    _not_importable[:] = added
    return [conf_dir(), own]


def make_importable() -> None:
    """Lets Python import modules of the user's own that are beside their choices, once they have allowed one.

    Not before, because libraries look for modules that may be missing, and would find files of a downloaded folder.
    """
    sys.path.extend(map(str, _not_importable))
    _not_importable.clear()


def groups(folders: Sequence[Path]) -> list[str]:
    """Returns the groups, in the order of their folders' first mention."""
    return list(dict.fromkeys(path.name for folder in folders for path in sorted(folder.iterdir()) if path.is_dir()))


def choices(group: str, folders: Sequence[Path]) -> dict[str, Path]:
    """Returns the file of every choice in `group`, by its name."""
    return {path.stem: path for folder in folders for path in sorted(folder.glob(f"{group}/*.yaml"))}
