"""Rules for single values: each says what a value must be, or nothing where it is."""

import difflib
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, TypeVar

from fulmen.errors import ConfigurationError, advice, one_line


def split_override(text: str) -> tuple[str, str]:
    """Returns the key and the value of `key=value`; without an equals sign, the text and an empty value."""
    key, _, value = text.partition("=")
    return key, value


def did_you_mean(wrong: str, right: Iterable[str]) -> str:
    """Returns `; did you mean x?` if a name is close to the wrong one, else nothing."""
    near = closest(wrong, right)
    return "" if near is None else f"; did you mean {near}?"


def alternatives(wrong: str, right: Iterable[str], lead: str = "the choices are") -> str:
    """Returns the end of a sentence about a name that does not exist: `; did you mean x? the choices are x, y`."""
    right = list(right)
    return f"{did_you_mean(wrong, right) or ';'} {lead} {listed(right)}"


def closest(wrong: str, right: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Returns the closest name in any case, if it is at least as close as `cutoff` (1: the same letters)."""
    wrong, names = wrong.lower(), {name.lower(): name for name in right}
    near = difflib.get_close_matches(wrong, list(names), n=5, cutoff=cutoff)
    near.sort(key=lambda name: sorted(name) != sorted(wrong))  # letters in another order are the likeliest slip
    return names[near[0]] if near else None


RANGE = re.compile(r"(?:range\W*|(\d+)\s*(?:\.\.+|-|to)\s*)(\d+)\W*", re.ASCII)
"""Several whole numbers as other programs write them: range5, 0..4, 0-4."""

Rule = Callable[[Any], str | None]
"""Returns what a value must be, or None if it is."""


def check(name: str, value: object, rule: Rule, because: str = "") -> None:
    """Raises ConfigurationError if a rule refuses the value of the key `name`; `because` gives a reason."""
    if wanted := rule(value):
        shown = "null" if value is None else f"{value!r:.60}"
        raise ConfigurationError(f"{name} is {shown}, but must be {wanted}{because and f'; {because}'}")


def whole(least: float, most: float = inf, *, or_else: Sequence[str | None] = ()) -> Rule:
    """Returns the rule of a whole number in [least, most], or one of a few words (None: null)."""
    low = "" if least == -inf else f" of at least {least}"
    top = "" if most == inf else f" and at most {most}"
    words = "".join(f", or {'null' if word is None else word}" for word in or_else)

    def rule(value: Any) -> str | None:
        fits = isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
        written = ", without a point or an e" if isinstance(value, float) and value.is_integer() else ""
        from_to = RANGE.fullmatch(value) if isinstance(value, str) else None
        several = ""
        if from_to is not None:
            first, after = int(from_to[1] or 0), int(from_to[2]) + (from_to[1] is not None)
            called = f"range({first},{after})" if first else f"range({after})"
            several = f"; for several values, write {called}, {advice('with -m', 'in fulmen.sweep')}"
        return None if fits or value in or_else else f"a whole number{low}{top}{written}{words}{several}"

    return rule


def number(within: str, *, or_null: bool = False) -> Rule:
    """Returns the rule of a number in an interval, as in `(0, 1]`, without 0 and with 1, or `(0, inf)`, any above 0."""
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
    """Returns the rule of one of a few words, shown as YAML writes them."""
    shown = ["null" if name is None else str(name).lower() if isinstance(name, bool) else str(name) for name in names]

    def rule(value: Any) -> str | None:
        near = did_you_mean(value, shown) if isinstance(value, str) else ""
        fits = value in names and type(value) in map(type, names)
        return None if fits else f"one of {', '.join(shown)}{near}"

    return rule


def many(each: Rule, length: int | None = None) -> Rule:
    """Returns the rule of a list, of a given length if there is one."""

    def rule(value: Any) -> str | None:
        wants = "a list" if length is None else f"a list of {length}"
        if not isinstance(value, list) and length in (None, 1) and each(value) is None:
            return f"{wants}, as [{value}]"
        if not isinstance(value, list) or (length is not None and len(value) != length):
            item = (each(object()) or "").partition(";")[0]
            return f"{wants}, as [{', '.join(['...'] * (length or 1))}]{item and f', each {item}'}"
        wrong = next((said for item in value if (said := each(item)) is not None), None)
        return None if wrong is None else f"{wants}, each {wrong}"

    return rule


def text(*, or_null: bool = False) -> Rule:
    """Returns the rule of a text."""

    def rule(value: Any) -> str | None:
        wanted = f"a text{', or null' if or_null else ''}"
        if isinstance(value, str) or (value is None and or_null):
            return None
        if isinstance(value, bool):
            return f"{wanted}; YAML reads no, off and false, or yes, on and true, as a switch: put the text in quotes"
        return f"{wanted}; put it in quotes" if isinstance(value, (int, float)) else wanted

    return rule


def mapping(value: Any) -> str | None:
    """Applies the rule of names with values."""
    return None if isinstance(value, dict) else "names with values, as {name: value}"


def or_null(rule: Rule) -> Rule:
    """Returns the rule of whatever another one allows, or null."""
    return lambda value: None if value is None or (wanted := rule(value)) is None else f"{wanted}, or null"


def names_with(each: Rule) -> Rule:
    """Returns the rule of names, each with a value."""

    def rule(value: Any) -> str | None:
        values = value.values() if isinstance(value, dict) else ()
        wrong = next((said for item in values if (said := each(item)) is not None), None)
        item = wrong or (each(object()) or "").partition(";")[0]
        return (
            None if isinstance(value, dict) and wrong is None else f"names with values, as {{name: ...}}, each {item}"
        )

    return rule


def yes_no(value: Any) -> str | None:
    """Applies the rule of a switch."""
    return None if isinstance(value, bool) else "true or false"


def of_type(hint: Any) -> Rule:
    """Returns a rule from a type: numbers, texts, yes or no, words, lists, and what may be null."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return one_of(*options)
    if typing.get_origin(hint) in (list, tuple, Sequence):
        return many(of_type(options[0]))
    if typing.get_origin(hint) is Mapping:
        return mapping
    if options:
        rules = [of_type(option) for option in options]
        said = [of_type(option) for option in options if str not in options or option not in (int, float)]
        return lambda value: (
            None if any(rule(value) is None for rule in rules) else ", or ".join(str(rule(value)) for rule in said)
        )
    simple: dict[Any, Rule] = {
        int: whole(-inf),
        float: number("(-inf, inf)"),
        bool: yes_no,
        str: text(),
        type(None): lambda value: None if value is None else "null",
    }
    return simple.get(hint, lambda _value: None)


SHOWN = 20
"""Names that a sentence lists at most."""


def listed(names: Sequence[object]) -> str:
    """Names with commas between them, the first few of very many."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(str, names[:SHOWN])) + more


SIGNATURES: Mapping[str, str] = {
    "model": "a class Net(in_shape, out_features, **keys) that is a torch.nn.Module",
    "data": "a class that is a fulmen.data.source.Source, with spec and load()",
    "loss": "a function loss(out, y, task, **keys) that returns one number as a tensor with a gradient",
    "penalty": "a function penalty(parameters, **keys) that returns one number as a tensor with a gradient",
    "optimizer": (
        "a class Own(params, **keys) that is a torch.optim.Optimizer, whose step(closure) calls the closure to find "
        "the gradient"
    ),
    "scheduler": (
        "a function schedule(optimizer, plan, **keys) that returns a torch.optim.lr_scheduler.LRScheduler, or a class "
        "Own(optimizer, **keys) that is one"
    ),
    "init": "a function init(net, **keys) that fills the parameters in place and returns nothing",
    "augment": "a torch.nn.Module that takes training rows [B, C, H, W] and returns as many, changed at random",
    "metric": "a function metric(prediction, target, **keys) that returns one number",
    "callbacks": "a class Own(**keys) that is a lightning.pytorch.callbacks.Callback",
    "logger": "a class Own(save_dir, version, **keys) that is a lightning.pytorch.loggers.logger.Logger",
    "figure": "a function figure(context, **keys) that returns a matplotlib.figure.Figure, or None to draw nothing",
}
"""What each kind of part must be if it is the user's own; docs/extending.md has an example of each."""


def type_of(value: object) -> str:
    """Returns what kind of thing a value is, with its article: `an int`, `a list`, `None`."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def wrong_part(kind: str, name: str, what: str) -> ConfigurationError:
    """Returns the error about a part of the user's own: what is wrong, and the signature that it must have."""
    return ConfigurationError(f"{kind} {name} {what}; it must be {SIGNATURES[kind]}")


Result = TypeVar("Result")


def called(kind: str, name: str, call: Callable[[], Result]) -> Result:
    """Calls a part that may be the user's own.

    Raises:
        ConfigurationError: it raised an error; shows that, and the signature that the part must have.
    """
    try:
        return call()
    except ConfigurationError:
        raise
    except Exception as error:  # whatever code of the user's own may raise
        raise wrong_part(kind, name, f"failed with {one_line(error)}") from error
