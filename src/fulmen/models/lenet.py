"""LeNet-5, with max pooling and a free choice of activation, for images of any size from 12 pixels a side.

Source: LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition, Proc. IEEE 1998.
"""

from torch import Tensor, nn

from fulmen.models.dropout import Dropout
from fulmen.models.mlp import activation_layer

SMALLEST = 12
"""Pixels a side; of fewer, nothing is left after two convolutions and two poolings."""


class LeNet(nn.Module):
    """Two convolutions with pooling, then three linear layers.

    Shapes: B images of C channels, H by W pixels. [B, C, H, W] -> [B, out_features].

    Raises:
        ValueError: `in_shape` is not that of images, or they are smaller than 12 by 12.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_features: int,
        *,
        activation: str = "relu",
        bias: bool = True,
        dropout: float = 0.0,
        output_activation: str = "identity",
    ) -> None:
        super().__init__()
        if len(in_shape) != 3 or min(in_shape[1:]) < SMALLEST:
            raise ValueError(
                f"model=lenet needs images (channels, height, width) of at least {SMALLEST} by {SMALLEST}, but these "
                f"rows have the shape {in_shape}; use model=linear, shallow, deep or mlp, or data=mnist_5k"
            )
        self.output_activation = output_activation
        channels, height, width = in_shape
        flat = 16 * ((height // 2 - 4) // 2) * ((width // 2 - 4) // 2)

        def then(layer: nn.Module) -> list[nn.Module]:
            return [layer, activation_layer(activation)]

        self.layers = nn.Sequential(
            *then(nn.Conv2d(channels, 6, 5, padding=2, bias=bias)),  # [B, 6, H, W]
            nn.MaxPool2d(2),  # [B, 6, H/2, W/2]
            *then(nn.Conv2d(6, 16, 5, bias=bias)),  # [B, 16, H/2 - 4, W/2 - 4]
            nn.MaxPool2d(2),
            nn.Flatten(),
            *then(nn.Linear(flat, 120, bias)),
            *([Dropout(dropout)] if dropout > 0 else []),
            *then(nn.Linear(120, 84, bias)),
            *([Dropout(dropout)] if dropout > 0 else []),
            nn.Linear(84, out_features, bias),
            *([] if output_activation == "identity" else [activation_layer(output_activation)]),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out
