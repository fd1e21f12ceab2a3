"""A metric: predictions and targets of all rows of a split in, one number out.

The ending of its name says whether it is maximized (_score) or minimized (_error, _loss, _deviance).
"""

from torch import Tensor


def within_score(prediction: Tensor, target: Tensor, *, reach: float = 0.1) -> Tensor:
    """Returns the share of predictions that miss by less than `reach`, in the targets' units."""
    return ((prediction - target).abs() < reach).double().mean()
