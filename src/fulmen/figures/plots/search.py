"""The course of a search: scores by trial, importance of each key, and the Pareto front of two objectives."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fulmen.figures.plots.style import COLOURS, DECADE, plain, sheet, short, spans_decades


def history(numbers: Sequence[int], values: Sequence[float], score: str, mode: Literal["min", "max"]) -> Figure:
    """Plots the score of each trial and the best so far. Shapes: T trials.

    Args:
        numbers: [T], trial numbers, ascending.
        values: [T], scores.
        score: name of the score.
        mode: whether lower or higher is better.
    """
    figure = sheet()
    axes = figure.add_subplot(xlabel="trial", ylabel=plain(score))
    best = (np.minimum if mode == "min" else np.maximum).accumulate(np.array(values, dtype=float))
    axes.plot(numbers, values, "o", color=COLOURS[0], label="trial")
    axes.step(numbers, best, where="post", color=COLOURS[1], label="best so far")
    axes.set_yscale("log" if spans_decades(np.array(values, dtype=float), DECADE) else "linear")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def importance(names: Sequence[str], shares: Sequence[float], score: str, runs: int) -> Figure:
    """Plots the fraction of the variance of the score that each key explains. Shapes: K keys.

    Args:
        names: [K], most important first.
        shares: [K], sum to 1.
        score: name of the score.
        runs: completed runs that the shares were computed from.
    """
    figure = sheet(figsize=(6.4, max(2.4, 1.2 + 0.5 * len(names))))
    axes = figure.add_subplot(xlabel=f"fraction of the variance of {plain(score)}", xlim=(0, 1.12))
    axes.set_title(f"fANOVA of the {plain(score)} of {runs} completed runs", fontsize=9)
    bars = axes.barh(range(len(names)), shares, color=COLOURS[0])
    axes.bar_label(bars, [f"{share:.2f}" for share in shares], padding=4)
    axes.set_yticks(range(len(names)), [short(name) for name in names])
    axes.invert_yaxis()
    return figure


def front(values: Sequence[Sequence[float]], best: Sequence[bool], names: Sequence[str]) -> Figure:
    """Plots trials by two objectives, with the Pareto front. Shapes: T trials.

    Args:
        values: [T, 2].
        best: [T], whether a trial is on the front.
        names: [2], names of the objectives.
    """
    points, chosen = np.array(values, dtype=float), np.array(best, dtype=bool)
    figure = sheet()
    axes = figure.add_subplot(xlabel=plain(names[0]), ylabel=plain(names[1]))
    along = points[chosen][np.argsort(points[chosen][:, 0])]
    axes.plot(*points[~chosen].T, "o", color=COLOURS[0], alpha=0.5, label="trial")
    axes.plot(*along.T, "o-", color=COLOURS[1], label="Pareto front")
    axes.set_xscale("log" if spans_decades(points[:, 0], DECADE) else "linear")
    axes.set_yscale("log" if spans_decades(points[:, 1], DECADE) else "linear")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
