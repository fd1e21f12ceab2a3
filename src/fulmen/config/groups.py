"""A choice's file of the user's own: what is wrong with it, said of that file and its line."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fulmen.errors import ConfigurationError


def conf_dir() -> Path:
    """The folder of choices: inside an installed package, or at the top of a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "conf"


def search_path(config_dir: str | Path | None) -> list[Path]:
    """The folders of choices: ours, then the user's own, whose Python files become importable.

    Raises:
        ConfigurationError: there is no such folder.
    """
    if config_dir is None:
        return [conf_dir()]
    own = Path(config_dir).resolve()
    if not own.is_dir():
        raise ConfigurationError(f"there is no folder {config_dir} to take choices from")
    sys.path.extend(path for path in (str(own), str(Path.cwd())) if path not in sys.path)
    return [conf_dir(), own]


def groups(folders: Sequence[Path]) -> list[str]:
    """The groups, in the order of their folders' first mention."""
    return list(dict.fromkeys(path.name for folder in folders for path in sorted(folder.iterdir()) if path.is_dir()))


def choices(group: str, folders: Sequence[Path]) -> dict[str, Path]:
    """The file of every choice in `group`, by its name."""
    return {path.stem: path for folder in folders for path in sorted(folder.glob(f"{group}/*.yaml"))}


GLOBAL = re.compile(r"^# *@package +_global_\s*$", re.MULTILINE)
HYDRAS = re.compile(r"((override|optional)\s+)*/?hydra\b")


def check(group: str, choice: str, folders: Sequence[Path]) -> None:
    """Reads the file of a choice that is not among those shipped.

    Args:
        group: a group, or a key, which has no file.
        choice: its choice.
        folders: of choices, ours first; of two files Hydra takes the first.

    Raises:
        ConfigurationError: the file cannot be read, is no mapping, is an experiment whose keys would end up in the
            wrong place, or sets what is Hydra's.
    """
    paths = [folder / group / f"{choice}.yaml" for folder in folders]
    path = next((path for path in paths if path.is_file()), None)
    if path is None or path == paths[0]:
        return
    content, is_global = _content(path), GLOBAL.search(path.read_text("utf-8")) is not None
    if group == "experiment" and not is_global:
        raise ConfigurationError(f"{path} is an experiment, and lacks its first line; add '# @package _global_'")
    if any(HYDRAS.match(key) for key in [*_chosen(content), *(content if is_global else ())]):
        raise ConfigurationError(
            f"{path} sets words of Hydra's own, which would change nothing; leave 'hydra' out, "
            "and name a run's folder with run_dir=<folder>"
        )


def not_yaml(error: yaml.MarkedYAMLError) -> str:
    """The sentence about a file that is no YAML: which, and where in it."""
    mark = error.problem_mark or error.context_mark
    assert mark is not None
    return f"{mark.name}, line {mark.line + 1}: {error.problem}, so this is no YAML"


def _content(path: Path) -> dict[str, Any]:
    try:
        content = OmegaConf.load(path)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not written in UTF-8 (byte {error.start + 1}); save it in that") from error
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError(not_yaml(error)) from error
    except (OSError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigurationError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(content, DictConfig):
        raise ConfigurationError(f"{path} is a list, and must be keys with values, a line each, as 'seed: 1'")
    plain: Any = OmegaConf.to_container(content, resolve=False)
    return {str(key): value for key, value in plain.items()}


def _chosen(content: dict[str, Any]) -> list[str]:
    """The groups in a defaults list, with the words before them."""
    entries = content.get("defaults")
    return (
        [str(key) for entry in entries if isinstance(entry, dict) for key in entry] if isinstance(entries, list) else []
    )
