"""From a configuration to a run: Hydra makes the parts, and the straight line in `run.py` takes them whole."""

import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from fulmen.config import allowlist, recorded, validate
from fulmen.config.allowlist import make
from fulmen.config.groups import make_importable
from fulmen.config.project import to_type
from fulmen.data.source import Source
from fulmen.errors import ConfigurationError, Diverged, Finished, Impossible, command, is_own, one_line, own_words
from fulmen.experiment import importing
from fulmen.rules import split_override
from fulmen.runs import folder as folders
from fulmen.runs.files import expand_home, explain
from fulmen.runs.names import readable, stamp
from fulmen.runs.signals import Interrupted, deferred

if TYPE_CHECKING:
    from fulmen.experiment.experiment import Experiment, Session
    from fulmen.experiment.load import Run
    from fulmen.tasks.further_metrics import Metric
    from fulmen.training.callbacks.pruning import Pruner


@dataclass(frozen=True)
class StackedJob:
    """What one of many runs that train as one has for itself, beside its configuration."""

    folder: Path
    own: list[str]
    """The overrides in which it differs from the sweep's other runs; its name in the dashboard."""
    overrides: list[str]
    """As they were typed."""
    pruner: "Pruner | None"


RUNS = Path("logs/runs")
FAILED, DIVERGED = 1, 3
SHOWN = ["data", "model", "optimizer"]
"""Hyperparameters of every single run, beside those that are typed."""
UNSHOWN = ("allow_targets", "baseline", "data_root", "figures", "logger", "trust_checkpoint")
"""Groups and keys that are no hyperparameters."""


def train(
    config: DictConfig,
    folder: Path | None = None,
    *,
    name: str = "",
    own: Sequence[str] = (),
    verbose: bool = True,
    rerun: Path | None = None,
    pruner: "Pruner | None" = None,
) -> "Run":
    """Trains the experiment that a configuration describes, and records it; as `experiment.api.train`.

    A sweep's run has overrides of its `own`, in which it differs from the others.
    """
    folder = folder or new_folder(config)
    verbose = verbose and not config.get("quiet")  # which earlier records lack
    if rerun is None:
        return _train(config, folder, {}, name, own=own, verbose=verbose, pruner=pruner)
    threads = folders.load_status(rerun).get("threads") if recorded.is_repeated(rerun, config) else None
    run = _train(config, folder, {"rerun": str(rerun)}, name, verbose=verbose, threads=threads)
    from fulmen.runs.recording import leads

    if verbose and leads():
        from fulmen.experiment import console

        print(*recorded.differences(rerun, folder), sep="\n")
        console.print_changes(recorded.changes(rerun, folder))
    return run


def resume(
    folder: str | Path,
    overrides: Sequence[str] = (),
    *,
    own: Sequence[str] = (),
    verbose: bool = True,
    pruner: "Pruner | None" = None,
) -> "Run":
    """Resumes the run in `folder` from its last checkpoint, in the same folder; as `experiment.api.resume`."""
    folder = Path(folder)
    _know_own_words(overrides, folder)
    config = recorded.to_resume(folder, overrides)
    verbose = verbose and not config.get("quiet")
    before = folders.load_status(folder)
    if before.get("state") == "diverged":
        cause = f" ({before['error']})" if before.get("error") else ""
        raise ValueError(f"{folder} diverged{cause} and would again; use {command(f'rerun={folder}')} with changes")
    is_whole = before.get("state") == "completed" and not before.get("missing_figures")
    goes_on = any(not word.startswith(recorded.OF_THE_PROCESS) for word in overrides)
    stopped_by = before.get("stopped_by", "patience") if before.get("stopped_early") else None
    if is_whole and (stopped_by == "patience" or not goes_on):
        why, another = {
            "patience": ("stopped early (its score no longer improved)", ""),
            "callbacks": (
                "was ended by a callback",
                " or ".join(f"another {key}" for key in recorded.callback_keys(config)),
            ),
        }.get(str(stopped_by), ("completed", "a larger trainer.max_epochs"))
        longer = f"to train longer, use {command(f'resume={folder}')} with {another}, or " if another else "use "
        raise Finished(
            f"{folder} {why} after {before.get('steps', 'all its')} steps: nothing more to do; "
            f"{longer}{command(f'rerun={folder}')} with changes"
        )
    began = {"directory": before.get("directory", str(Path.cwd()))}
    threads = before.get("threads")
    return _train(config, folder, began, own=own, verbose=verbose, resume=True, threads=threads, pruner=pruner)


def _train(
    config: DictConfig,
    folder: Path,
    facts: Mapping[str, Any],
    name: str = "",
    *,
    own: Sequence[str] = (),
    verbose: bool,
    resume: bool = False,
    threads: int | None = None,
    pruner: "Pruner | None" = None,
) -> "Run":
    allowlist.check(config, typed=config.overrides)
    _know_own_words(config.overrides, folder)
    if (earlier := folder if resume else facts.get("rerun")) is not None:
        recorded.warn_if_code_changed(config, Path(earlier))
    source = validate.check(config)
    with importing.at_once(), deferred() as stop:  # an exception in the middle of torch's own code ends in an abort
        from fulmen.experiment import run  # and with it torch and Lightning: seconds
    stop.raise_if_noted()
    session = _session(config, source, folder, facts, name, own)
    session = replace(session, verbose=verbose, resume=resume, threads=threads, pruner=pruner)
    return run.train(build(config, source), session)


