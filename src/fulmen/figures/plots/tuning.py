"""Tests before a run: the score of many learning rates, and the time that batches of many sizes take."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Values, plain, sheet, spans_decades


def learning_rates(
    rates: Sequence[float],
    curves: Sequence[tuple[str, Sequence[Sequence[float]]]],
    best: float,
    score: str,
) -> Figure:
    """Plots scores over learning rates, with a band from the best seed to the worst. Shapes: R rates, S seeds.

    Args:
        rates: [R], ascending.
        curves: for each stage of the test its name and the scores then, [R, S]; NaN or infinite where a rate was
            dropped before, or diverged.
        best: the rate that is recommended.
        score: the name of the score.
    """
    figure = sheet()
    axes = figure.add_subplot(xlabel="learning rate", ylabel=plain(score), xscale="log")
    shown = [np.empty(0)]
    for (name, scores), colour in zip(curves, COLOURS, strict=False):
        table = np.array(scores, dtype=float)
        table[~np.isfinite(table).all(1)] = np.nan
        there = ~np.isnan(table[:, 0])
        at, table = np.array(rates)[there], table[there]
        axes.fill_between(at, table.min(1), table.max(1), color=colour, alpha=0.2, linewidth=0)
        axes.plot(at, table.mean(1), "o-", color=colour, markersize=4, label=name)
        shown.append(table.flatten())
    axes.axvline(best, color="0.3", linestyle="--", linewidth=1, label=f"recommended: {best:g}")
    axes.set_xlim(min(rates), max(rates))
    axes.set_yscale("log" if spans_decades(np.concatenate(shown)) else "linear")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def batch_sizes(sizes: Sequence[int], seconds: Values, medians: Values, best: int) -> Figure:
    """Plots the time that a row takes over the size of its batch. Shapes: N sizes, K measurements of each.

    Args:
        sizes: [N].
        seconds: of a row, [N, K].
        medians: of them, [N].
        best: the size that is recommended.
    """
    figure = sheet()
    axes = figure.add_subplot(xlabel="rows in a batch", ylabel="microseconds per row", xscale="log", yscale="log")
    axes.fill_between(sizes, 1e6 * seconds.min(1), 1e6 * seconds.max(1), color=COLOURS[0], alpha=0.2, linewidth=0)
    axes.plot(sizes, 1e6 * medians, "o-", color=COLOURS[0], markersize=4)
    axes.axvline(best, color="0.3", linestyle="--", linewidth=1, label=f"recommended: {best}")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
