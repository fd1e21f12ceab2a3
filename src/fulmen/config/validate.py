"""Checks of a configuration, made before torch is imported or anything is written.

Groups, choices and keys are checked where the configuration is composed; here it is their values, one by one by the
table of rules, then together: data against loss, score and model.
"""

import dataclasses
import typing
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fulmen import rules
from fulmen.config import allowlist, tuned
from fulmen.config.omegaconf_private import sentence
from fulmen.data.source import Source, TaskKind
from fulmen.errors import ConfigurationError, one_line
from fulmen.models.activations import ACTIVATIONS, OUTPUT_ACTIVATIONS, PROBABILITIES
from fulmen.rules import (
    SIGNATURES,
    Rule,
    alternatives,
    many,
    names_with,
    number,
    of_type,
    one_of,
    or_null,
    text,
    whole,
    yes_no,
)
from fulmen.tasks.names import DIRECTIONS, FURTHER, LOSSES, METRICS, added, metric_names

SEED = whole(0, 2**32 - 1)
SHARE = number("[0, 1)")
POSITIVE = number("(0, inf)")
AT_LEAST_0 = number("[0, inf)")


def _are_etas(value: Any) -> bool:
    return many(POSITIVE, 2)(value) is None and value[0] < 1 < value[1]


RULES: Mapping[str, Rule] = {
    "seed": SEED,
    "weights": one_of("best", "last"),
    "score": text(),
    "name": text(or_null=True),
    "tags": many(text()),
    "note": text(or_null=True),
    "quiet": yes_no,
    "run_dir": text(or_null=True),
    "tuned": text(or_null=True),
    "start_from": text(or_null=True),
    "freeze": many(text()),
    "learning_rates": or_null(names_with(POSITIVE)),
    "data_root": text(or_null=True),
    "trust_checkpoint": yes_no,
    "model.hidden": many(whole(1)),
    "model.activation": one_of(*ACTIVATIONS),
    "model.output_activation": one_of(*OUTPUT_ACTIVATIONS),
    "model.bias": yes_no,
    "model.dropout": SHARE,
    "optimizer.lr": POSITIVE,
    "optimizer.weight_decay": AT_LEAST_0,
    "optimizer.momentum": SHARE,
    "optimizer.nesterov": yes_no,
    "optimizer.betas": many(SHARE, 2),
    "optimizer.alpha": SHARE,
    "optimizer.eps": POSITIVE,
    "optimizer.rho": number("[0, 1]"),
    "optimizer.beta2_decay": number("(-inf, 0]"),
    "optimizer.d": number("[1, inf)"),
    "optimizer.lambd": AT_LEAST_0,
    "optimizer.t0": AT_LEAST_0,
    "optimizer.momentum_decay": AT_LEAST_0,
    "optimizer.etas": lambda value: None if _are_etas(value) else "two numbers, one in (0, 1) and one above 1",
    "optimizer.step_sizes": many(POSITIVE, 2),
    "optimizer.max_iter": whole(1),
    "optimizer.history_size": whole(1),
    "optimizer.tolerance_grad": AT_LEAST_0,
    "optimizer.tolerance_change": AT_LEAST_0,
    "optimizer.line_search_fn": one_of("strong_wolfe", None),
    "scheduler.epochs": whole(1),
    "scheduler.gamma": POSITIVE,
    "scheduler.eta_min": AT_LEAST_0,
    "scheduler.pct_start": number("(0, 1)"),
    "scheduler.factor": number("(0, 1)"),
    "scheduler.patience": whole(0),
    "scheduler.step_size": whole(1),
    "scheduler.milestones": many(whole(1)),
    "scheduler.total_iters": whole(1),
    "scheduler.T_max": whole(1),
    "scheduler.T_0": whole(1),
    "scheduler.T_mult": whole(1),
    "scheduler.start_factor": number("(0, 1]"),
    "scheduler.end_factor": number("[0, 1]"),
    "scheduler.power": POSITIVE,
    "scheduler.base_lr": POSITIVE,
    "scheduler.max_lr": POSITIVE,
    "scheduler.step_size_up": whole(1),
    "scheduler.mode": one_of("triangular", "triangular2", "exp_range"),
    "scheduler.cycle_momentum": yes_no,
    "loss.delta": POSITIVE,
    "loss.class_weights": or_null(many(AT_LEAST_0)),
    "penalty.weight": AT_LEAST_0,
    "penalty.l1_ratio": number("[0, 1]"),
    "init.std": AT_LEAST_0,
    "init.bias": one_of("zeros", "same"),
    "trainer.max_epochs": whole(1, or_else=[None]),
    "trainer.max_steps": whole(1, or_else=[None]),
    "trainer.accelerator": one_of("auto", "cpu", "gpu", "mps"),
    "trainer.devices": whole(1),
    "trainer.strategy": text(),
    "trainer.precision": one_of("64-true", "32-true", "bf16-true", "bf16-mixed", "16-true", "16-mixed"),
    "trainer.threads": whole(1, 1024, or_else=["auto"]),
    "trainer.gradient_clip": number("(0, inf)", or_null=True),
    "trainer.accumulate": whole(1),
    "trainer.patience": whole(1, or_else=[None]),
    "trainer.pack": whole(1, or_else=["auto"]),
    "trainer.points": whole(1),
    "trainer.compile": one_of("auto", True, False),
    "trainer.fast_dev_run": yes_no,
    "trainer.overfit": whole(1, or_else=[None]),
    "trainer.limit_batches": whole(1, or_else=[None]),
    "trainer.profile": yes_no,
    "trainer.debug": yes_no,
}
"""The rule for each key. A source's own keys are checked by their types in its class."""


