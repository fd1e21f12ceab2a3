"""An optimizer whose first step is its process's last, so that a process lasts from its start to its first step."""

import os
from collections.abc import Callable
from typing import Any

from torch.optim import Adam


class FirstStep(Adam):
    """Adam for one step."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Takes it, and leaves."""
        super().step(closure)
        os._exit(0)
