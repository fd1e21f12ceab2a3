"""Which parameters are trained, and at which rate, by patterns of their names.

A pattern is a parameter's name or a layer's, with `*` for any letters: `layers.0.weight`, `*.bias`, or `layers.0` for
all that is in that layer.
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from torch import Tensor, nn

from fulmen.errors import ConfigurationError
from fulmen.rules import did_you_mean, listed

Groups = list[dict[str, Any]]
"""Parameters as torch's optimizers take them where not all have the same settings."""
AnyTensor = TypeVar("AnyTensor", bound=Tensor)


def matching(named: Mapping[str, AnyTensor], pattern: str, key: str) -> dict[str, AnyTensor]:
    """Returns the parameters that a pattern means.

    Raises:
        ConfigurationError: there are none; lists those that there are. `key` is where the pattern stands.
    """
    found = {name: p for name, p in named.items() if any(fnmatchcase(name, f"{pattern}{end}") for end in ("", ".*"))}
    if not found:
        layers = {name.rsplit(".", depth)[0]: None for name in named for depth in range(1, name.count(".") + 1)}
        raise ConfigurationError(
            f"{key} has {pattern}, but the network has no such parameter or layer"
            f"{did_you_mean(pattern, [*layers, *named]) or ';'} its parameters are {listed([*named])}"
        )
    return found


def freeze(net: nn.Module, patterns: Iterable[str]) -> None:
    """Lets the parameters that patterns mean stay as they are.

    Raises:
        ConfigurationError: a pattern means none, or none is left to be trained.
    """
    patterns, named = list(patterns), dict(net.named_parameters())
    for pattern in patterns:
        for parameter in matching(named, pattern, "freeze").values():
            parameter.requires_grad_(False)
    if patterns and not any(parameter.requires_grad for parameter in named.values()):
        raise ConfigurationError(f"freeze=[{','.join(patterns)}] leaves no parameter to train; name fewer")


def groups(named: Mapping[str, Tensor], learning_rates: Mapping[str, float]) -> list[Tensor] | Groups:
    """Returns parameters for an optimizer: those without a rate of their own first, then a group for each rate.

    Raises:
        ConfigurationError: a pattern means no parameter that is trained, or two mean the same one.
    """
    if not learning_rates:
        return [*named.values()]
    found: dict[str, str] = {}
    for pattern in learning_rates:
        trained = [name for name, p in matching(named, pattern, "learning_rates").items() if p.requires_grad]
        if not trained:
            raise ConfigurationError(
                f"learning_rates has {pattern}, which freeze= keeps as it is; leave out one of both"
            )
        if (twice := next((name for name in trained if name in found), None)) is not None:
            raise ConfigurationError(
                f"learning_rates has two rates for {twice}, by {found[twice]} and by {pattern}; name it once"
            )
        found |= dict.fromkeys(trained, pattern)
    rest: dict[str, Any] = {"params": [parameter for name, parameter in named.items() if name not in found]}
    own: Groups = [
        {"params": [named[name] for name, other in found.items() if other == pattern], "lr": rate}
        for pattern, rate in learning_rates.items()
    ]
    return [rest, *own] if rest["params"] else own
