"""Pictures: arrays in, a matplotlib Figure out; no window, no file, and nothing global, which pyplot would keep."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import ColorType
from numpy.typing import NDArray

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Told apart by colour-blind eyes, too: Okabe and Ito, Color Universal Design (2008), without the yellow."""
WIDEST: Final = 100.0
"""Ratio of the largest loss to the smallest one up to which a linear scale shows both."""
ROWS: Final = 24
"""Of a legend, before it takes a further column."""


class Curve(NamedTuple):
    """The losses of a run. Shapes: N rows of its history."""

    name: str
    steps: NDArray[np.float64]
    """[N]."""
    train: NDArray[np.float64]
    """[N]; not a number where it is undefined."""
    val: NDArray[np.float64] | None
    """[N], or None where the data has no rows for validation."""


def curves(runs: Sequence[Curve]) -> Figure:
    """The losses of runs over their steps: a colour for each run, train dashed, validation solid.

    The scale is logarithmic where the losses span more than two decades.
    """
    figure = Figure(figsize=(10, 5.5), dpi=150, layout="constrained")
    axes = figure.add_subplot(xlabel="step", ylabel="loss")
    colours = list(_colours(len(runs)))
    for run, colour in zip(runs, colours, strict=True):
        dots = "." if len(run.steps) == 1 else ""  # of which no line could be drawn
        axes.plot(run.steps, run.train, color=colour, linestyle="--", marker=dots, linewidth=1)
        if run.val is not None:
            axes.plot(run.steps, run.val, color=colour, linestyle="-", marker=dots, linewidth=1.5)
    axes.set_yscale("log" if _is_wide(runs) else "linear")
    axes.grid(alpha=0.3)
    handles = [*_styles(), *(_handle(run.name, colour) for run, colour in zip(runs, colours, strict=True))]
    figure.legend(handles=handles, loc="outside right upper", ncols=1 + len(handles) // ROWS, frameon=False)
    return figure


def _colours(count: int) -> Iterator[ColorType]:
    """The named ones, or of more runs a scale from dark to light."""
    if count <= len(COLOURS):
        yield from COLOURS[:count]
    else:
        yield from colormaps["cividis"](np.linspace(0, 0.95, count))


def _is_wide(runs: Sequence[Curve]) -> bool:
    losses = np.concatenate([split for run in runs for split in (run.train, run.val) if split is not None])
    losses = losses[np.isfinite(losses)]
    positive = losses[losses > 0]
    return bool(positive.size and losses.min() >= 0 and positive.max() > WIDEST * positive.min())


def _styles() -> Iterator[Line2D]:
    yield Line2D([], [], color="grey", linestyle="--", label="train")
    yield Line2D([], [], color="grey", linestyle="-", label="validation")


def _handle(name: str, colour: ColorType) -> Line2D:
    """An entry of the legend; a dollar sign in it is only that, and opens no formula."""
    return Line2D([], [], color=colour, linewidth=3, label=name.replace("$", r"\$"))
