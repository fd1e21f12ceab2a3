"""Single runs from Python, as `import fulmen` offers them: overrides, classes, arrays and frames in; a run out.

Rows and networks that are no choices of `conf/` become ones: rows are written to `logs/data`, once for the same
content, and a class is named by its module, so that a run has a record like any other and can be loaded and resumed.
"""

import functools
import hashlib
import inspect
import io
import itertools
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fulmen.config import compose as composing
from fulmen.config import project, recorded
from fulmen.config.allowlist import listed
from fulmen.config.groups import choices, conf_dir, search_path
from fulmen.config.overrides import as_value, read
from fulmen.data.tables.column_checks import FEW_ROWS
from fulmen.data.tables.columns import clean
from fulmen.data.tables.splitting import Sizes
from fulmen.errors import ConfigurationError, from_python
from fulmen.experiment import build
from fulmen.rules import alternatives, split_override, type_of
from fulmen.runs.files import expand_home, replacing, seen_from_here
from fulmen.runs.folder import yaml_text

if TYPE_CHECKING:
    import pandas as pd

    from fulmen.experiment.load import Run
    from fulmen.training.callbacks.pruning import Pruner

DATA = Path("logs/data")
MODELS = Path("logs/models")
HELD_OUT = 0.15
"""The share of rows given as arrays that is held out for validation, and that for the test; as of a table."""
BY_DATA = ("data", "data.path", "data.target")
"""Keys that `data=` sets."""
LEAST = 3
"""Rows, so that there is one for each split."""

PLAIN = (str, bool, int, float, list, type(None))
"""Defaults that a file of YAML keeps as they are."""

_allowed: dict[Path, str] = {}
"""Modules that runs of this process may use, because it trained them with a class; by their folders."""


@from_python
def compose(overrides: Iterable[str] = (), config_dir: str | Path | None = None) -> DictConfig:
    """Composes the configuration that the overrides describe.

    Args:
        overrides: `group=choice` and `key=value`, as on the command line.
        config_dir: a folder of your own with further choices, laid out as `conf/`; may hold Python files, too. By
            default that of the project that the working directory is in.

    Returns:
        The configuration, with two entries beside those of `conf/train.yaml`: `choices`, the choice made in each group,
        and `overrides`, as given.

    Raises:
        fulmen.errors.ConfigurationError: an override cannot be read; a group, choice or key does not exist; or a target
            is not allowed.
    """
    words = _words(overrides)
    return composing.compose(words, config_dir or project.supply(words, [Path.cwd()]))


@from_python
def train(
    config: DictConfig | Iterable[str] = (),
    folder: str | Path | None = None,
    *,
    model: Any = None,
    data: Any = None,
    target: str | Sequence[str] | None = None,
    name: str = "",
    verbose: bool = True,
    rerun: str | Path | None = None,
    pruner: "Pruner | None" = None,
) -> "Run":
    """Trains what overrides, or a configuration, describe, and records it.

    Args:
        config: overrides, such as `["data=moons", "optimizer.lr=0.01"]`, or a configuration from `fulmen.compose`.
        folder: the run's; by default the configuration's `run_dir`, or a new one under `logs/runs`.
        model: a class `Net(in_shape, out_features)` that is a `torch.nn.Module`, defined at the top of a module or a
            notebook; or a `functools.partial` of one, with its other arguments.
        data: a pandas DataFrame; or features and targets, arrays [N, ...] and [N] or [N, T], or a frame and a column.
            15% of the rows are held out for validation and 15% for the test. Copied to `logs/data`.
        target: the column of a frame that is learned, or several.
        name: in the dashboard; by default the configuration's `name`, its experiment, or its data, model and optimizer.
        verbose: whether to print configuration, progress and figures; not if the configuration has `quiet`.
        rerun: the folder of a run that this one repeats, with the overrides changed.
        pruner: decides during training whether the run ends early.

    Raises:
        ValueError: a value is wrong, parts do not fit each other or the machine, or the data cannot be loaded;
            nothing is recorded then.
        FileExistsError: the folder is not empty, or in use.
        fulmen.errors.Diverged: the loss is no longer finite.
        fulmen.errors.Pruned: the pruner ended the run.
    """
    before = None if rerun is None else seen_from_here(expand_home(str(rerun)))
    if not OmegaConf.is_config(config):
        config = _composed(_words(config), model, data, target, before)
    elif model is not None or data is not None:
        raise ConfigurationError("model= and data= go with a list of overrides, not with a composed configuration")
    assert isinstance(config, DictConfig)
    place = build.new_folder(config) if folder is None else expand_home(str(folder))
    if model is not None or (before is not None and before.resolve() in _allowed):
        _allowed[place.resolve()] = f"allow_targets=[{','.join(config.allow_targets)}]"
    return build.train(config, place, name=name, verbose=verbose, rerun=before, pruner=pruner)


