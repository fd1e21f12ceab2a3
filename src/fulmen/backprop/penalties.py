"""Penalties beside their derivatives. The chain is short: each parameter counts by itself."""

from collections.abc import Iterable
from types import ModuleType

from fulmen import penalties
from fulmen.backprop.arrays import Array


class Penalty:
    """P = Σ (a |p| + b p²), ∂P/∂p = a sign(p) + 2 b p: with a alone the lasso, with b alone the ridge.

    Args:
        xp: `numpy` or `torch`.
        of_size: a.
        of_square: b.
    """

    def __init__(self, xp: ModuleType, of_size: float, of_square: float) -> None:
        self.xp, self.of_size, self.of_square = xp, of_size, of_square

    def value(self, parameters: Iterable[Array]) -> Array:
        """P, one number, of parameters of any shape."""
        return sum((self.of_size * abs(p) + self.of_square * p**2).sum() for p in parameters)

    def gradient(self, p: Array) -> Array:
        """∂P/∂p, in the shape of p."""
        return self.of_size * self.xp.sign(p) + 2 * self.of_square * p


def formula(xp: ModuleType, penalty: penalties.Penalty) -> Penalty:
    """The formulas of a penalty.

    Raises:
        ValueError: there are none.
    """
    found = penalties.shares(penalty)
    if found is None:
        function = getattr(penalty, "func", penalty)
        name = getattr(function, "__name__", type(function).__name__)
        raise ValueError(f"the penalty {name} has no formulas for back-propagation by hand; take backprop=autograd")
    return Penalty(xp, *found)
