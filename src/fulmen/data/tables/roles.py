"""What each column of a table is for: a target, a feature, what divides the rows, or nothing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fulmen.data.rows import listed, present


class Roles(NamedTuple):
    """Names of columns, each once."""

    targets: list[str]
    features: list[str]


def roles(
    there: Sequence[str],
    path: str,
    *,
    target: str | Sequence[str] | None,
    features: Sequence[str] | None,
    leave_out: Sequence[str],
    dividing: Mapping[str, str | None],
) -> Roles:
    """Finds the columns that the keys name.

    Args:
        there: the columns of the table.
        path: of its file, for sentences.
        target: one target, or several.
        features: those that are features; none: all that are nothing else.
        leave_out: those that are no features.
        dividing: the columns that divide the rows, if any, by their keys.

    Raises:
        ValueError: a column is not there or is to be two things, or nothing is left to be a target or a feature.
    """
    if not target:
        raise ValueError(f"data.target is not given: say which column to predict, of {listed(there)}.")
    targets = [target] if isinstance(target, str) else list(dict.fromkeys(target))
    taken = dict.fromkeys(targets, "target")
    named = {"target": targets, **{key: [name] for key, name in dividing.items() if name is not None}}
    for key, names in {**named, "features": features or (), "leave_out": leave_out}.items():
        for name in names:
            present(name, there, f"data.{key} is {name!r}, and {path} has no such column")
            if taken.get(name, key) != key:
                raise ValueError(f"data.{key} names {name!r}, which is data.{taken[name]} already.")
        if key in named:
            taken |= dict.fromkeys(names, key)
    chosen = [name for name in dict.fromkeys(features or there) if name not in taken and name not in leave_out]
    if not chosen:
        raise ValueError(f"No column of {path} is left to be a feature: leave out fewer of {listed(there)}.")
    return Roles(targets, chosen)
