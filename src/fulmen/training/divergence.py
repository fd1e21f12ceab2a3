"""Detection of divergence: by the losses, and with `trainer.debug` by the gradients."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from fulmen.errors import Diverged


@contextmanager
def anomalies(step: Callable[[], int]) -> Iterator[None]:
    """Turns torch's anomaly-detection error into `Diverged`, naming the operation and the step.

    Raises:
        Diverged: a gradient is not a number; names the operation and the step.
    """
    try:
        yield
    except RuntimeError as error:
        found = re.search(r"Function '(\w+)' returned nan values", str(error))
        if found is None:
            raise
        raise Diverged(f"the gradient of {found[1]} became nan at step {step()}") from error


def finite(losses: Tensor, first: int) -> Tensor:
    """Returns the losses of a pack unchanged; the first of them is that of step `first` + 1.

    Raises:
        Diverged: one is not finite; names its step.
    """
    finite = losses.isfinite()
    if not finite.all():
        step, loss = first + int(torch.argmin(finite.int())) + 1, losses[~finite][0].item()
        if step == 1:  # of the first weights: no rate has had a part in it
            raise Diverged(f"the loss is {loss} at step 1, before any update", "check the data, init= and loss=")
        raise Diverged(f"the loss became {loss} at step {step}")
    return losses
