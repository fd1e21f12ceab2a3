"""The training losses of an interval, kept as they are and added up once, at its end.

Floating-point sums depend on their order. Were each pack's losses added up by themselves, the history would depend on
how long packs happen to be, and that of a resumed run on where it stopped.
"""

from typing import Any

import torch
from torch import Tensor


class Interval:
    """Losses of the steps since the last row of the history."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.rows: list[int] = []

    def add(self, losses: Tensor, rows: list[int]) -> None:
        """A pack's losses, [steps], each over so many rows."""
        self.losses.append(losses)
        self.rows += rows

    def end(self, rows_per_pass: int | None) -> float:
        """The mean over rows; where losses are sums over their rows, their sum over one pass. Begins anew.

        Args:
            rows_per_pass: given where losses are sums.
        """
        losses, rows = torch.cat(self.losses).cpu().double(), torch.tensor(self.rows, dtype=torch.float64)
        total = losses @ rows if rows_per_pass is None else losses.sum() * rows_per_pass
        self.losses, self.rows = [], []
        return (total / rows.sum()).item()

    def plain(self) -> dict[str, Any]:
        """For a checkpoint, on the CPU."""
        return {"losses": torch.cat(self.losses).cpu() if self.losses else None, "rows": torch.tensor(self.rows)}

    def restore(self, plain: dict[str, Any], device: torch.device) -> None:
        """Takes back what `plain` gave."""
        self.losses = [] if plain["losses"] is None else [plain["losses"].to(device)]
        self.rows = plain["rows"].tolist()
