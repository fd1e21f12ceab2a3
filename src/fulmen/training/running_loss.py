"""The training losses of an interval: checked to be finite, kept as they are and added up once, at its end.

Floating-point sums depend on their order. Were each pack's losses added up by themselves, the history would depend on
how long packs happen to be, and that of a resumed run on where it stopped.
"""

from typing import Any

import torch
from torch import Tensor

from fulmen.errors import Diverged

ROOM = 1024
"""For the losses of so many steps at first."""


def finite(losses: Tensor, first: int) -> Tensor:
    """Returns the losses of a pack, [steps], unchanged; the first of them is that of step `first` + 1.

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


class RunningLoss:
    """Losses of the steps since the last row of the history.

    They are written into one tensor: many small ones, each made between the large ones of two packs, would keep the
    memory of those from being used again.
    """

    def __init__(self) -> None:
        self.written: Tensor | None = None
        self.rows: list[int] = []

    @property
    def losses(self) -> Tensor | None:
        """[steps], or None if there was no step."""
        return None if self.written is None or not self.rows else self.written[: len(self.rows)]

    def add(self, losses: Tensor, rows: list[int]) -> None:
        """Adds a pack's losses, [steps], each over so many rows."""
        start, end = len(self.rows), len(self.rows) + len(rows)
        if self.written is None or self.written.dtype != losses.dtype:
            self.written = losses.new_empty(ROOM)
        if end > len(self.written):
            self.written = torch.cat([self.written, self.written.new_empty(2 * end - len(self.written))])
        self.written[start:end] = losses
        self.rows += rows

    def end(self, rows_per_pass: int | None) -> float:
        """Returns the mean over rows, or, of losses that are sums, the sum over a pass of so many; and starts anew."""
        assert self.losses is not None
        losses, rows = self.losses.cpu().double(), torch.tensor(self.rows, dtype=torch.float64)
        total = losses @ rows if rows_per_pass is None else losses.sum() * rows_per_pass
        self.rows = []
        return (total / rows.sum()).item()

    def plain(self) -> dict[str, Any]:
        """Returns a copy on the CPU, for a checkpoint."""
        losses = self.losses
        return {"losses": None if losses is None else losses.clone().cpu(), "rows": torch.tensor(self.rows)}

    def restore(self, plain: dict[str, Any], device: torch.device) -> None:
        """Takes back what `plain` gave."""
        self.written = None if plain["losses"] is None else plain["losses"].to(device)
        self.rows = plain["rows"].tolist()
