"""Scores of many configurations: a curve over one key, a map of two, parallel coordinates of more."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Values, plain, sheet, short, spans_decades

MOST_NUMBERS: Final = 100
"""Cells up to which a heat map also shows the scores as numbers."""
MOST_NAMES: Final = 12
"""Distinct numbers up to which an axis of parallel coordinates labels each of them, evenly spaced."""
MAP: Final = "cividis"


def ranking(
    keys: Sequence[str],
    settings: Sequence[Sequence[str]],
    scores: Sequence[float],
    spreads: Sequence[float],
    score: str,
    seeds: Sequence[Sequence[float]] = (),
) -> Figure:
    """Plots scores over settings. Shapes: G configurations, K keys.

    Args:
        keys: [K], the keys that vary.
        settings: [G, K], the values as typed; best first.
        scores: [G], means over seeds.
        spreads: [G], standard deviations; 0 for a single run.
        score: name of the score.
        seeds: the scores of each configuration's seeds, which a curve shows as dots beside the mean.
    """
    found = np.array(scores, dtype=float)
    if len(keys) == 1:
        return _curve(keys[0], [row[0] for row in settings], found, np.array(spreads, dtype=float), score, seeds)
    if len(keys) == 2:
        return (_plane if _are_scattered(settings) else _heat_map)(keys, settings, found, score)
    if len(keys) > 2:
        return _lines(keys, settings, found, score)
    return _curve("", ["all"] * len(settings), found, np.array(spreads, dtype=float), score, seeds)


def _curve(
    key: str, values: Sequence[str], scores: Values, spreads: Values, score: str, seeds: Sequence[Sequence[float]]
) -> Figure:
    """Draws a point with error bar for each value, connected by a line if the values are numbers, and seeds as dots."""
    figure = sheet()
    axes = figure.add_subplot(xlabel=plain(key), ylabel=plain(score))
    positions, labels, logarithmic = _positions(values)
    order = np.argsort(positions)
    line = "-" if labels is None else ""
    axes.errorbar(positions[order], scores[order], spreads[order], fmt=f"o{line}", color=COLOURS[0], capsize=4)
    for position, dots in zip(positions, seeds, strict=bool(seeds)):
        if len(dots) > 1:
            axes.plot([position] * len(dots), dots, ".", color="0.6", markersize=4, zorder=0)
    axes.set_xscale("log" if logarithmic else "linear")
    if labels is not None:
        axes.set_xticks(range(len(labels)), labels, rotation=30 if len(labels) > 4 else 0)
        axes.margins(x=0.15)
    axes.set_yscale("log" if spans_decades(scores) else "linear")
    axes.grid(alpha=0.3)
    return figure


def _are_scattered(settings: Sequence[Sequence[str]]) -> bool:
    """Returns whether pairs of numbers fill less than half of the grid of all pairs, as a random search does."""
    first, second = zip(*settings, strict=True)
    cells = len(set(first)) * len(set(second))
    return 2 * len(settings) < cells and _numbers(first) is not None and _numbers(second) is not None


def _plane(keys: Sequence[str], settings: Sequence[Sequence[str]], scores: Values, score: str) -> Figure:
    """Draws a point for each pair of numbers, coloured by its score; the best is circled."""
    figure = sheet()
    axes = figure.add_subplot(xlabel=plain(keys[1]), ylabel=plain(keys[0]))
    (y, _, y_decades), (x, _, x_decades) = (_positions([row[index] for row in settings]) for index in (0, 1))
    points = axes.scatter(x[::-1], y[::-1], c=scores[::-1], cmap=MAP, norm=_norm(scores), s=60, zorder=3)
    axes.scatter(x[:1], y[:1], s=160, facecolors="none", edgecolors="black", zorder=4)
    axes.set(xscale="log" if x_decades else "linear", yscale="log" if y_decades else "linear")
    axes.grid(alpha=0.3)
    figure.colorbar(points, label=plain(score))
    return figure


def _heat_map(keys: Sequence[str], settings: Sequence[Sequence[str]], scores: Values, score: str) -> Figure:
    """Draws a cell for each pair of values; empty if no run has a score."""
    columns, rows = (_ordered([row[index] for row in settings]) for index in (1, 0))
    cells = np.full((len(rows), len(columns)), np.nan)
    for (row, column), value in zip(settings, scores, strict=True):
        cells[rows.index(row), columns.index(column)] = value
    figure = sheet(figsize=(max(6.4, 2 + 0.7 * len(columns)), max(4.8, 1.5 + 0.4 * len(rows))))
    axes = figure.add_subplot(xlabel=plain(keys[1]), ylabel=plain(keys[0]))
    norm = _norm(scores)
    image = axes.imshow(cells, cmap=MAP, norm=norm, aspect="auto")
    axes.set_xticks(range(len(columns)), [short(name) for name in columns], rotation=30 if len(columns) > 6 else 0)
    axes.set_yticks(range(len(rows)), [short(name) for name in rows])
    figure.colorbar(image, label=plain(score))
    if cells.size <= MOST_NUMBERS:
        _write_numbers(axes, cells, norm)
    return figure


def _write_numbers(axes: Axes, cells: Values, norm: Normalize) -> None:
    for (row, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            colour = "white" if float(norm(float(value))) < 0.5 else "black"
            axes.text(column, row, f"{value:.3g}", ha="center", va="center", color=colour, fontsize=9)


def _lines(keys: Sequence[str], settings: Sequence[Sequence[str]], scores: Values, score: str) -> Figure:
    """Draws parallel coordinates: one axis per key, one line per configuration, coloured by its score."""
    figure = sheet(figsize=(max(6.4, 2 + 1.8 * len(keys)), 4.8))
    axes = figure.add_subplot()
    norm, colours = _norm(scores), colormaps[MAP]
    heights = np.empty((len(settings), len(keys)))
    for column in range(len(keys)):
        values = [row[column] for row in settings]
        heights[:, column], names = _heights(values)
        for name, height in names.items():
            label = axes.annotate(short(name, 14), (column, height), (5, 0), textcoords="offset points", fontsize=8)
            label.set(zorder=4, va="center", bbox={"color": "white", "alpha": 0.8, "pad": 1})
        axes.axvline(column, color="grey", linewidth=1)
    for heights_of_one, value in zip(heights[::-1], scores[::-1], strict=True):  # the best on top
        axes.plot(range(len(keys)), heights_of_one, color=colours(norm(value)), alpha=0.8, linewidth=1.5)
    axes.set_xticks(range(len(keys)), [short(key) for key in keys])
    axes.set_yticks([])
    axes.margins(x=0.08)
    axes.spines[:].set_visible(False)
    figure.colorbar(ScalarMappable(norm, colours), ax=axes, label=plain(score))
    return figure


def _heights(values: Sequence[str]) -> tuple[Values, dict[str, float]]:
    """Returns positions on an axis from 0 to 1 and its labels: evenly spaced, or to scale if there are many numbers."""
    names = _ordered(values)
    numbers, _, decades = _positions(values)
    if len(names) > MOST_NAMES and _numbers(values) is not None:
        sizes = np.log(numbers) if decades else numbers
        heights = (sizes - sizes.min()) / (sizes.max() - sizes.min())
        return heights, {names[0]: 0.0, names[-1]: 1.0}
    positions = {name: index / (len(names) - 1) if len(names) > 1 else 0.5 for index, name in enumerate(names)}
    return np.array([positions[value] for value in values]), positions


def _positions(values: Sequence[str]) -> tuple[Values, list[str] | None, bool]:
    """Returns positions on an axis, its labels (None for numbers), and whether it is logarithmic."""
    numbers = _numbers(values)
    if numbers is not None:
        return numbers, None, spans_decades(numbers) and bool((numbers > 0).all())
    names = list(dict.fromkeys(values))
    return np.array([names.index(value) for value in values], dtype=float), [short(name, 14) for name in names], False


def _ordered(values: Sequence[str]) -> list[str]:
    """Returns the distinct values in ascending order; numbers are sorted by value."""
    names = sorted(dict.fromkeys(values))
    numbers = _numbers(names)
    return names if numbers is None else [names[index] for index in np.argsort(numbers)]


def _numbers(values: Sequence[str]) -> Values | None:
    try:
        return np.array([float(value) for value in values])
    except ValueError:
        return None


def _norm(scores: Values) -> Normalize:
    finite = scores[np.isfinite(scores)]
    if not finite.size:
        return Normalize(0, 1)
    kind = LogNorm if spans_decades(finite) and finite.min() > 0 else Normalize
    return kind(finite.min(), finite.max() if finite.max() > finite.min() else finite.min() + 1e-12)
