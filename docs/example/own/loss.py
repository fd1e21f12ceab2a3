"""A loss: raw scores, targets and the task in, one number out."""

from torch import Tensor

from fulmen.tasks.task import Task


def log_cosh(out: Tensor, y: Tensor, task: Task, *, scale: float) -> Tensor:
    """Returns the mean of log cosh of the errors: squares of small ones, absolute values of large ones."""
    prediction, target = task.comparable(out, y)
    return ((prediction - target) / scale).cosh().log().mean()
