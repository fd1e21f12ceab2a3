"""The code that a configuration may run, and running it: shipped targets, and modules that the user allows.

A configuration can name any Python callable under `_target_`, so a downloaded file, or an override copied from
somebody else, could run anything. Prefixes of whole libraries are no boundary (they hold functions that unpickle
and write files), so the list of those that the shipped `conf/` names is exact.
"""

import ast
import contextlib
import functools
import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fulmen.config.groups import conf_dir, make_importable
from fulmen.config.hydra_private import OWN_TARGETS
from fulmen.config.overrides import read
from fulmen.errors import ConfigurationError, advice, permission

LOGGING = ("hydra.job_logging", "hydra.hydra_logging")
"""Where `()` and `class` name callables, too."""
REFERENCE = re.compile(r"\s*\$\{.*\}\s*", re.DOTALL)


def check(config: DictConfig, typed: Sequence[str]) -> None:
    """Looks at every target in a composed configuration, Hydra's own part included, before anything is imported.

    Args:
        config: the configuration.
        typed: the overrides on the command line, the only place in which `allow_targets` counts.

    Raises:
        ConfigurationError: a target is neither shipped nor allowed, or is not what its name says.
    """
    written = [read(text) for text in typed if text.lstrip("+").startswith("allow_targets=")]
    allowed = listed(written[-1].value() if written else None)
    if listed(config.allow_targets) != allowed:
        raise ConfigurationError("allow_targets counts only where you type it; a file may not set it")
    check_targets(config, allowed)
    for path in config.hydra.searchpath if "hydra" in config else []:
        if not str(path).startswith("file://"):
            raise ConfigurationError(f"hydra.searchpath has {path!r}; only folders (file://...) may be searched")


def check_targets(config: DictConfig, allowed: Sequence[str]) -> None:
    """Looks at every target in a configuration, or in a part of one, given the modules that the user allows.

    Raises:
        ConfigurationError: a target is neither shipped nor allowed, or is not what its name says.
    """
    for key, target in _targets(config):
        if target not in shipped() and target not in OWN_TARGETS:
            _check_own(key, target, allowed)


def make(config: DictConfig) -> Any:
    """Builds what a part's configuration describes; with `_partial_`, a function still to be called.

    Its targets must have been checked.

    Raises:
        Exception: whatever the part itself raises.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    values = {key: value for key, value in plain.items() if key not in ("_target_", "_partial_")}
    is_flat = not any(key.startswith("_") for key in values) and "_target_" not in str(values)
    if is_flat and plain["_target_"] in shipped():  # Hydra takes 1 ms for each of a run's eleven parts
        call = get_object(plain["_target_"])
        return functools.partial(call, **values) if plain.get("_partial_") else call(**values)
    try:
        part = instantiate(config, _convert_="all")
    except HydraException as error:
        raise (error.__cause__ or error) from None  # what the part itself said, without Hydra's frame around it
    if not config.get("_partial_", False):
        return part
    # Hydra's own partial looks at its block list in every call, 0.4 ms that a loss cannot spare; ours was checked once
    return functools.partial(part.func, *part.args, **part.keywords)


@functools.cache
def shipped() -> frozenset[str]:
    """Returns every target that a file of `conf/` names."""
    lines = (line for path in conf_dir().rglob("*.yaml") for line in path.read_text("utf-8").splitlines())
    return frozenset(match[1] for line in lines if (match := re.match(r"\s*_target_: (\S+)", line)))


def code(config: DictConfig) -> dict[str, str]:
    """Returns a hash of each module of the user's own that a checked configuration names, comments aside."""
    found = {}
    for key, target in _targets(config):
        if target not in shipped() and target not in OWN_TARGETS:
            module = str(_resolve(key, target).__module__)
            with contextlib.suppress(OSError, TypeError, SyntaxError):  # built in, or it has no file
                tree = ast.dump(ast.parse(inspect.getsource(sys.modules[module])))
                found[module] = hashlib.sha256(tree.encode()).hexdigest()[:16]
    return found


def listed(value: Any) -> list[str]:
    """Returns the value of `allow_targets`, where one module may stand without brackets."""
    if value is None:
        return []
    return [str(name) for name in (value if OmegaConf.is_list(value) or isinstance(value, list) else [value])]


def _targets(config: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yields key and value of everything that names something to call.

    They are looked for among plain values, which is far quicker than in the configuration. There, only references are
    resolved that may be a target or hold one: not one beside other text, nor one to a node, which has its own turn.
    """
    yield from _walk(OmegaConf.to_container(config, resolve=False), place, config, ())


def _walk(node: Any, place: str, config: Any, keys: tuple[Any, ...]) -> Iterator[tuple[str, str]]:
    """Yields those below a plain node, which stands in `config` at `keys`."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        here = f"{place}[{key}]" if isinstance(node, list) else f"{place}.{key}" if place else str(key)
        if key == "_target_" or (here.startswith(LOGGING) and key in ("()", "class")):
            yield here, str(_value(config, (*keys, key)))
        elif isinstance(value, (dict, list)):
            yield from _walk(value, here, config, (*keys, key))
        elif isinstance(value, str) and REFERENCE.fullmatch(value) and (":" in value or here.startswith(LOGGING)):
            found = _value(config, (*keys, key))
            if OmegaConf.is_config(found):
                yield from _targets(found, here)


def _value(config: Any, keys: tuple[Any, ...]) -> Any:
    """Returns a value with its references resolved; one that cannot be is no target yet, and instantiating it fails."""
    try:
        return functools.reduce(lambda node, key: node[key], keys, config)
    except OmegaConfBaseException:
        return None


def _check_own(key: str, target: str, allowed: Sequence[str]) -> None:
    name = target.removeprefix("__main__.")
    if name != target and not hasattr(sys.modules["__main__"], name):
        file = name.lower()
        in_list = f"(in a list of overrides: 'allow_targets=[__main__,{file}]')"
        raise ConfigurationError(
            f"{key} names {target}, of the script or notebook that trained it, where no other process finds it; "
            f"put the class in a file, {file}.py, write `from {file} import {name}` in place of it, and "
            + advice(
                f"train again; then add allow_targets=[{file}]",
                f"give allow_targets=['__main__', '{file}'] {in_list}",
            )
        )
    module = next((name for name in allowed if target.startswith(f"{name}.")), None)
    if module is None:
        modules = ",".join([*allowed, target.rpartition(".")[0]])
        raise ConfigurationError(
            f"{key} names {target}, which is none of Fulmen's parts; if it is yours and you trust it, "
            f"{'write' if allowed else 'add'} {permission('allow_targets', f'[{modules}]')}"
        )
    make_importable()
    found = _resolve(key, target)
    home = str(getattr(found, "__module__", ""))
    if not any(f"{home}.".startswith(f"{each}.") for each in allowed):
        raise ConfigurationError(f"{key} names {target}, which lives in {home or 'no module'} and not in {module}")


def _resolve(key: str, target: str) -> Any:
    name, _, attribute = target.rpartition(".")
    try:
        return getattr(importlib.import_module(name), attribute)
    except ModuleNotFoundError as error:
        is_own = error.name is not None and f"{name}.".startswith(f"{error.name}.")
        own = advice("add --config-dir=<the folder that it is in>", "append the folder that it is in to sys.path")
        way_out = own if is_own else "install it"
        raise ConfigurationError(f"{key} names {target}, and there is no module {error.name}; {way_out}") from error
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{key} names {target}, which cannot be imported: {error}") from error
    except (Exception, SystemExit) as error:  # a module of the user's own may raise anything
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigurationError(f"{key} names {target}, and importing {name} ends in {said}") from error