@from_python
def resume(
    folder: str | Path, overrides: Iterable[str] = (), *, verbose: bool = True, pruner: "Pruner | None" = None
) -> "Run":
    """Resumes the run in `folder` from its last checkpoint, in the same folder.

    On the CPU it ends with the weights of an uninterrupted run, to the last bit. If a completed run lacks figures
    that could not be written, it draws those.

    Args:
        folder: the run's.
        overrides: `trainer.max_epochs`, `trainer.max_steps`, `accelerator`, `quiet`, `trust_checkpoint` and
            `allow_targets`.
        verbose: as for `train`.
        pruner: as for `train`.

    Raises:
        ValueError: there is no run in `folder`, it has nothing more to do, it diverged, or as `train`.
        FileExistsError: another process trains it.
    """
    place, words = seen_from_here(expand_home(str(folder))), _words(overrides)
    _supply(words, place)
    return build.resume(place, words, verbose=verbose, pruner=pruner)


@from_python
def load(
    where: str | Path, *, weights: str | None = None, trust_checkpoint: bool = False, allow_targets: Sequence[str] = ()
) -> "Run":
    """Returns a run as `fulmen.train` did; a checkpoint alone has no metrics.

    Args:
        where: a run's folder, a checkpoint, or its address (http or https).
        weights: `best` or `last`, of a run's folder; by default those that it evaluated.
        trust_checkpoint: whether it may hold more than plain values, and so run its author's code.
        allow_targets: modules of your own whose parts it may name; by default those of the run's project.

    Raises:
        ValueError: there is no checkpoint, or none that can be used; says why.
    """
    words = [f"allow_targets=[{','.join(allow_targets)}]"] if allow_targets else []
    _supply(words, expand_home(str(where)))
    from fulmen.experiment import load as loading

    allowed = listed(read(words[0]).value()) if words else ()
    return loading.load(where, weights=weights, trust_checkpoint=trust_checkpoint, allow_targets=allowed)


def _supply(words: list[str], run: Path) -> str | None:
    """Adds which modules a run may use: those of a class that it was given in this process, or of its project.

    Returns:
        The project's folder of choices; None without a project.
    """
    if run.resolve() in _allowed and not any(split_override(word)[0] == "allow_targets" for word in words):
        words.append(_allowed[run.resolve()])
    config_dir = project.supply(words, [run])
    search_path(config_dir)
    return config_dir


def _words(overrides: Iterable[str]) -> list[str]:
    """Returns a list of overrides of its own."""
    if isinstance(overrides, str):  # which is iterable, too: its letters would be taken for overrides
        raise ConfigurationError(f"a list of overrides is needed, not one text; give {shlex.split(overrides)}")
    words = list(overrides)
    if wrong := [word for word in words if not isinstance(word, str)]:
        raise ConfigurationError(f"overrides are texts, such as 'data=moons', and not {wrong[0]!r}")
    return words


def _composed(words: list[str], model: Any, data: Any, target: Any, rerun: Path | None) -> DictConfig:
    """Composes overrides, and puts the class and the rows that were given in their places."""
    _check_two_of_a_kind(words, model, data)
    for word in words:
        if split_override(word)[0].lstrip("+").startswith("model.") and model is not None:
            raise ConfigurationError(f"{word} has no effect on model=; give a functools.partial of the class instead")
    config_dir = _supply(words, rerun or Path.cwd())
    network = None if model is None else _network(model, words)
    rows = _rows(data, target)
    words += [f"data={rows.pop('choice')}"] if rows else []
    config = composing.compose(words, config_dir) if rerun is None else recorded.to_rerun(rerun, words, config_dir)
    for key, value in rows.items():
        if key != "types" or config.data[key] is None:
            OmegaConf.update(config, f"data.{key}", value)
    if network is not None:
        OmegaConf.update(config, "model", network, merge=False)
        config.choices.model = network["_target_"].rpartition(".")[2]
    return config


