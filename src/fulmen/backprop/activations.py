"""Activation functions, each beside its derivative.

All but the softmax work number by number. Then ∂a/∂z is one number for each z, the slope f'(z), and the chain rule is a
plain product: ∂L/∂z = ∂L/∂a · f'(z). Their constants are those of `torch.nn`.
"""

import math
from types import ModuleType

from fulmen.backprop.arrays import Array, erf
from fulmen.backprop.layer import Layer


class Activation(Layer):
    """a = f(z), number by number: all shapes are [B, H]."""

    def f(self, z: Array) -> Array:
        raise NotImplementedError

    def slope(self, z: Array, a: Array) -> Array:
        """f'(z), where a is f(z)."""
        raise NotImplementedError

    def forward(self, z: Array) -> Array:
        """[B, H] -> [B, H]."""
        self.z, self.a = z, self.f(z)
        return self.a

    def backward(self, d_a: Array) -> Array:
        """[B, H] -> [B, H], the chain rule: ∂L/∂z = ∂L/∂a · f'(z)."""
        return d_a * self.slope(self.z, self.a)


class Identity(Activation):
    """f(z) = z, f'(z) = 1."""

    def f(self, z: Array) -> Array:
        return z

    def slope(self, z: Array, a: Array) -> Array:
        return 1


class Sigmoid(Activation):
    """f(z) = 1 / (1 + e^-z), f' = f · (1 - f)."""

    def f(self, z: Array) -> Array:
        return sigmoid(self.xp, z)

    def slope(self, z: Array, a: Array) -> Array:
        return a * (1 - a)


class Tanh(Activation):
    """f(z) = (e^z - e^-z) / (e^z + e^-z), f' = 1 - f²."""

    def f(self, z: Array) -> Array:
        return self.xp.tanh(z)

    def slope(self, z: Array, a: Array) -> Array:
        return 1 - a**2


class Softplus(Activation):
    """f(z) = log(1 + e^z), f'(z) = 1 / (1 + e^-z); beyond 20, as in torch, the line that it approaches."""

    def f(self, z: Array) -> Array:
        return self.xp.where(z > 20, z, self.xp.log1p(self.xp.exp(self.xp.clip(z, None, 20))))

    def slope(self, z: Array, a: Array) -> Array:
        return self.xp.where(z > 20, 1.0, sigmoid(self.xp, z))


class ReLU(Activation):
    """f(z) = z where z > 0, else 0; f' is 1 there, else 0 (at 0 it has none, and 0 is taken)."""

    def f(self, z: Array) -> Array:
        return self.xp.clip(z, 0, None)

    def slope(self, z: Array, a: Array) -> Array:
        return z > 0  # true is 1, false is 0


class LeakyReLU(Activation):
    """f(z) = z where z > 0, else z / 100; f' is 1 there, else 1/100 (Maas, Hannun, Ng, 2013)."""

    def f(self, z: Array) -> Array:
        return self.xp.where(z > 0, z, 0.01 * z)

    def slope(self, z: Array, a: Array) -> Array:
        return self.xp.where(z > 0, self.xp.ones_like(z), 0.01)


class SELU(Activation):
    """f(z) = s · z where z > 0, else s · α · (e^z - 1); f' is s there, else s · α · e^z (Klambauer et al., 2017)."""

    ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805

    def f(self, z: Array) -> Array:
        below = self.ALPHA * self.xp.expm1(self.xp.clip(z, None, 0))
        return self.SCALE * self.xp.where(z > 0, z, below)

    def slope(self, z: Array, a: Array) -> Array:
        below = self.ALPHA * self.xp.exp(self.xp.clip(z, None, 0))
        return self.SCALE * self.xp.where(z > 0, 1.0, below)


class GELU(Activation):
    """f(z) = z · Φ(z), f'(z) = Φ(z) + z · φ(z): the normal distribution and its density (Hendrycks, Gimpel, 2016)."""

    def f(self, z: Array) -> Array:
        return z * self.distribution(z)

    def slope(self, z: Array, a: Array) -> Array:
        density = self.xp.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
        return self.distribution(z) + z * density

    def distribution(self, z: Array) -> Array:
        """Φ(z) = (1 + erf(z / √2)) / 2."""
        return (1 + erf(self.xp, z / math.sqrt(2))) / 2


class Softmax(Layer):
    """a_i = e^z_i / Σ_j e^z_j: every output of a row depends on every input of it."""

    def forward(self, z: Array) -> Array:
        """[B, K] -> [B, K], rows that sum to 1."""
        e = self.xp.exp(z - self.xp.amax(z, axis=1, keepdims=True))  # the largest becomes 1, so none overflows
        self.a = e / e.sum(1)[:, None]  # [B, K] / [B, 1]
        return self.a

    def backward(self, d_a: Array) -> Array:
        """[B, K] -> [B, K].

        ∂a_i/∂z_j = a_i · ((1 if i = j else 0) - a_j), and the chain rule sums over the outputs i:
        ∂L/∂z_j = Σ_i ∂L/∂a_i · ∂a_i/∂z_j = a_j · (∂L/∂a_j - Σ_i ∂L/∂a_i · a_i).
        """
        return self.a * (d_a - (d_a * self.a).sum(1)[:, None])


def sigmoid(xp: ModuleType, z: Array) -> Array:
    """1 / (1 + e^-z), with an exponent that is never positive, so that nothing overflows."""
    e = xp.exp(-abs(z))
    return xp.where(z >= 0, 1.0, e) / (1 + e)


BY_KIND: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Identity, Sigmoid, Tanh, Softplus, ReLU, LeakyReLU, SELU, GELU, Softmax)
}
"""By the names of torch's own classes."""
