"""An initializer: fills a network's parameters in place."""

import torch
from torch import nn


@torch.no_grad()
def sparse(net: nn.Module, *, share: float) -> None:
    """Sets a share of the weights of each linear layer to zero, and keeps the others as they are."""
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            layer.weight *= torch.rand_like(layer.weight) >= share