def as_choices(words: list[str], model: Any, data: Any, target: Any) -> Path | None:
    """Makes choices of a class and of rows, as a sweep takes them, and adds them to its words.

    Args:
        words: the overrides, which grow.
        model: as for `train`; its arguments with defaults become keys, which a sweep may vary.
        data: as for `train`.
        target: as for `train`.

    Returns:
        A folder under `logs/models` that has the class as a choice; None without one.
    """
    _check_two_of_a_kind(words, model, data)
    network = {} if model is None else _network(model, words)
    for key, value in _rows(data, target).items():
        if key in ("choice", "path"):
            words.append(f"data={value}" if key == "choice" else f"data.path={value}")
        elif isinstance(value, (list, tuple)):
            words.append(f"data.{key}=[{','.join(as_value(str(each)) for each in value)}]")
        elif value is not None and not any(split_override(word)[0] == f"data.{key}" for word in words):
            words.append(f"data.{key}={as_value(str(value))}")
    if model is None:
        return None
    cls = model.func if isinstance(model, functools.partial) else model
    parameters = inspect.signature(cls).parameters.values()
    defaults = {each.name: each.default for each in parameters if isinstance(each.default, PLAIN)}
    keys = {**network, **{key: value for key, value in defaults.items() if key not in network}}
    text = f"# {cls.__name__}, as fulmen.sweep was given it\n{yaml_text(keys)}".encode()
    name = f"own_{cls.__name__}" if cls.__name__ in choices("model", [conf_dir()]) else cls.__name__
    words.append(f"model={name}")
    config_dir = MODELS / hashlib.sha256(text).hexdigest()[:16]
    with _new(config_dir / "model" / f"{name}.yaml") as file:
        file.write(text)
    return config_dir


def allow(folders: Iterable[Path], words: Sequence[str]) -> None:
    """Lets this process load and resume runs with the modules that words allow."""
    if allowed := [word for word in words if split_override(word)[0] == "allow_targets"]:
        _allowed.update((folder.resolve(), allowed[-1]) for folder in folders)


def _check_two_of_a_kind(words: Iterable[str], model: Any, data: Any) -> None:
    for word in words:
        key = split_override(word)[0].lstrip("+")
        if (key == "model" and model is not None) or (key in BY_DATA and data is not None):
            raise ConfigurationError(f"{word} and {key.partition('.')[0]}= are two of a kind; give one of them")


def _network(model: Any, words: list[str]) -> dict[str, Any]:
    """Returns the section of a configuration for a class, whose module is added to those that may run."""
    cls, keys = (model.func, model.keywords) if isinstance(model, functools.partial) else (model, {})
    if isinstance(model, functools.partial) and model.args:
        raise ConfigurationError(f"model= has arguments without names, {model.args}; give each by its name")
    if not isinstance(cls, type):
        made = type(cls).__name__
        raise ConfigurationError(
            f"model= takes a class Net(in_shape, out_features), or a functools.partial of one, and not a {made}: "
            "Fulmen makes the network, for the sizes of the data"
        )
    if "." in cls.__qualname__:
        raise ConfigurationError(
            f"model={cls.__qualname__} is defined inside of something, where it cannot be found again; "
            "define it at the top of a module or a notebook"
        )
    try:
        OmegaConf.create(keys)
    except OmegaConfBaseException as error:
        raise ConfigurationError(
            f"model= has the arguments {keys}; only numbers, texts and lists can be recorded"
        ) from error
    typed = [word for word in words if split_override(word)[0] == "allow_targets"]
    modules = [*(listed(read(typed[-1]).value()) if typed else []), cls.__module__]
    words[:] = [*(word for word in words if word not in typed), f"allow_targets=[{','.join(dict.fromkeys(modules))}]"]
    return {"_target_": f"{cls.__module__}.{cls.__qualname__}", "_partial_": True, **keys}


