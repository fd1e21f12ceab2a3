"""Activation functions by name.

This file does not import torch, so that a configuration is checked before the seconds that torch takes to import.
"""

from typing import Final

ACTIVATIONS: Final = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "softplus": "Softplus",
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "selu": "SELU",
    "gelu": "GELU",
    "identity": "Identity",
}
"""Activation functions between layers, each with its class in `torch.nn`."""

OUTPUT_ACTIVATIONS: Final = {**ACTIVATIONS, "softmax": "Softmax"}
"""Values of `model.output_activation`."""

PROBABILITIES: Final = ("sigmoid", "softmax")
"""Output activations under which a model gives class probabilities instead of logits."""
