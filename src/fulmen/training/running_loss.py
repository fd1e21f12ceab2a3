"""The training losses of an interval, kept as they are and added up once, at its end.

Floating-point sums depend on their order. Were each pack's losses added up by themselves, the history would depend on
how long packs happen to be, and that of a resumed run on where it stopped.
"""

from typing import Any

import torch
from torch import Tensor

ROOM = 1024
"""For the losses of so many steps at first."""


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
        """Returns the mean over rows, or, where losses are sums over rows, their sum over one pass; then reset.

        Args:
            rows_per_pass: given where losses are sums.
        """
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