def _know_own_words(overrides: Iterable[str], folder: Path) -> None:
    """Lets every command on a run that is printed from here on have what its folder of choices and its modules need."""
    given, allowing = own_words.get(), (w for w in overrides if split_override(w)[0] in recorded.PERMISSIONS)
    own_words.set((*to_type([*given[: 2 if given[:1] == ("--config-dir",) else 0], *allowing], folder),))


def train_stack(
    config: DictConfig,
    records: Sequence[Mapping[str, Any]],
    jobs: Sequence[StackedJob],
    place: Path,
    most: int | None,
    at_once: int = 1,
) -> None:
    """Trains many experiments as one, and records each in its folder.

    Composing a configuration and making its parts takes longer than a run of a stack. So the first experiment is made
    as any other, and of the others only the parts that differ.

    Args:
        config: of the first.
        records: of each, the content of its `config.yaml`; they differ only where copies of a network may differ.
        jobs: of each, what is its own beside that.
        place: the folder of what a stack resumes from.
        most: how many train at once; 0 for as many as fit into memory, None for all.
        at_once: how many stacks share the memory.

    Raises:
        Impossible, Interrupted: as `stacked.train`.
    """
    with importing.at_once():
        from fulmen.experiment import stacked

    try:  # what is wrong may be so in one of them alone, which is named when it trains by itself
        experiments, sessions = _parts_of_each(config, records, jobs)
    except Exception as error:  # whatever code of the user's own may raise
        raise Impossible(one_line(error)) from error
    stacked.train(experiments, sessions, place, most, at_once)


def _parts_of_each(
    config: DictConfig, records: Sequence[Mapping[str, Any]], jobs: Sequence[StackedJob]
) -> tuple[list["Experiment"], list["Session"]]:
    """Checks and makes the parts of experiments that train as one; arguments as for `train_stack`."""
    allowlist.check(config, typed=config.overrides)
    source = validate.check(config)
    first, session = build(config, source), _session(config, source, jobs[0].folder, {}, "", jobs[0].own)
    made: dict[str, Any] = {repr(session.config["data"]): source}
    allowed = allowlist.listed(config.allow_targets)

    def part(name: str, section: Mapping[str, Any]) -> Any:
        if (key := repr(section)) not in made:
            made_of = OmegaConf.create({name: dict(section)})
            allowlist.check_targets(made_of, allowed)
            made[key] = validate.source(made_of[name]) if name == "data" else make(made_of[name])
        return made[key]

    experiments, sessions = [], []
    for record, job in zip(records, jobs, strict=True):
        own = _with_differences(session.config, records[0], record)
        names = ("data", "penalty", "optimizer", "model", "init")
        differing = {name: part(name, own[name]) for name in names if own[name] != session.config[name]}
        in_recipe = {name: differing.pop(name) for name in ("penalty", "optimizer") if name in differing}
        recipe = replace(first.recipe, seed=own["seed"], **in_recipe)
        source = differing.pop("data", first.source)
        experiments.append(replace(first, source=source, recipe=recipe, **differing))
        sessions.append(
            replace(
                session,
                folder=job.folder,
                name=readable(" ".join(job.own)),
                config=own,
                facts={**session.facts, "overrides": job.overrides},
                verbose=False,
                threads=folders.load_status(job.folder).get("threads"),
                pruner=job.pruner,
            )
        )
    return experiments, sessions


