"""Curves of many runs: for each configuration its mean over seeds, and a band that holds most of them."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from fulmen.figures.plots.ranking import furthest
from fulmen.figures.plots.style import COLOURS, plain, sheet, spans_decades
from fulmen.tasks.names import mode

BAND: Final = (10, 90)
"""Percentiles over seeds between which the band lies."""
LINE: Final = 44
"""Letters of a line of the legend."""


class Band(NamedTuple):
    """A metric of the runs of a configuration. Shapes: I intervals."""

    name: str
    """The configuration's."""
    seeds: int
    steps: NDArray[np.float64]
    """[I]."""
    mean: NDArray[np.float64]
    """[I]."""
    low: NDArray[np.float64]
    """[I], the 10th percentile."""
    high: NDArray[np.float64]
    """[I], the 90th percentile."""


def band(name: str, steps: Sequence[NDArray[np.float64]], values: Sequence[NDArray[np.float64]]) -> Band:
    """Returns mean and percentiles over runs, at the steps where at least half of them were measured.

    Args:
        name: of the configuration.
        steps: of each run, ascending.
        values: of each run at its steps; NaN where undefined.
    """
    every = np.unique(np.concatenate([*steps, []]))
    table = np.full((len(steps), len(every)), np.nan)
    for row, at, measured in zip(table, steps, values, strict=True):
        row[np.searchsorted(every, at)] = measured
    enough = 2 * np.isfinite(table).sum(0) >= max(1, len(steps))
    table = table[:, enough]
    low, high = np.nanpercentile(table, BAND, axis=0) if table.size else (np.empty(0), np.empty(0))
    return Band(name, len(steps), every[enough], np.nanmean(table, 0) if table.size else np.empty(0), low, high)


def bands(metrics: Mapping[str, Sequence[Band]]) -> Figure:
    """Plots metrics side by side; the first configurations in colours, all others in grey.

    Args:
        metrics: for each metric a band of each configuration, the best mean first.
    """
    names = list(dict.fromkeys(each.name for found in metrics.values() for each in found))
    figure = sheet(figsize=(1 + 4.2 * len(metrics) + 3 * (len(names) > 1), 4.4), dpi=150)
    colour = {name: COLOURS[place] if place < len(COLOURS) else "0.75" for place, name in enumerate(names)}
    for place, (metric, found) in enumerate(metrics.items(), start=1):
        _draw(figure.add_subplot(1, len(metrics), place, xlabel="step", ylabel=plain(metric)), metric, found, colour)
    counts = sorted({each.seeds for found in metrics.values() for each in found}) or [1]
    seeds = f"{counts[-1]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    title = f"mean over {seeds} seeds; the band holds 80% of them (10th to 90th percentile)" if counts[-1] > 1 else None
    handles, shared = [], _shared(names[: len(COLOURS)])
    for name in names[: len(COLOURS)]:
        label = " ".join(word for word in name.split(" ") if word not in shared)
        handles.append(Line2D([], [], color=colour[name], linewidth=3, label=_wrapped(label)))
    if (rest := len(names) - len(COLOURS)) > 0:
        handles.append(Line2D([], [], color="0.75", linewidth=3, label="1 other" if rest == 1 else f"{rest} others"))
    if len(names) > 1:
        legend = figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
        if shared:
            coloured = "all" if rest <= 0 else "all in colour"
            legend.set_title(_wrapped(f"{coloured}: {' '.join(shared)}"), prop=FontProperties(size=8))
    if title is not None:
        figure.suptitle(title, fontsize=10)
    return figure


def _shared(names: Sequence[str]) -> list[str]:
    """Returns the settings that two names or more all have, which tell none of them from another."""
    if len(names) < 2:
        return []
    return [word for word in names[0].split(" ") if all(word in name.split(" ") for name in names)]


def _wrapped(name: str) -> str:
    """Returns a name on up to three lines."""
    return plain(textwrap.fill(name, LINE, max_lines=3, placeholder=" …", break_on_hyphens=False))


def _draw(axes: Axes, metric: str, found: Sequence[Band], colour: Mapping[str, str]) -> None:
    """Draws a metric; what ends far worse than the rest may leave the axes, so that the rest can be told apart."""
    for place, each in reversed(list(enumerate(found))):  # the best on top
        is_grey = place >= len(COLOURS)
        if each.seeds > 1 and not is_grey:
            axes.fill_between(each.steps, each.low, each.high, color=colour[each.name], alpha=0.2, linewidth=0)
        dots = "." if len(each.steps) == 1 else ""  # a single point draws no line
        axes.plot(each.steps, each.mean, marker=dots, color=colour[each.name], linewidth=0.8 if is_grey else 1.6)
    ends = np.array([each.mean[-1] if each.mean.size else np.nan for each in found])
    finite = ends[np.isfinite(ends)]
    limit = furthest(finite, metric) if finite.size else np.nan
    beyond = ends > limit if mode(metric) == "min" else ends < limit
    shown = [each for each, is_beyond in zip(found, beyond, strict=True) if not is_beyond]
    values = np.concatenate([np.concatenate([each.low, each.high]) for each in shown] or [np.empty(0)])
    is_logarithmic = spans_decades(values)
    axes.set_yscale("log" if is_logarithmic else "linear")
    if beyond.any():
        sizes = values[np.isfinite(values) & ((values > 0) | (not is_logarithmic))]
        sizes = np.log(sizes) if is_logarithmic else sizes
        low, high = sizes.min() - 0.05 * np.ptp(sizes), sizes.max() + 0.05 * np.ptp(sizes)
        low, high = np.exp([low, high]) if is_logarithmic else (low, high)
        beyond &= (ends < low) | (ends > high)  # far worse at the end than the others then, but not than at their start
    if beyond.any():
        axes.set_ylim(low, high)
        axes.set_title(f"{beyond.sum()} of {len(found)} end far worse, beyond the axis", fontsize=8)
    axes.grid(alpha=0.3)