def _rows(data: Any, target: Any) -> dict[str, Any]:
    """Writes rows where a data set reads them; returns its choice, and the keys that say where, and what is learned."""
    if data is None:
        if target is not None:
            raise ConfigurationError("target= names a column of data=, which is not given")
        return {}
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        if target is None:
            raise ConfigurationError(f"data= is a frame; add target=, one of its columns: {', '.join(map(str, data))}")
        return _table(data, target)
    if not isinstance(data, (tuple, list)) or len(data) != 2:
        what = f"{len(data)} of something" if isinstance(data, (tuple, list)) else type_of(data)
        raise ConfigurationError(f"data= takes a frame, or features and targets as (x, y), and not {what}")
    if target is not None:
        raise ConfigurationError(f"target={target!r} is for a frame, and data= has its own targets; leave it out")
    x, y = (each if isinstance(each, (pd.DataFrame, pd.Series)) else np.asarray(each) for each in data)
    if min(x.ndim, y.ndim) == 0 or len(x) != len(y) or len(x) < LEAST:
        sizes = " and ".join(str(each.shape[0]) if each.ndim else "one number" for each in (x, y))
        raise ConfigurationError(
            f"data= needs as many rows of features as of targets, at least {LEAST}, and has {sizes}"
        )
    if not isinstance(x, pd.DataFrame):
        return _arrays(np.asarray(x), np.asarray(y))
    if isinstance(y, (pd.DataFrame, pd.Series)) and not x.index.equals(y.index) and set(x.index) == set(y.index):
        raise ConfigurationError("data= has features and targets in different orders; give y.loc[x.index]")
    columns = pd.DataFrame(y)  # a copy, of which the names alone change
    if not isinstance(y, pd.DataFrame) and getattr(y, "name", None) is None:
        letters = next(name for name in map("y".__mul__, itertools.count(1)) if f"{name}1" not in x)
        columns.columns = pd.Index([f"{letters}{place + 1}" for place in range(columns.shape[1])])
    features, targets = x.reset_index(drop=True), columns.reset_index(drop=True)
    own = [name for name in targets if name in features]
    if len(x) > FEW_ROWS:  # of few, a feature may well equal the target
        own += [
            name
            for place, name in enumerate(features)
            if any(features.iloc[:, place].equals(targets[each]) for each in targets)
        ]
    if own:
        raise ConfigurationError(
            f"data= has its target among its features, the column {own[0]!r}; "
            f"give x.drop(columns={own[0]!r}) instead of x"
        )
    return _table(pd.concat([features, targets], axis=1), list(targets) if targets.shape[1] > 1 else targets.columns[0])


def _table(frame: "pd.DataFrame", target: Any) -> dict[str, Any]:
    import pandas as pd

    names = Counter(clean(str(name)) for name in frame)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ConfigurationError(f"data= has two columns with the name {twice[0]!r}; rename or drop one of them")
    is_one = isinstance(target, (str, int, float)) or not isinstance(target, Iterable)
    # pandas' names may be NumPy's numbers and texts, which no configuration takes
    wanted = [each.item() if isinstance(each, np.generic) else each for each in ([target] if is_one else target)]
    if missing := [name for name in wanted if clean(str(name)) not in names]:
        near = alternatives(str(missing[0]), names, "the columns are")
        raise ConfigurationError(f"target={missing[0]!r} is no column of data={near}")
    for name, column in frame.items():
        if column.dtype.kind == "c" or pd.api.types.infer_dtype(column) == "bytes":
            what = "complex numbers" if column.dtype.kind == "c" else "bytes"
            raise ConfigurationError(f"the column {name!r} of data= holds {what}; make numbers or texts of them")
    text = frame.to_csv(index=False).encode()
    path = DATA / f"{hashlib.sha256(text).hexdigest()[:16]}.csv"
    with _new(path) as file:
        file.write(text)
    columns = frame.select_dtypes(exclude="number").items()
    texts = [str(name) for name, column in columns if any(isinstance(value, str) for value in column)]
    types = json.dumps(dict.fromkeys(texts, "text"), ensure_ascii=False) if texts else None  # "007" stays a text
    return {"choice": "table", "path": str(path), "target": wanted[0] if is_one else wanted, "types": types}


def _arrays(x: NDArray[Any], y: NDArray[Any]) -> dict[str, Any]:
    arrays = {"x": x, "y": y}
    for name, values in arrays.items():
        if values.dtype.kind not in "biuf":
            raise ConfigurationError(f"{name} holds {values.dtype}, not numbers; give texts in a pandas DataFrame")
        if not np.isfinite(values).all():
            index = tuple(np.argwhere(~np.isfinite(values))[0])
            where = f"{values[index]} in row {index[0]}"
            raise ConfigurationError(
                f"{name} has {where}, but every value must be finite; drop the row, or replace the value"
            )
    digest = hashlib.sha256(repr([(values.dtype, values.shape) for values in arrays.values()]).encode())
    for values in arrays.values():
        digest.update(np.ascontiguousarray(values).data)
    folder = DATA / digest.hexdigest()[:16]
    for split, rows in Sizes(HELD_OUT, HELD_OUT, seed=0).mixed(len(x)).items():
        for name, values in arrays.items():
            with _new(folder / f"{split}_{name}.npy") as file:
                np.save(file, values[rows])
    return {"choice": "arrays", "path": str(folder)}


@contextmanager
def _new(path: Path) -> Iterator[IO[bytes]]:
    """Opens a file that is named by its content; what is written to one that is there already is dropped."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with io.BytesIO() if path.exists() else replacing(path) as file:
        yield file
