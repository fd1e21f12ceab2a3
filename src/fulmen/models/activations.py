"""Activation functions by name.

Nothing here imports torch, so that a configuration can be checked before that takes its seconds.
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
"""Activation functions between layers, and the class of `torch.nn` behind each."""


OUTPUT_ACTIVATIONS: Final = {**ACTIVATIONS, "softmax": "Softmax"}
"""What `model.output_activation` may name."""


PROBABILITIES: Final = ("sigmoid", "softmax")
"""Output activations under which a model gives class probabilities instead of logits."""