LIBRARIES = {
    "lightning.pytorch.loggers.WandbLogger": "wandb",
    "lightning.pytorch.loggers.MLFlowLogger": "mlflow",
    "fulmen.training.trackio_logger.TrackioLogger": "trackio",
}
"""The library behind a logger, which the choice and the extra are named after."""
COMMON: Mapping[str, Rule] = {"batch_size": whole(1, or_else=["full"]), "epochs": whole(1), "seed": SEED}
"""The rules for the keys that every source has."""


def check(config: DictConfig) -> Source:
    """Checks a composed configuration's values.

    Returns:
        The data source it describes, not loaded.

    Raises:
        ConfigurationError: a value is of the wrong kind or out of range, or two do not go together.
    """
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigurationError(sentence(error)) from error
    _check_rules(plain, [*RULES, *(f"figures.{name}" for name in plain["figures"])])
    _check_logger(plain["logger"])
    data = source(config.data)
    _check_together(plain, data)
    return data


def check_again(plain: Mapping[str, Any], changed: Iterable[str], data: Source) -> None:
    """Checks a configuration without references that is one checked before, but for the values of some keys.

    Raises:
        ConfigurationError: as `check`.
    """
    _check_rules(plain, changed)
    tuned.check(plain)
    _check_together(plain, data)


def _check_logger(section: Mapping[str, Any]) -> None:
    library = LIBRARIES.get(section["_target_"])
    # a folder of that name, such as `wandb/` with runs, is found as well, but has no origin
    if library is not None and getattr(find_spec(library), "origin", None) is None:
        raise ConfigurationError(f"logger={library} is not installed; it comes with: pip install 'fulmen[{library}]'")
    if library == "wandb":
        rules.check("logger.mode", section.get("mode"), one_of("online", "offline", "disabled", None))
    if library == "trackio":
        rules.check("logger.project", section.get("project"), text())


def _check_rules(plain: Mapping[str, Any], keys: Iterable[str]) -> None:
    for key in keys:
        group, _, name = key.rpartition(".")
        section: Any = plain[group] if group else plain
        ours = not group or section.get("_target_", "") in allowlist.shipped()
        is_switch = group == "figures" and not name.startswith("_") and name != "own"
        rule = yes_no if is_switch else RULES.get(key)
        if ours and name in section and rule is not None:
            rules.check(key, section[name], rule)