def _with_differences(kept: Mapping[str, Any], first: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration with the values in which `other` differs from `first`."""
    found = dict(kept)
    for name, value in other.items():
        if name in first and value == first[name]:
            continue
        before = first.get(name)
        if isinstance(value, dict) and isinstance(before, dict) and value.keys() == before.keys():
            changed = {key: each for key, each in value.items() if each != before[key]}
            found[name] = {**kept[name], **changed}
        else:
            found[name] = value
    return found


def _session(
    config: DictConfig, source: Source, folder: Path, facts: Mapping[str, Any], name: str, own: Sequence[str]
) -> "Session":
    from fulmen.experiment.experiment import Session

    if config.trust_checkpoint is True:
        make_importable()  # it may hold objects of classes of the user's own
    kept = record(config, source)
    variables: dict[str, str] = {}
    if re.search(r"oc\.env:(?!FULMEN_DATA[,}])", text := str(kept)):  # else there is none, and no need to resolve all
        # a name that is itself from the environment is in no file, either
        variables = {name: value for name, value in recorded.environment(config)[0].items() if f"oc.env:{name}" in text}
    parts = " ".join(config.choices[group] for group in ("data", "model", "optimizer"))
    usual = parts if config.experiment is None else f"experiment={config.experiment}"
    return Session(
        folder=folder,
        config=kept,
        facts={
            "overrides": list(config.overrides),
            "directory": str(Path.cwd()),
            "environment": variables,
            "code": allowlist.code(config),
            **facts,
        },
        name=readable(name or " ".join(own) or config.get("name") or usual),
        hyperparameters=_keys(own) if own else [*dict.fromkeys(SHOWN + _keys(config.overrides))],
        trust=config.trust_checkpoint is True,
    )


def _keys(overrides: Sequence[str]) -> list[str]:
    """Returns the keys and groups that overrides are about, but for those that no result depends on."""
    names = [split_override(word)[0].lstrip("+~") for word in overrides]
    return [name for name in names if name.partition(".")[0] not in UNSHOWN]


def build(config: DictConfig, source: Source) -> "Experiment":
    """Makes the parts that a configuration describes; it and `source` have been checked."""
    from fulmen.experiment import own_parts, start_from
    from fulmen.experiment.experiment import Experiment
    from fulmen.tasks.losses import as_loss
    from fulmen.training.recipe import Recipe

    options, where = make(config.trainer), config.get("start_from")
    for figure in config.figures.get("own") or ():
        own_parts.make("figure", figure)  # to be refused before anything is written; drawn at the end
    recipe = Recipe(
        loss=as_loss(own_parts.make("loss", config.loss)),
        backprop=make(config.backprop),
        **{part: own_parts.make(part, config[part]) for part in ("penalty", "optimizer", "scheduler")},
        gradient_clip=options.gradient_clip,
        accumulate=options.accumulate,
        seed=config.seed,
        freeze=tuple(config.get("freeze", ())),
        learning_rates={str(pattern): rate for pattern, rate in (config.get("learning_rates") or {}).items()},
    )
    return Experiment(
        source=source,
        recipe=recipe,
        trainer=options,
        score=config.score,
        metrics=metrics_of(config),
        weights=config.weights,
        start_from=None if where is None else partial(start_from.read, where, trust=config.trust_checkpoint is True),
        figures=make(config.figures),
        baseline=make(config.baseline),
        **{part: own_parts.make(part, config[part]) for part in ("model", "init", "logger")},
        callbacks=None if config.get("callbacks") is None else own_parts.make("callbacks", config.callbacks),
    )


def metrics_of(config: DictConfig) -> "tuple[Metric, ...]":
    """Makes the metrics that a run measures beside the task's own."""
    from fulmen.tasks.further_metrics import as_metric
    from fulmen.tasks.names import added, metric_names

    parts = added(config.get("metrics"))
    names = metric_names({"metrics": OmegaConf.to_container(OmegaConf.create(parts), resolve=False)})
    if any(OmegaConf.is_dict(each) for each in parts):
        from fulmen.experiment import own_parts  # imports Lightning, which a trained network does not need

        parts = [own_parts.make("metric", each) if OmegaConf.is_dict(each) else each for each in parts]
    return tuple(map(as_metric, parts, names))


def attempt(run: Callable[[Path], object], folder: Path, *, debug: bool = False) -> tuple[int, str]:
    """Runs, and turns any error into an exit code and a sentence; with `debug` it prints the traceback.

    Returns:
        0 and nothing, or that there is nothing to do; 1 and why it failed; or 3 and where it diverged.

    Raises:
        Interrupted: a signal stopped the run; says how to resume it.
    """
    try:
        run(folder)
    except Finished as nothing:
        return 0, str(nothing)
    except Interrupted as stop:
        if folders.load_status(folder).get("state") == "interrupted":
            stop.args = (f"{stop}; to continue the run: {command(f'resume={folder}')}",)
        raise
    except (Exception, SystemExit) as error:
        if debug:
            traceback.print_exception(error)
        code, said = DIVERGED if isinstance(error, Diverged) else FAILED, one_line(error)
        if is_own(error):  # its message is meant for users
            return code, said
        if isinstance(error, OSError) and error.filename is not None:
            said = f"{type(error).__name__}: {explain(error)}"
        written = folders.load_status(folder).get("traceback") is not None
        where = f"the traceback is in {folder / 'status.json'}" if written else "trainer.debug=true shows the traceback"
        return code, f"{said}; {where}"
    return 0, ""


def new_folder(config: DictConfig) -> Path:
    """Returns the folder for a run."""
    if config.run_dir is not None and "$" in str(config.run_dir):
        raise ConfigurationError(f"run_dir is {config.run_dir}, but TensorBoard cannot read a folder with '$' in it")
    return expand_home(config.run_dir) if config.run_dir is not None else RUNS / stamp()


def record(config: DictConfig, source: Source) -> dict[str, Any]:
    """Returns the configuration for `config.yaml`: sizes included, every reference resolved."""
    spec = source.spec
    sizes = {"in_shape": list(spec.in_shape), "out_features": spec.out_features, "task": spec.task}
    return recorded.plain(config) | {"sizes": sizes}
