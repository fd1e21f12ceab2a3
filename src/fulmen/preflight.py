"""What is wrong with a configuration, said before torch is imported or anything is written.

Groups, choices and keys are checked where the configuration is composed; here it is their values, one by one by the
table of rules, then together: data against loss, score and model.
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fulmen import targets
from fulmen.data.source import Source
from fulmen.vocabulary import ACTIVATIONS, LOSSES, METRICS, OUTPUT_ACTIVATIONS, PROBABILITIES
from fulmen.words import ConfigurationError, suggestion

Rule = Callable[[Any], str | None]
"""Says what a value must be, or None if it is."""


def whole(least: int, most: float = float("inf"), *, or_else: Sequence[str | None] = ()) -> Rule:
    """A whole number in [least, most], or one of a few words (None: null)."""
    top = "" if most == float("inf") else f" and at most {most}"
    words = "".join(f", or {'null' if word is None else word}" for word in or_else)

    def rule(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        return None if fits or value in or_else else f"a whole number of at least {least}{top}{words}"

    return rule


def number(within: str, *, or_null: bool = False) -> Rule:
    """A number in an interval written as in mathematics: `(0, 1]` without 0 and with 1, `(0, inf)` for any above 0."""
    low, high = (float(end) for end in within[1:-1].split(","))

    def rule(value: Any) -> str | None:
        if value is None and or_null:
            return None
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = (
            fits
            and (value > low or (value == low and within[0] == "["))
            and (value < high or (value == high and within[-1] == "]"))
        )
        return None if fits else f"a number in {within}{', or null' if or_null else ''}"

    return rule


def one_of(*names: Any) -> Rule:
    """One of a few words."""

    def rule(value: Any) -> str | None:
        near = suggestion(value, [str(name) for name in names]) if isinstance(value, str) else ""
        return (
            None if value in names and type(value) in map(type, names) else f"one of {', '.join(map(str, names))}{near}"
        )

    return rule


def many(each: Rule, length: int | None = None) -> Rule:
    """A list, of a given length if there is one."""

    def rule(value: Any) -> str | None:
        wants = "a list" if length is None else f"a list of {length}"
        if not isinstance(value, list) or (length is not None and len(value) != length):
            return f"{wants}, as [{', '.join(['...'] * (length or 1))}]"
        wrong = next((said for item in value if (said := each(item)) is not None), None)
        return None if wrong is None else f"{wants}, each {wrong}"

    return rule


def text(*, or_null: bool = False) -> Rule:
    """A text."""
    return lambda value: None if isinstance(value, str) or (value is None and or_null) else "a text"


YES_NO = one_of(True, False)
SEED = whole(0, 2**32 - 1)
SHARE = number("[0, 1)")
POSITIVE = number("(0, inf)")
AT_LEAST_0 = number("[0, inf)")

RULES: Mapping[str, Rule] = {
    "seed": SEED,
    "weights": one_of("best", "last"),
    "score": text(),
    "run_dir": text(or_null=True),
    "data_root": text(or_null=True),
    "model.hidden": many(whole(1)),
    "model.activation": one_of(*ACTIVATIONS),
    "model.output_activation": one_of(*OUTPUT_ACTIVATIONS),
    "model.bias": YES_NO,
    "model.dropout": SHARE,
    "optimizer.lr": POSITIVE,
    "optimizer.weight_decay": AT_LEAST_0,
    "optimizer.momentum": SHARE,
    "optimizer.nesterov": YES_NO,
    "optimizer.betas": many(SHARE, 2),
    "optimizer.alpha": SHARE,
    "optimizer.eps": POSITIVE,
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
    "loss.delta": POSITIVE,
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
    "trainer.threads": whole(1, or_else=["auto"]),
    "trainer.gradient_clip": number("(0, inf)", or_null=True),
    "trainer.accumulate": whole(1),
    "trainer.patience": whole(1, or_else=[None]),
    "trainer.pack": whole(1, or_else=["auto"]),
    "trainer.points": whole(1),
    "trainer.debug": YES_NO,
}
"""What each key must be. A source's own keys are checked by their types in its class."""


