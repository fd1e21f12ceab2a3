"""Scores of many configurations: a curve over one key, a map of two, parallel coordinates of more.

One configuration that went wrong must not take all the colours. They are logarithmic where losses span more than a
decade, and end three times as far from the best score as the median is; whatever is worse has the last colour.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, DECADE, Values, plain, sheet, short, spans_decades
from fulmen.tasks.names import mode

MOST_NUMBERS: Final = 100
"""Cells up to which a heat map also shows the scores as numbers."""
MOST_LABELS: Final = 20
"""Labels that an axis of parallel coordinates has room for."""
REACH: Final = 3.0
"""Where the colours end: so many times as far from the best score as the median is."""
LOST: Final = "#D55E00"
"""Colour of configurations without a score."""


class Configuration(NamedTuple):
    """A configuration with its score. Shapes: K keys, S seeds."""

    settings: Sequence[str]
    """[K], the values as typed."""
    mean: float
    """Over seeds; NaN where no run has a score."""
    std: float = 0.0
    """Standard deviation over seeds; 0 of one."""
    seeds: Sequence[float] = ()
    """[S], the score of each seed."""
    lost: str = ""
    """What became of its runs that have no score, such as `diverged`."""
    is_best: bool = False
    """Whether its mean is the best, or cannot be told apart from the best."""


class Scale(NamedTuple):
    """How scores become colours: yellow is best."""

    norm: Normalize
    colours: Colormap
    label: str
    beyond: str
    """The end of the colour bar that goes on: `min`, `max` or `neither`."""


def ranking(keys: Sequence[str], configurations: Sequence[Configuration], score: str) -> Figure:
    """Plots scores over settings. Shapes: K keys.

    Args:
        keys: [K], the keys that vary.
        configurations: in the order in which they were typed, with or without a score.
        score: name of the score.
    """
    if len(keys) < 2:
        return _curve(keys[0] if keys else "", configurations, score)
    found = [each for each in configurations if np.isfinite(each.mean)]
    scale = _scale(np.array([each.mean for each in found]), score)
    if len(keys) > 2:
        return _lines(keys, configurations, scale)
    return (_plane if _are_scattered(configurations) else _heat_map)(keys, configurations, scale)


def _scale(means: Values, score: str) -> Scale:
    """Returns colours that separate the better half of the scores, [G], however bad the worst are."""
    is_loss = mode(score) == "min"
    colours = colormaps["cividis_r" if is_loss else "cividis"]
    said = [f"{'lower' if is_loss else 'higher'} is better"]
    if not means.size:
        return Scale(Normalize(0, 1), colours, f"{plain(score)} ({said[0]})", "neither")
    best, worst = (means.min(), means.max()) if is_loss else (means.max(), means.min())
    limit = furthest(means, score)
    is_beyond = limit != worst
    low, high = sorted((float(best), limit))
    is_logarithmic = is_loss and low > 0 and high > DECADE * low
    said += ["logarithmic"] if is_logarithmic else []
    label = f"{plain(score)} ({', '.join(said)})"
    label += f"\nworse than {high if is_loss else low:.3g}: the last colour" if is_beyond else ""
    norm = (LogNorm if is_logarithmic else Normalize)(float(low), float(high) if high > low else float(low) + 1e-12)
    beyond = ("max" if is_loss else "min") if is_beyond else "neither"
    return Scale(norm, colours, label, beyond)


def furthest(means: Values, score: str) -> float:
    """Returns the worst mean that is drawn to scale, of finite means [G]: the worst of all, unless it is awful.

    Where losses span more than a decade, distances are those of their logarithms.
    """
    is_loss = mode(score) == "min"
    is_logarithmic = is_loss and bool(means.min() > 0) and spans_decades(means, DECADE)
    sizes = np.log(means) if is_logarithmic else means
    best, worst = (sizes.min(), sizes.max()) if is_loss else (sizes.max(), sizes.min())
    limit = best + REACH * (np.median(sizes) - best)
    if limit == best or (worst <= limit if is_loss else worst >= limit):
        return float(means.max() if is_loss else means.min())
    return float(np.exp(limit) if is_logarithmic else limit)


def _curve(key: str, configurations: Sequence[Configuration], score: str) -> Figure:
    """Draws a point with error bar for each value, connected by a line if the values are numbers, and seeds as dots."""
    figure = sheet()
    better = "lower" if mode(score) == "min" else "higher"
    axes = figure.add_subplot(xlabel=plain(key), ylabel=f"{plain(score)} ({better} is better)")
    positions, labels, zero = _positions([each.settings[0] if each.settings else "all" for each in configurations], key)
    order = [at for at in np.argsort(positions) if np.isfinite(configurations[at].mean)]
    means, spreads = (np.array([getattr(configurations[at], name) for at in order]) for name in ("mean", "std"))
    line = "-" if labels is None else ""
    several = any(len(each.seeds) > 1 for each in configurations)
    name = "mean ± standard deviation over seeds" if several else "one run each"
    axes.errorbar(positions[order], means, spreads, fmt=f"o{line}", color=COLOURS[0], capsize=4, label=name)
    dots = [
        (positions[at], one) for at in order if len(configurations[at].seeds) > 1 for one in configurations[at].seeds
    ]
    if dots:
        axes.plot(*zip(*dots, strict=True), ".", color="0.5", markersize=4, zorder=0, label="seeds")
    lost = [at for at, each in enumerate(configurations) if each.lost and not np.isfinite(each.mean)]
    if lost:
        height = 0.97 if better == "lower" else 0.03
        what = " or ".join(dict.fromkeys(configurations[at].lost for at in lost))
        crosses = axes.plot(positions[lost], [height] * len(lost), "x", color=LOST, label=plain(what), clip_on=False)
        crosses[0].set_transform(axes.get_xaxis_transform())
    if dots or lost:
        axes.legend(fontsize=8)
    if labels is None:
        _scale_axis(axes, "x", positions, zero)
    else:
        _name_ticks(axes, labels, most=4)
        axes.margins(x=0.15)
    axes.set_yscale("log" if better == "lower" and spans_decades(means, DECADE) else "linear")
    axes.grid(alpha=0.3)
    return figure


def _are_scattered(configurations: Sequence[Configuration]) -> bool:
    """Returns whether pairs of numbers fill less than half of the grid of all pairs, as a random search does."""
    first, second = zip(*(each.settings for each in configurations), strict=True)
    cells = len(set(first)) * len(set(second))
    return 2 * len(configurations) < cells and _numbers(first) is not None and _numbers(second) is not None


def _plane(keys: Sequence[str], configurations: Sequence[Configuration], scale: Scale) -> Figure:
    """Draws a point for each pair of numbers, coloured by its score, with dots of its seeds; the best are circled."""
    figure = sheet(figsize=(7.2, 4.8))
    axes = figure.add_subplot(xlabel=plain(keys[1]), ylabel=plain(keys[0]))
    (y, _, y_zero), (x, _, x_zero) = (
        _positions([each.settings[index] for each in configurations], keys[index]) for index in (0, 1)
    )
    means = np.array([each.mean for each in configurations])
    order = [at for at in _worst_first(means, scale) if np.isfinite(means[at])]
    points = axes.scatter(x[order], y[order], c=means[order], cmap=scale.colours, norm=scale.norm, s=60, zorder=3)
    best = [at for at, each in enumerate(configurations) if each.is_best]
    axes.scatter(x[best], y[best], s=160, facecolors="none", edgecolors="black", zorder=4)
    for at in order:
        _draw_seeds(axes, configurations[at].seeds, scale, (x[at], y[at]))
    lost = [at for at, each in enumerate(configurations) if each.lost and not np.isfinite(each.mean)]
    if lost:
        what = " or ".join(dict.fromkeys(configurations[at].lost for at in lost))
        axes.plot(x[lost], y[lost], "x", color=LOST, label=plain(what))
        axes.legend(fontsize=8)
    _scale_axis(axes, "x", x, x_zero)
    _scale_axis(axes, "y", y, y_zero)
    axes.grid(alpha=0.3)
    axes.set_title(_legend("circled", configurations, "dots below a mean: its seeds"), fontsize=9)
    figure.colorbar(points, label=scale.label, extend=scale.beyond)
    return figure


def _heat_map(keys: Sequence[str], configurations: Sequence[Configuration], scale: Scale) -> Figure:
    """Draws a cell for each pair of values: its mean, dots of its seeds, and what became of runs without a score."""
    columns, rows = (_ordered([each.settings[index] for each in configurations]) for index in (1, 0))
    cells = np.full((len(rows), len(columns)), np.nan)
    for each in configurations:
        cells[rows.index(each.settings[0]), columns.index(each.settings[1])] = each.mean
    figure = sheet(figsize=(max(7.2, 2.5 + 0.8 * len(columns)), max(4.8, 1.5 + 0.5 * len(rows))))
    axes = figure.add_subplot(xlabel=plain(keys[1]), ylabel=plain(keys[0]), facecolor="0.93")
    shown = np.where(np.isfinite(cells), cells, np.nan)
    image = axes.imshow(shown, cmap=scale.colours, norm=scale.norm, aspect="auto")
    _name_ticks(axes, [short(name) for name in columns], most=6)
    axes.set_yticks(range(len(rows)), [short(name) for name in rows])
    figure.colorbar(image, label=scale.label, extend=scale.beyond)
    for each in configurations:
        x, y = columns.index(each.settings[1]), rows.index(each.settings[0])
        if not np.isfinite(each.mean) and (each.lost or not np.isnan(each.mean)):
            axes.fill_between([x - 0.5, x + 0.5], y - 0.5, y + 0.5, facecolor="none", edgecolor="0.7", hatch="////")
        if cells.size <= MOST_NUMBERS:
            _write_cell(axes, each, scale, (x, y))
        if each.is_best:
            axes.fill_between(
                [x - 0.46, x + 0.46], y - 0.46, y + 0.46, facecolor="none", edgecolor="black", linewidth=2
            )
    axes.set_title(_legend("framed", configurations, "dots below a mean: its seeds"), fontsize=9)
    return figure


def _name_ticks(axes: Axes, names: Sequence[str], most: int) -> None:
    """Names the places of a horizontal axis; more than `most` names are tilted, and end at their places."""
    tilted = len(names) > most
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=30 if tilted else 0,
        ha="right" if tilted else "center",
        rotation_mode="anchor" if tilted else "default",
    )


def _legend(how: str, configurations: Sequence[Configuration], dots: str) -> str:
    """Returns what stands out: one that is only a little better by luck is not called the best."""
    best = sum(each.is_best for each in configurations)
    several = any(len(each.seeds) > 1 for each in configurations)
    which = f"{how}: the best" if best == 1 else f"{how}: the {best} best, which cannot be told apart"
    said = [which if several else f"{which}; one run each, so that may be luck"] if best else []
    return "; ".join([*said, dots] if several else said)


def _write_cell(axes: Axes, each: Configuration, scale: Scale, place: tuple[int, int]) -> None:
    """Writes what a cell of a heat map stands for; dark on bright colours, and bright on dark ones."""
    lines = [] if np.isnan(each.mean) else [f"{each.mean:.3g}"]
    lines += [plain(each.lost)] if each.lost else []
    text = "black"
    if np.isfinite(each.mean):
        red, green, blue = to_rgb(scale.colours(scale.norm(each.mean)))
        text = "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.4 else "white"
        _draw_seeds(axes, each.seeds, scale, place, text)
    size = 9 if len(lines) == 1 and np.isfinite(each.mean) else 7
    axes.text(*place, "\n".join(lines), ha="center", va="center", color=text, fontsize=size)


def _draw_seeds(
    axes: Axes, seeds: Sequence[float], scale: Scale, place: tuple[float, float], edge: str = "black"
) -> None:
    """Draws a row of small dots below a mean, one for each seed, in the colour of its score."""
    if len(seeds) < 2:
        return
    step = min(5.0, 40 / len(seeds))
    for index, one in enumerate(sorted(seeds)):
        offset = ((index - (len(seeds) - 1) / 2) * step, -11)
        colour = scale.colours(scale.norm(one))
        box = {"boxstyle": "circle,pad=0", "facecolor": colour, "edgecolor": edge, "linewidth": 0.4}
        axes.annotate(" ", place, offset, textcoords="offset points", fontsize=3, ha="center", va="center", bbox=box)


def _lines(keys: Sequence[str], configurations: Sequence[Configuration], scale: Scale) -> Figure:
    """Draws parallel coordinates: an axis for each key and one for the score, a line for each configuration.

    Lines without a score are dotted and end at the last key. The best are outlined and on top of the others.
    """
    figure = sheet(figsize=(max(6.4, 2.5 + 1.8 * len(keys)), 4.8))
    axes = figure.add_subplot(ylim=(-0.06, 1.06), xlim=(-0.2, len(keys) + 0.45))
    heights = np.empty((len(configurations), len(keys)))
    for column in range(len(keys)):
        heights[:, column], names = _heights([each.settings[column] for each in configurations], keys[column])
        for name, height in names.items():
            label = axes.annotate(short(name, 14), (column, height), (5, 0), textcoords="offset points", fontsize=8)
            label.set(zorder=4, va="center", bbox={"color": "white", "alpha": 0.8, "pad": 1})
        axes.plot([column, column], [0, 1], color="grey", linewidth=1)
    means = np.array([each.mean for each in configurations])
    for at in _worst_first(means, scale):
        each, mean = configurations[at], float(means[at])
        if not np.isfinite(mean):
            if each.lost:
                axes.plot(range(len(keys)), heights[at], ":", color=LOST, linewidth=1.2, label=plain(each.lost))
            continue
        ends = [float(np.clip(scale.norm(one), 0, 1)) for one in (mean, *(each.seeds if len(each.seeds) > 1 else ()))]
        (line,) = axes.plot(
            range(len(keys) + 1), [*heights[at], ends[0]], color=scale.colours(scale.norm(mean)), linewidth=1.5
        )
        if each.is_best:
            line.set(linewidth=3, zorder=3, path_effects=[patheffects.withStroke(linewidth=5, foreground="black")])
        axes.plot([len(keys)] * (len(ends) - 1), ends[1:], ".", color="0.3", markersize=4, zorder=5, clip_on=False)
    bar = axes.inset_axes((len(keys) + 0.03, 0, 0.1, 1), transform=axes.transData)
    figure.colorbar(ScalarMappable(scale.norm, scale.colours), cax=bar, label=scale.label)
    axes.set_xticks(range(len(keys)), [short(key) for key in keys])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    lost = dict.fromkeys(each.lost for each in configurations if each.lost and not np.isfinite(each.mean))
    dotted = [f"dotted: {plain(' or '.join(lost))}"] if lost else []
    axes.set_title("; ".join([_legend("outlined", configurations, "dots: the seeds"), *dotted]), fontsize=9)
    return figure


def _worst_first(means: Values, scale: Scale) -> list[int]:
    """Returns the order in which to draw, so that the best is on top; those without a score come first."""
    sign = -1 if scale.colours.name == "cividis_r" else 1
    return [int(at) for at in np.argsort(np.where(np.isfinite(means), sign * means, -np.inf), kind="stable")]


def _heights(values: Sequence[str], key: str) -> tuple[Values, dict[str, float]]:
    """Returns positions on an axis from 0 to 1, to scale for numbers, and the labels that it has room for."""
    names = _ordered(values)
    sizes, _, zero = _positions(names, key)
    if zero is not None:  # logarithmic, and 0 a decade below the smallest
        sizes = np.log(np.maximum(sizes, zero / DECADE))
    span = sizes.max() - sizes.min()
    heights = (sizes - sizes.min()) / span if span > 0 else np.full(len(sizes), 0.5)
    positions = dict(zip(names, heights.tolist(), strict=True))
    labels: dict[str, float] = {}
    for name, height in positions.items():
        if not labels or height - max(labels.values()) >= 1 / MOST_LABELS:
            labels[name] = height
    return np.array([positions[value] for value in values]), labels


def _positions(values: Sequence[str], key: str) -> tuple[Values, list[str] | None, float | None]:
    """Returns positions on an axis; its labels, None for numbers; and the smallest number if it is logarithmic.

    A rate's axis always is: what matters of a rate is by which factor it is larger than another.
    """
    numbers = _numbers(values)
    if numbers is not None:
        positive = numbers[numbers > 0]
        widest = 1.0 if key.rpartition(".")[2] == "lr" else DECADE
        return numbers, None, float(positive.min()) if spans_decades(numbers, widest) else None
    names = list(dict.fromkeys(values))
    return np.array([names.index(value) for value in values], dtype=float), [short(name, 14) for name in names], None


def _scale_axis(axes: Axes, which: str, numbers: Values, smallest: float | None) -> None:
    """Makes an axis logarithmic where numbers span more than a decade; with 0 among them, linear below the smallest."""
    if smallest is not None:
        of_scale = {"value": "log"} if numbers.min() > 0 else {"value": "symlog", "linthresh": smallest}
        getattr(axes, f"set_{which}scale")(**of_scale)


def _ordered(values: Sequence[str]) -> list[str]:
    """Returns the distinct values: numbers ascending, others in the order typed."""
    names = list(dict.fromkeys(values))
    numbers = _numbers(names)
    return names if numbers is None else [names[index] for index in np.argsort(numbers)]


def _numbers(values: Sequence[str]) -> Values | None:
    try:
        found = np.array([float(value) for value in values])
    except ValueError:
        return None
    return found if np.isfinite(found).all() else None
