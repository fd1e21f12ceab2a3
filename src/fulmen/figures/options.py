"""Which figures a run should draw. This file does not import matplotlib, so a run without figures does not either."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning.pytorch.loggers.logger import Logger
    from matplotlib.figure import Figure

    from fulmen.figures.context import RunContext


@dataclass(frozen=True, kw_only=True)
class FigureOptions:
    """The keys of `conf/figures/*.yaml`, documented there. Figures that do not apply to the run are skipped."""

    fit: bool = False
    predictions: bool = False
    nodes: bool = False
    regions: bool = False
    confusion: bool = False
    weights: bool = False
    mistakes: bool = False
    curves: bool = False
    activations: bool = False
    pairs: bool = False
    inside: bool = False
    landscape: bool = False
    calibration: bool = False
    importance: bool = False
    animation: bool = False
    histograms: bool = False
    own: Sequence[Callable[["RunContext"], "Figure | None"]] = ()

    def draw(self, context: "RunContext", folder: Path, boards: Iterable["Logger"], step: int) -> list[str]:
        """Draws the requested figures of a finished run; see `fulmen.figures.draw`."""
        if replace(self, histograms=False, own=tuple(self.own)) == FigureOptions():
            return []
        from fulmen.figures.draw import draw  # imports matplotlib

        return draw(self, context, folder, boards, step)
