"""Loss curves of one run, or of several in one plot."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from fulmen.figures.plots.style import COLOURS, colours, plain, sheet, spans_decades

ROWS: Final = 24
"""Entries per column of a legend."""


class Curve(NamedTuple):
    """Losses of a run. Shapes: N rows of its history."""

    name: str
    steps: NDArray[np.float64]
    """[N]."""
    train: NDArray[np.float64]
    """[N]; NaN where undefined."""
    val: NDArray[np.float64] | None
    """[N], or None without a validation split."""

    @property
    def losses(self) -> NDArray[np.float64]:
        """Trains and validation losses together, [N] or [2 N]."""
        return self.train if self.val is None else np.concatenate([self.train, self.val])


def curves(runs: Sequence[Curve]) -> Figure:
    """Plots the losses of several runs over their steps: one colour per run, train dashed, validation solid.

    The scale is logarithmic if the losses span more than two decades.
    """
    figure = sheet(figsize=(10, 5.5), dpi=150)
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    chosen = list(colours(len(runs)))
    for run, colour in zip(runs, chosen, strict=True):
        dots = "." if len(run.steps) == 1 else ""  # a single point draws no line
        axes.plot(run.steps, run.train, color=colour, linestyle="--", marker=dots, linewidth=1)
        if run.val is not None:
            axes.plot(run.steps, run.val, color=colour, linestyle="-", marker=dots, linewidth=1.5)
    axes.set_yscale("log" if spans_decades(np.concatenate([run.losses for run in runs])) else "linear")
    axes.grid(alpha=0.3)
    handles = [
        Line2D([], [], color="grey", linestyle="--", label="train"),
        Line2D([], [], color="grey", linestyle="-", label="validation"),
    ]
    for run, colour in zip(runs, chosen, strict=True):
        handles.append(Line2D([], [], color=colour, linewidth=3, label=plain(run.name)))
    figure.legend(handles=handles, loc="outside right upper", ncols=1 + len(handles) // ROWS, frameon=False)
    return figure


def training(run: Curve) -> Figure:
    """Plots train and validation loss of one run; logarithmic if they span more than two decades."""
    figure = sheet()
    scale = "log" if spans_decades(run.losses) else "linear"
    axes = figure.add_subplot(title="Loss during training", xlabel="step", ylabel="loss", yscale=scale)
    dots = "." if len(run.steps) == 1 else ""  # a single point draws no line
    axes.plot(run.steps, run.train, color=COLOURS[0], linestyle="--", marker=dots, label="train")
    if run.val is not None:
        axes.plot(run.steps, run.val, color=COLOURS[1], marker=dots, label="validation")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
