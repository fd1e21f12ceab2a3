"""Penalties beside their derivatives. The chain is short: each parameter counts by itself."""

import functools
from collections.abc import Iterable
from types import ModuleType

from fulmen import penalties
from fulmen.backprop.arrays import Array


class Penalty:
    """P = w Σ (r |p| + (1 - r) p²), ∂P/∂p = w (r sign(p) + (1 - r) 2 p): for r = 1 the lasso, for r = 0 the ridge.

    Args:
        xp: `numpy` or `torch`.
        weight: w.
        l1_ratio: r.
    """

    def __init__(self, xp: ModuleType, *, weight: float, l1_ratio: float) -> None:
        self.xp, self.weight, self.l1_ratio = xp, weight, l1_ratio

    def value(self, parameters: Iterable[Array]) -> Array:
        """P, one number, of parameters of any shape."""
        return self.weight * sum((self.l1_ratio * abs(p) + (1 - self.l1_ratio) * p**2).sum() for p in parameters)

    def gradient(self, p: Array) -> Array:
        """∂P/∂p, in the shape of p."""
        return self.weight * (self.l1_ratio * self.xp.sign(p) + (1 - self.l1_ratio) * 2 * p)


def formula(xp: ModuleType, penalty: penalties.Penalty) -> Penalty:
    """The formulas of a penalty.

    Raises:
        ValueError: there are none.
    """
    function = penalty.func if isinstance(penalty, functools.partial) else penalty
    options = penalty.keywords if isinstance(penalty, functools.partial) else {}
    ratio = {penalties.l1: 1.0, penalties.l2: 0.0}
    if function in ratio:
        options = {**options, "l1_ratio": ratio[function]}
    elif function is not penalties.elastic_net:
        name = getattr(function, "__name__", type(function).__name__)
        raise ValueError(f"the penalty {name} has no formulas for back-propagation by hand; take backprop=autograd")
    return Penalty(xp, **options)
