"""The chain as a whole: forward through every layer to the loss, and backward from the loss to every parameter."""

from collections.abc import Iterator, Sequence
from types import ModuleType

from torch import nn

from fulmen.models.dropout import Dropout
from fulmen.models.mlp import MLP
from fulmen.training.backprop.layers import BY_KIND, Array, Flatten, Layer, Linear, array
from fulmen.training.backprop.losses import Loss


class Network:
    """Layers and a loss.

    Args:
        layers: in the order of the forward pass.
        loss: of what the last of them gives.
    """

    def __init__(self, layers: Sequence[Layer], loss: Loss) -> None:
        self.layers, self.loss = layers, loss

    def forward(self, x: Array) -> Array:
        """[B, *in_shape] -> [B, T], each layer's output being the next one's input."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, share: float) -> None:
        """Goes back from the loss, after `forward` and `loss.forward`; each layer adds to its gradients.

        The chain rule, a factor for each layer, multiplied from the left (the loss) to the right (the input):
        ∂L/∂x = ∂L/∂p · ∂p/∂z₂ · ∂z₂/∂a₁ · ∂a₁/∂z₁ · ∂z₁/∂x.

        Args:
            share: of these rows' loss in the whole batch's: ∂(whole)/∂L.
        """
        d_out = share * self.loss.backward()  # [B, T]
        for layer in reversed(self.layers):
            d_out = layer.backward(d_out)

    def gradients(self) -> list[Array]:
        """∂L/∂parameter, in the order of torch's parameters."""
        return [gradient for layer in self.layers for gradient in layer.gradients()]


def layers(xp: ModuleType, net: nn.Module) -> Iterator[Layer]:
    """The layers of a multilayer perceptron, with the parameters that it has now.

    Raises:
        ValueError: it is none, or has dropout.
    """
    if type(net) is not MLP:
        raise ValueError(
            f"{type(net).__name__} is no multilayer perceptron, and back-propagation by hand has formulas for those "
            "alone; take backprop=autograd, or model=mlp"
        )
    for module in net.layers:
        if isinstance(module, Dropout):
            raise ValueError("back-propagation by hand has no dropout; take model.dropout=0, or backprop=autograd")
        if isinstance(module, nn.Linear):
            bias = None if module.bias is None else array(xp, module.bias)
            yield Linear(xp, array(xp, module.weight), bias)
        else:
            yield Flatten(xp) if isinstance(module, nn.Flatten) else BY_KIND[type(module).__name__](xp)
