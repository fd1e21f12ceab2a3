"""What every part of the chain can do: compute its output, and pass a gradient back."""

from types import ModuleType

from fulmen.backprop.arrays import Array


class Layer:
    """One function of the chain.

    Args:
        xp: `numpy` or `torch`.
    """

    def __init__(self, xp: ModuleType) -> None:
        self.xp = xp

    def forward(self, x: Array) -> Array:
        """The layer's output; it remembers what `backward` will need."""
        raise NotImplementedError

    def backward(self, d_out: Array) -> Array:
        """From ∂L/∂output to ∂L/∂input, by the chain rule: ∂L/∂input = ∂L/∂output · ∂output/∂input."""
        raise NotImplementedError

    def gradients(self) -> list[Array]:
        """∂L/∂parameter of each parameter, added up over the backward passes so far."""
        return []
