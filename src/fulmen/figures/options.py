"""Which figures a run is asked for. Nothing here imports matplotlib, so that a run without figures pays nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch.loggers.logger import Logger

    from fulmen.figures.subject import RunContext
    from fulmen.training.callbacks.weight_snapshots import WeightSnapshots


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """The keys of `conf/figures/*.yaml`, which says what each means. What does not fit the run is not drawn."""

    fit: bool = False
    nodes: bool = False
    regions: bool = False
    confusion: bool = False
    weights: bool = False
    mistakes: bool = False
    curves: bool = False
    activations: bool = False
    pairs: bool = False
    animation: bool = False
    histograms: bool = False

    def draw(
        self, subject: "RunContext", film: "WeightSnapshots | None", folder: Path, boards: Iterable["Logger"], step: int
    ) -> None:
        """Draws those that a run has at its end, as `fulmen.figures.draw` does."""
        if replace(self, histograms=False) != FigureOptions():
            from fulmen.figures.draw import draw  # and with it matplotlib

            draw(self, subject, film, folder, boards, step)
