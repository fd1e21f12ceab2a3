"""How a search went: its scores in the order of the trials, what mattered, and the front between two objectives."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fulmen.figures.plots.style import COLOURS, plain, sheet, short, spans_decades


def history(numbers: Sequence[int], values: Sequence[float], score: str, mode: Literal["min", "max"]) -> Figure:
    """The score of every trial, and the best so far. Shapes: T trials.

    Args:
        numbers: [T], in order.
        values: [T].
        score: its name.
        mode: whether small or large values are better.
    """
    figure = sheet()
    axes = figure.add_subplot(xlabel="trial", ylabel=plain(score))
    best = (np.minimum if mode == "min" else np.maximum).accumulate(np.array(values, dtype=float))
    axes.plot(numbers, values, "o", color=COLOURS[0], label="trial")
    axes.step(numbers, best, where="post", color=COLOURS[1], label="best so far")
    axes.set_yscale("log" if spans_decades(np.array(values, dtype=float)) else "linear")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def importance(names: Sequence[str], shares: Sequence[float], score: str) -> Figure:
    """The share of the score's differences that each key explains. Shapes: K keys.

    Args:
        names: [K], the most important first.
        shares: [K], which add up to 1.
        score: its name.
    """
    figure = sheet(figsize=(6.4, max(2.4, 1.2 + 0.5 * len(names))))
    axes = figure.add_subplot(xlabel=f"share of the differences in {plain(score)}", xlim=(0, 1.12))
    bars = axes.barh(range(len(names)), shares, color=COLOURS[0])
    axes.bar_label(bars, [f"{share:.2f}" for share in shares], padding=4)
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.invert_yaxis()
    return figure


def front(values: Sequence[Sequence[float]], best: Sequence[bool], names: Sequence[str]) -> Figure:
    """Trials by two objectives, and those of them that none is better than in both. Shapes: T trials.

    Args:
        values: [T, 2].
        best: [T], which belong to the front.
        names: [2], of the objectives.
    """
    points, chosen = np.array(values, dtype=float), np.array(best, dtype=bool)
    figure = sheet()
    axes = figure.add_subplot(xlabel=plain(names[0]), ylabel=plain(names[1]))
    along = points[chosen][np.argsort(points[chosen][:, 0])]
    axes.plot(*points[~chosen].T, "o", color=COLOURS[0], alpha=0.5, label="trial")
    axes.plot(*along.T, "o-", color=COLOURS[1], label="no other is better in both")
    axes.set_xscale("log" if spans_decades(points[:, 0]) else "linear")
    axes.set_yscale("log" if spans_decades(points[:, 1]) else "linear")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
