"""Losses, each beside its derivative by what the network says: the last link of the chain, and the first backward.

Shapes: all are [B, T]; classes are 0 and 1, in T = 1 column for two classes and in T = K columns for K. N is B · T.
"""

import math
from collections.abc import Iterable
from types import ModuleType

from fulmen.tasks import penalties
from fulmen.tasks.task import TINY
from fulmen.training.backprop.layers import Array, sigmoid


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


def formula(xp: ModuleType, penalty: penalties.Penalize) -> Penalty:
    """The formulas of a penalty.

    Raises:
        ValueError: there are none.
    """
    if not isinstance(penalty, penalties.Penalty):
        function = getattr(penalty, "func", penalty)
        name = getattr(function, "__name__", type(function).__name__)
        raise ValueError(f"the penalty {name} has no formulas for back-propagation by hand; take backprop=autograd")
    return Penalty(xp, penalty.l1, penalty.l2)


class Loss:
    """L, one number, from what the network says and what is so.

    Args:
        xp: `numpy` or `torch`.
    """

    def __init__(self, xp: ModuleType) -> None:
        self.xp = xp

    def forward(self, p: Array, y: Array) -> Array:
        """[B, T] and [B, T] -> one number; remembers what `backward` will need."""
        raise NotImplementedError

    def backward(self) -> Array:
        """∂L/∂p, [B, T]."""
        raise NotImplementedError


class SumOfSquares(Loss):
    """L = Σ (p - y)², ∂L/∂p = 2 (p - y)."""

    def forward(self, p: Array, y: Array) -> Array:
        self.error = p - y
        return (self.error**2).sum()

    def backward(self) -> Array:
        return 2 * self.error


class MeanSquare(Loss):
    """L = Σ (p - y)² / N, ∂L/∂p = 2 (p - y) / N."""

    def forward(self, p: Array, y: Array) -> Array:
        self.error = p - y
        return (self.error**2).mean()

    def backward(self) -> Array:
        return 2 * self.error / math.prod(self.error.shape)


class MeanAbsolute(Loss):
    """L = Σ |p - y| / N, ∂L/∂p = sign(p - y) / N (at 0 it has none, and 0 is taken)."""

    def forward(self, p: Array, y: Array) -> Array:
        self.error = p - y
        return abs(self.error).mean()

    def backward(self) -> Array:
        return self.xp.sign(self.error) / math.prod(self.error.shape)


class Huber(Loss):
    """L = Σ h(p - y) / N with h(e) = e² / 2 up to |e| = δ, and beyond δ (|e| - δ / 2); h'(e) is e, cut off at ±δ."""

    def __init__(self, xp: ModuleType, *, delta: float) -> None:
        super().__init__(xp)
        self.delta = delta

    def forward(self, p: Array, y: Array) -> Array:
        self.error = p - y
        size = abs(self.error)
        return self.xp.where(size <= self.delta, size**2 / 2, self.delta * (size - self.delta / 2)).mean()

    def backward(self) -> Array:
        return self.xp.clip(self.error, -self.delta, self.delta) / math.prod(self.error.shape)


class BinaryCrossEntropy(Loss):
    """L = -Σ (y log p + (1 - y) log(1 - p)) / N, ∂L/∂p = (p - y) / (p (1 - p)) / N; limits are those of torch."""

    def forward(self, p: Array, y: Array) -> Array:
        self.p, self.y = p, y
        log_p, log_not_p = (self.xp.clip(self.xp.log(q), -100, None) for q in (p, 1 - p))
        return -(y * log_p + (1 - y) * log_not_p).mean()

    def backward(self) -> Array:
        spread = self.xp.clip(self.p * (1 - self.p), TINY, None)
        return (self.p - self.y) / spread / math.prod(self.p.shape)


class BinaryCrossEntropyOfLogits(Loss):
    """The same of p = sigmoid(z). In the chain rule p (1 - p) cancels: ∂L/∂z = ∂L/∂p · p (1 - p) = (p - y) / N."""

    def forward(self, p: Array, y: Array) -> Array:
        """Here `p` are the logits z; -log p is log(1 + e^-z), written so that no exponent is positive."""
        self.z, self.y = p, y
        return (self.xp.clip(p, 0, None) - p * y + self.xp.log1p(self.xp.exp(-abs(p)))).mean()

    def backward(self) -> Array:
        return (sigmoid(self.xp, self.z) - self.y) / math.prod(self.z.shape)


class CrossEntropy(Loss):
    """L = -Σ y log p / B, ∂L/∂p = -y / p / B; a probability below `TINY` counts as that."""

    def forward(self, p: Array, y: Array) -> Array:
        self.p, self.y = p, y
        return -(y * self.xp.log(self.xp.clip(p, TINY, None))).sum() / len(p)

    def backward(self) -> Array:
        return -self.y * (self.p >= TINY) / self.xp.clip(self.p, TINY, None) / len(self.p)


class CrossEntropyOfLogits(Loss):
    """The same of p = softmax(z): log p_i = z_i - log Σ_j e^z_j, and by the chain rule ∂L/∂z = (p - y) / B."""

    def forward(self, p: Array, y: Array) -> Array:
        """Here `p` are the logits z; the largest of each row is taken from it first, so that none overflows."""
        z = p - self.xp.amax(p, axis=1, keepdims=True)  # [B, K] - [B, 1], which changes no probability
        self.log_p, self.y = z - self.xp.log(self.xp.exp(z).sum(1))[:, None], y
        return -(y * self.log_p).sum() / len(z)

    def backward(self) -> Array:
        return (self.xp.exp(self.log_p) - self.y) / len(self.y)