COMMON: Mapping[str, Rule] = {"batch_size": whole(1, or_else=["full"]), "epochs": whole(1), "seed": SEED}
"""What the keys must be that every source has."""


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
        raise ConfigurationError(" ".join(str(error).split("\n")[0].split())) from error
    for key, rule in RULES.items():
        group, _, name = key.rpartition(".")
        section: Any = plain[group] if group else plain
        ours = not group or section.get("_target_", "") in targets.shipped()
        if ours and name in section:
            _apply(key, section[name], rule)
    data = source(config)
    _check_data(data)
    _check_loss(plain, data)
    _check_score(plain["score"], data)
    _check_output(plain["model"].get("output_activation", "identity"), data)
    return data


def _apply(key: str, value: Any, rule: Rule) -> None:
    wanted = rule(value)
    if wanted is not None:
        raise ConfigurationError(f"{key} is {'null' if value is None else repr(value)}, and must be {wanted}")


def source(config: DictConfig) -> Source:
    """The data source that a configuration describes, not loaded.

    Raises:
        ConfigurationError: one of its keys is wrong.
    """
    kind = get_class(config.data._target_)
    if not issubclass(kind, Source):
        raise ConfigurationError(f"data._target_ is {config.data._target_}, which is no fulmen.data.source.Source")
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if field.name in config.data and field.name not in COMMON:
            value = config.data[field.name]
            _apply(
                f"data.{field.name}",
                OmegaConf.to_object(value) if OmegaConf.is_config(value) else value,
                of_type(hints[field.name]),
            )
    for name, rule in COMMON.items():
        _apply(f"data.{name}", config.data[name], rule)
    try:
        found = instantiate(config.data, _convert_="all")
    except HydraException as error:
        raise ConfigurationError(str(error.__cause__ or error).split("\n")[0]) from error
    assert isinstance(found, Source)
    return found


def of_type(hint: Any) -> Rule:
    """A rule from a type: numbers, texts, yes or no, words, lists, and what may be null."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return one_of(*options)
    if typing.get_origin(hint) in (list, tuple, Sequence):
        return many(of_type(options[0]))
    if options:
        rules = [of_type(option) for option in options]
        return lambda value: (
            None if any(rule(value) is None for rule in rules) else ", or ".join(str(rule(value)) for rule in rules)
        )
    simple: dict[Any, Rule] = {
        int: whole(-(2**63)),
        float: number("(-inf, inf)"),
        bool: YES_NO,
        str: text(),
        type(None): lambda value: None if value is None else "null",
    }
    return simple.get(hint, lambda _value: None)


def _check_data(source: Source) -> None:
    """A file that is wrong shows when its sizes are asked for."""
    try:
        _ = source.joint
    except ValueError as error:
        raise ConfigurationError(str(error)) from error


def _check_loss(plain: Mapping[str, Any], source: Source) -> None:
    task, name = source.joint.task, plain["choices"]["loss"]
    fitting = LOSSES[task]
    if name in {loss for losses in LOSSES.values() for loss in losses} and name not in fitting:
        raise ConfigurationError(
            f"loss={name} does not fit data={plain['choices']['data']}, whose task is {task}; "
            f"these do: {', '.join(['auto', *fitting])}"
        )


def _check_score(score: str, source: Source) -> None:
    there = ["val/loss", "train/loss", *(f"val/{name}" for name in METRICS[source.joint.task])]
    if score not in there:
        raise ConfigurationError(
            f"score={score} is not measured during training of this {source.joint.task} task"
            f"{suggestion(score, there) or ';'} there are {', '.join(there)}"
        )


def _check_output(activation: str, source: Source) -> None:
    task = source.joint.task
    fitting = {"binary": ("identity", "sigmoid"), "multiclass": ("identity", *PROBABILITIES)}
    if task in fitting and activation not in fitting[task]:
        raise ConfigurationError(
            f"model.output_activation={activation} makes no class probabilities for this {task} task; "
            f"take {' or '.join(fitting[task])}"
        )
