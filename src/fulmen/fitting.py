"""Whether a network fits the data, found out with one row of zeros before anything is written."""

import torch
from torch import Tensor, nn

from fulmen.data.source import Joint


def check(net: nn.Module, joint: Joint) -> None:
    """Sends a row through the network in evaluation mode; leaves it as it was.

    Raises:
        ValueError: it has nothing to train, cannot take a row of this data, or returns something else than
            [1, out_features].
    """
    name = type(net).__name__
    if not isinstance(net, nn.Module):
        raise ValueError(f"the model is a {name}, and must be a torch.nn.Module")
    if not any(parameter.requires_grad for parameter in net.parameters()):
        raise ValueError(f"{name} has no parameters, so there is nothing to train; give it a layer that has some")
    out, wanted = _out(net, joint.in_shape), (1, joint.out_features)
    found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
    if found != wanted:
        raise ValueError(
            f"{name} returns {found} for one row, and this data wants {wanted}: [rows, out_features]; "
            "make its last layer out_features wide"
        )


def _out(net: nn.Module, in_shape: tuple[int, ...]) -> object:
    was_training = net.training
    try:
        with torch.no_grad():
            return net.eval()(torch.zeros(1, *in_shape, dtype=next(net.parameters()).dtype))
    except (RuntimeError, TypeError, IndexError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ValueError(f"{type(net).__name__} cannot take a row of the shape {in_shape}: {said}") from error
    finally:
        net.train(was_training)
