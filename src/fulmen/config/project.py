"""A project of the user's own: its `fulmen.toml` says where its choices are, and which of its modules may run.

A file gives itself no permission. What it says has no effect until its owner has said yes on this machine, once; that
is kept in their own configuration folder, by the project's path, with a hash of `fulmen.toml` and of every file of the
trusted modules, and of those in the project that these import, so that other content is asked about anew. Who edits a
project on this machine may trust it whatever it becomes. Nothing here runs any of it, nor imports Hydra.
"""

import ast
import hashlib
import itertools
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder, all_suffixes
from importlib.util import cache_from_source
from pathlib import Path

from fulmen.errors import ConfigurationError, command, warn
from fulmen.rules import listed, split_override
from fulmen.runs.files import write_json

FILE = "fulmen.toml"
WHATEVER = {"*": "whatever it becomes"}
"""Stands in place of the hashes of a project that is trusted with all later changes."""
MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Project:
    """The content of a `fulmen.toml`."""

    folder: Path
    """The one that it is in."""
    config_dir: Path
    """The folder of choices, laid out as `conf/`."""
    allow_targets: list[str]
    """Modules of the project that a configuration may name."""


def find(places: Iterable[Path]) -> Path | None:
    """Returns the first folder with a `fulmen.toml` among the places and the folders above each; None without any."""
    above = (folder for place in places for folder in (place.resolve(), *place.resolve().parents))
    return next((folder for folder in above if os.path.isfile(folder / FILE)), None)


def read(folder: Path) -> Project:
    """Reads the `fulmen.toml` in a folder.

    Raises:
        ConfigurationError: it is damaged, or names what is not in the project.
    """
    path = folder / FILE
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigurationError(f"there is no {path}; `{command('new', str(folder))}` makes a project") from error
    except ValueError as error:  # no TOML, or no UTF-8
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if unknown := content.keys() - {"config_dir", "allow_targets"}:
        raise ConfigurationError(f"{path} has {listed(sorted(unknown))}, but only config_dir and allow_targets count")
    choices, modules = content.get("config_dir", "conf"), content.get("allow_targets", [])
    if not isinstance(choices, str) or not (folder / choices).is_dir():
        raise ConfigurationError(f"{path} has config_dir = {choices!r}, which is no folder there")
    if not (folder / choices).resolve().is_relative_to(folder.resolve()):
        raise ConfigurationError(f"{path} has config_dir = {choices!r}, which is outside of the project")
    if not isinstance(modules, list) or not all(isinstance(name, str) and MODULE.fullmatch(name) for name in modules):
        raise ConfigurationError(f'{path} has allow_targets = {modules!r}; write a list of modules, as ["my_models"]')
    check_plugins([folder, folder / choices])
    return Project(folder.resolve(), (folder / choices).resolve(), modules)


def check_plugins(folders: Iterable[Path]) -> None:
    """Checks folders from which modules are to be imported.

    Raises:
        ConfigurationError: one has plugins of Hydra's, all of which Hydra imports when it starts.
    """
    for folder, ending in itertools.product(folders, ("", *all_suffixes())):
        if (folder / f"hydra_plugins{ending}").exists():
            raise ConfigurationError(f"{folder} has hydra_plugins{ending}, which Hydra would run unasked; take it out")


def content(project: Project) -> dict[str, str]:
    """Returns a hash of `fulmen.toml` and of each file of the trusted modules, by its path in the project.

    Modules of the project that these import, directly or by way of others, are among them.

    Raises:
        ConfigurationError: a module is not in the project, so that trusting the project would trust something else.
    """
    named = [*dict.fromkeys(module.partition(".")[0] for module in project.allow_targets)]
    found, names = {project.folder / FILE: (project.folder / FILE).read_bytes()}, [*named]
    for name in names:  # which grows
        for path in _files(name, project, is_named=name in named):
            found[path] = path.read_bytes()
            names += [each for each in _imported(found[path]) if each not in names] if path.suffix == ".py" else []
    hashes = {path: hashlib.sha256(text).hexdigest() for path, text in found.items()}
    return {path.relative_to(project.folder).as_posix(): value for path, value in hashes.items()}


def _imported(source: bytes) -> list[str]:
    """Returns the top-level modules that a file imports, but for those of Python itself."""
    try:
        nodes = [*ast.walk(ast.parse(source))]
    except (SyntaxError, ValueError):  # then it cannot be imported
        return []
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return sorted({name.partition(".")[0] for name in names} - sys.stdlib_module_names)


