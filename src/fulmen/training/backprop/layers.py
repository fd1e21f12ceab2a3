"""Activation functions, each beside its derivative.

All but the softmax work number by number. Then ∂a/∂z is one number for each z, the slope f'(z), and the chain rule is a
plain product: ∂L/∂z = ∂L/∂a · f'(z). Their constants are those of `torch.nn`.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = Any
"""An `np.ndarray` or a `Tensor`: no type says what the two have in common."""


def array(xp: ModuleType, tensor: Tensor) -> Array:
    """The numbers of `tensor` for the library `xp`; NumPy wants them on the CPU."""
    return tensor.detach() if xp is torch else tensor.detach().cpu().numpy()


def tensor(values: Array, like: Tensor) -> Tensor:
    """Numbers of either library as a tensor, of the type and on the device of `like`."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)


def erf(xp: ModuleType, z: Array) -> Array:
    """The error function, 2/√π · ∫ e^(-t²) dt from 0 to z, number by number; NumPy has none, Python has one."""
    return torch.erf(z) if xp is torch else np.vectorize(math.erf, otypes=[z.dtype])(z)


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
