"""The multilayer perceptron, with any number of hidden layers; with none it is linear or softmax regression.

`model=linear`, `perceptron`, `shallow`, `feedforward`, `two_layer`, `deep` and `mlp` are settings of this one class.
"""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from fulmen.models.activations import OUTPUT_ACTIVATIONS
from fulmen.models.dropout import Dropout
from fulmen.rules import alternatives


class MLP(nn.Module):
    """Linear layers with an activation after each but the last.

    Shapes: B rows. [B, *in_shape] -> [B, out_features]; `in_shape` of any length is flattened, so images fit, too.

    Args:
        in_shape: shape of one row.
        out_features: numbers returned for a row.
        hidden: widths of the hidden layers, none for a linear model.
        activation: name of the function after each hidden layer, one of `ACTIVATIONS`.
        bias: whether each layer adds a bias.
        dropout: fraction of each hidden layer's outputs set to zero in training, in [0, 1).
        output_activation: name of the function after the last layer, `identity` for raw scores.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        *,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        bias: bool = True,
        dropout: float = 0.0,
        output_activation: str = "identity",
    ) -> None:
        super().__init__()
        self.output_activation = output_activation
        widths = [math.prod(in_shape), *hidden]
        layers: list[nn.Module] = [nn.Flatten()] if len(in_shape) > 1 else []
        for width, next_width in itertools.pairwise(widths):
            layers += [nn.Linear(width, next_width, bias), activation_layer(activation)]
            layers += [Dropout(dropout)] if dropout > 0 else []
        layers.append(nn.Linear(widths[-1], out_features, bias))
        if output_activation != "identity":
            layers.append(activation_layer(output_activation))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def activation_layer(name: str) -> nn.Module:
    """Makes the activation called `name` as a layer.

    Raises:
        ValueError: there is no activation of that name.
    """
    if name not in OUTPUT_ACTIVATIONS:
        raise ValueError(f"there is no activation {name!r}{alternatives(name, OUTPUT_ACTIVATIONS)}")
    layer: nn.Module = nn.Softmax(dim=1) if name == "softmax" else getattr(nn, OUTPUT_ACTIVATIONS[name])()
    return layer