def _files(name: str, project: Project, *, is_named: bool) -> Iterator[Path]:
    """Yields the files of the module or package that Python would import by this name.

    One that `fulmen.toml` does not name may lie elsewhere, and then has none.
    """
    searched = [*sys.path, str(project.config_dir), str(project.folder), str(Path.cwd())]
    there = sys.modules.get(name)
    spec = there.__spec__ if there is not None else PathFinder.find_spec(name, searched)
    folders = [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    places = [*folders, *([Path(spec.origin)] if spec and spec.has_location and spec.origin and not folders else [])]
    if not is_named:
        places = [place for place in places if place.resolve().is_relative_to(project.folder)]
    elif spec is None and there is None:
        raise ConfigurationError(f"{project.folder / FILE} trusts {name}, and there is no such module in the project")
    if is_named and not (places and all(place.resolve().is_relative_to(project.folder) for place in places)):
        found = listed(places) or "none of its files"
        raise ConfigurationError(
            f"{project.folder / FILE} trusts {name}, which Python finds elsewhere ({found}); if it is yours, give it "
            "another name; else take it out, and name a function of yours that returns what is in it"
        )
    for place in places:
        yield from [place.resolve()] if place not in folders else _below(place.resolve())


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        paths = [Path(place, name) for name in names if name.endswith(tuple(all_suffixes()))]
        for path in (*(Path(place, name) for name in folders), *paths):
            if path.is_symlink():  # it may lead out of the project, or round in circles
                raise ConfigurationError(
                    f"{path} is a link, and a trusted module may have none; put what it leads to there"
                )
        yield from sorted(paths)


def trusted(places: Iterable[Path], *, ask: bool = True) -> Project | None:
    """Returns the project that the places are in, if it is trusted as it is now.

    Args:
        places: in which, and above which, a `fulmen.toml` is looked for.
        ask: whether the user may be asked if they trust it; else they are told how to.
    """
    folder = find(places)
    if folder is None:
        return None
    try:
        project = read(folder)
        now, known = content(project), _known().get(str(project.folder))
    except (ConfigurationError, OSError) as error:
        warn(f"{error}; so {FILE} has no effect")
        return None
    if known not in (now, WHATEVER) and not _agreed(project, now, known, ask=ask):
        return None
    try:
        for path in (project.folder / name for name in now if name.endswith(".py")):
            Path(cache_from_source(path)).unlink(missing_ok=True)  # it may be of other code, and Python would run that
    except OSError as error:
        warn(f"{error}; so {FILE} has no effect")
        return None
    return project


def _agreed(project: Project, now: dict[str, str], known: dict[str, str] | None, *, ask: bool) -> bool:
    """Asks the user whether they trust a project as it is now; where they cannot answer, says what to type."""
    question = _question(project, now, known)
    if not question.isprintable():  # whoever wrote the project named its files, and could move the cursor
        question = ascii(question)
    if not ask or sys.stdin is None or not sys.stdin.isatty():
        typed = command("trust", str(project.folder))
        later = "; with edits=true, also whatever it becomes" if known is not None else ""
        warn(f"{question}, so {FILE} has no effect; if you trust it as it is: {typed}{later}")
        return False
    print(
        f"fulmen: {question}. Its code can do whatever you can.\n"
        "Trust it? [y]es, [a]lways, whatever it becomes, or [N]o: ",
        end="",
        file=sys.stderr,
        flush=True,
    )
    answer = sys.stdin.readline().strip().lower()
    if answer not in ("y", "yes", "a", "always"):
        warn(f"{FILE} has no effect then")
        return False
    trust(project, WHATEVER if answer.startswith("a") else now)  # and not what it may have become while they read
    return True


def supply(words: list[str], places: Iterable[Path]) -> str | None:
    """Adds to overrides, or to a command's options, which modules may run, as the project that the places are in says.

    Returns:
        The project's folder of choices; None if there is no project, or if it is not trusted.
    """
    its = trusted(places)
    if its is None:
        return None
    if its.allow_targets and not any(split_override(word)[0].lstrip("+") == "allow_targets" for word in words):
        words.append(_permission(its))
    return str(its.config_dir)


def to_type(words: Sequence[str], place: Path) -> list[str]:
    """Returns the words of a command about what lies in `place`, without those that its trusted project supplies."""
    folder = find([place])
    try:
        its = None if folder is None else read(folder)
        if its is None or _known().get(str(its.folder)) not in (content(its), WHATEVER):
            return [*words]
    except (ConfigurationError, OSError):
        return [*words]
    kept = [*words]
    if "--config-dir" in kept:
        at = kept.index("--config-dir")
        if Path(kept[at + 1]).resolve() != its.config_dir:
            return kept
        del kept[at : at + 2]
    return [word for word in kept if word != _permission(its)]


def _permission(its: Project) -> str:
    """Returns the override that lets the modules of a project run."""
    return f"allow_targets=[{','.join(its.allow_targets)}]"


def _question(project: Project, now: dict[str, str], known: dict[str, str] | None) -> str:
    if known is None:
        modules = listed(project.allow_targets) or "none of its modules"
        return f"{project.folder} is a project that you have not trusted on this machine; it would run {modules}"
    changed = sorted(name for name in {**now, **known} if now.get(name) != known.get(name))
    return f"{listed(changed)} in {project.folder} changed since you trusted the project"


def trust(project: Project, hashes: dict[str, str]) -> None:
    """Records that the user trusts a project with this content."""
    record = _record()
    record.parent.mkdir(parents=True, exist_ok=True)
    write_json(record, _known() | {str(project.folder): hashes})


def _known() -> dict[str, dict[str, str]]:
    """Returns the content of every trusted project, by its folder."""
    try:
        found = json.loads(_record().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _record() -> Path:
    configured = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    return (configured if configured.is_absolute() else Path.home() / ".config") / "fulmen" / "trusted.json"