def _check_together(plain: Mapping[str, Any], data: Source) -> None:
    try:
        spec = data.spec  # shows a file that is wrong
    except ValueError as error:
        raise ConfigurationError(one_line(error)) from error
    task, choices = spec.task, plain["choices"]
    if data.scale == "channels" and len(spec.in_shape) != 3:
        shape = f"rows here have the shape {spec.in_shape}"
        raise ConfigurationError(f"data.scale=channels is for images, and {shape}; take data.scale=features")
    if choices["loss"] in {loss for losses in LOSSES.values() for loss in losses} - {*LOSSES[task]}:
        raise ConfigurationError(
            f"loss={choices['loss']} does not fit data={choices['data']}, whose task is {task}; "
            f"these do: {', '.join(['auto', *LOSSES[task]])}"
        )
    for each in plain["figures"].get("own", ()):
        if not isinstance(each, dict) or "_target_" not in each:
            raise ConfigurationError(f"figures.own has {each!r:.60}, but each must be {SIGNATURES['figure']}")
    _check_metrics(plain.get("metrics", []), task)
    names = (*METRICS[task], *metric_names(plain))
    changed = {"optimizer": ("lbfgs",), "scheduler": ("cyclic",)}  # parts that know one rate alone
    if plain.get("learning_rates") and (part := next((g for g, each in changed.items() if choices[g] in each), None)):
        raise ConfigurationError(
            f"{part}={choices[part]} has one rate for all parameters, so that learning_rates= would have no effect; "
            f"leave it out, or take another {part}"
        )
    if plain["data"].get("augment") and choices["baseline"] == "sklearn":
        raise ConfigurationError("baseline=sklearn: scikit-learn has no equivalent of data.augment; use one of both")
    score, scores = plain["score"], ["val/loss", "train/loss", *(f"val/{name}" for name in names)]
    if score not in scores:
        raise ConfigurationError(
            f"score={score} is not measured during training of this {task} task{alternatives(score, scores)}"
        )
    activation = plain["model"].get("output_activation", "identity")
    fitting = {"binary": ("identity", "sigmoid"), "multiclass": ("identity", *PROBABILITIES)}
    if activation not in fitting.get(task, (activation,)):
        raise ConfigurationError(
            f"model.output_activation={activation} makes no class probabilities for this {task} task; "
            f"take {' or '.join(fitting[task])}"
        )


def _check_metrics(metrics: Sequence[Any], task: TaskKind) -> None:
    """Checks the names of metrics; those of the user's own say by their ending whether they are maximized."""
    taken, known = list(METRICS[task]), [*METRICS[task], *FURTHER[task]]
    for each in metrics:
        if isinstance(each, str) and each not in known:
            raise ConfigurationError(
                f"metrics=[{each}] is none of this {task} task{alternatives(each, known)}; "
                f"one of your own is written with its module, my_metrics.{each}{DIRECTIONS[0]}"
            )
    for each, name in zip(added(metrics), metric_names({"metrics": metrics}), strict=True):
        if isinstance(each, dict) and "_target_" in each and not name.endswith(DIRECTIONS):
            raise ConfigurationError(
                f"metric {name} does not say by its name whether it is to be maximized; "
                f"let it end in {DIRECTIONS[0]} if it is, else in {', '.join(DIRECTIONS[1:-1])} or {DIRECTIONS[-1]}"
            )
        if name in taken:
            raise ConfigurationError(f"metric {name} is measured already; leave it out of metrics=[...]")
        if not isinstance(each, str) and not (isinstance(each, dict) and "_target_" in each):
            raise ConfigurationError(f"metrics has {each!r:.60}, but must be names, or {SIGNATURES['metric']}")
        taken.append(name)


def source(section: DictConfig) -> Source:
    """Returns the data source that a configuration's `data` section describes, not loaded.

    Raises:
        ConfigurationError: one of its keys is wrong.
    """
    kind = get_class(section._target_)
    if not issubclass(kind, Source):
        raise ConfigurationError(f"data._target_ is {section._target_}, which must be {SIGNATURES['data']}")
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in section and field.name not in COMMON:
            value = section[field.name]
            rules.check(
                f"data.{field.name}",
                OmegaConf.to_object(value) if OmegaConf.is_config(value) else value,
                of_type(hints[field.name]),
            )
    for name, rule in COMMON.items():
        if name not in section:
            raise ConfigurationError(f"data has no '{name}', which every data set's file must have; add it there")
        rules.check(f"data.{name}", section[name], rule)
    try:
        found = instantiate(section, _convert_="all")
    except HydraException as error:
        raise ConfigurationError(one_line(error.__cause__ or error)) from error
    assert isinstance(found, Source)
    return found
