"""The layers that change shapes: the linear one, which has the parameters, and the one that makes images flat."""

from types import ModuleType

from fulmen.backprop.arrays import Array
from fulmen.backprop.layer import Layer


class Linear(Layer):
    """z = x Wᵀ + b.

    Args:
        xp: `numpy` or `torch`.
        weight: W, [O, I].
        bias: b, [O], or None for a layer without.
    """

    def __init__(self, xp: ModuleType, weight: Array, bias: Array | None) -> None:
        super().__init__(xp)
        self.weight, self.bias = weight, bias
        self.d_weight: Array = 0
        self.d_bias: Array = 0

    def forward(self, x: Array) -> Array:
        """[B, I] -> [B, O]."""
        self.x = x
        z = x @ self.weight.T  # [B, I] @ [I, O] -> [B, O]
        return z if self.bias is None else z + self.bias  # [B, O] + [O], to every row

    def backward(self, d_z: Array) -> Array:
        """[B, O] -> [B, I].

        The chain rule three times, for z[b, o] = Σ_i x[b, i] W[o, i] + b[o]:
        ∂z/∂W is x, ∂z/∂b is 1, ∂z/∂x is W. Every row uses the same W and b, so their gradients are sums over rows.
        """
        self.d_weight = self.d_weight + d_z.T @ self.x  # ∂L/∂W: [O, B] @ [B, I] -> [O, I]
        self.d_bias = self.d_bias + d_z.sum(0)  # ∂L/∂b: [B, O] -> [O]
        return d_z @ self.weight  # ∂L/∂x: [B, O] @ [O, I] -> [B, I]

    def gradients(self) -> list[Array]:
        """In the order of torch's parameters: [O, I] and, where there is a bias, [O]."""
        return [self.d_weight] if self.bias is None else [self.d_weight, self.d_bias]


class Flatten(Layer):
    """Each row in a line; nothing is computed, so nothing is to be derived."""

    def forward(self, x: Array) -> Array:
        """[B, ...] -> [B, F]."""
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, d_out: Array) -> Array:
        """[B, F] -> [B, ...]."""
        return d_out.reshape(self.shape)
