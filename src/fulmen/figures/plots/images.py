"""Figures made of images: weights per pixel, and misclassified images."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fulmen.figures.plots.style import COLOURS, Classes, Values, sheet, short


def weights(images: Values, names: Sequence[str], title: str) -> Figure:
    """Draws pixel weights, one image per class or hidden unit: red is positive, blue negative, white zero.

    Shapes: M images of H by W pixels.

    Args:
        images: weights, [M, H, W].
        names: class or unit of each image, [M].
        title: title of the figure.
    """
    columns = math.ceil(math.sqrt(1.7 * len(images)))
    figure = sheet()
    figure.suptitle(title)
    grid = figure.subplots(math.ceil(len(images) / columns), columns, squeeze=False)
    largest = float(np.quantile(np.abs(images), 0.998)) or 1.0  # robust against a single outlier
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, image, name in zip(grid.flat, images, names, strict=False):
        shown = axes.imshow(image, cmap="RdBu_r", vmin=-largest, vmax=largest)
        axes.set_title(short(name, 12), fontsize="small" if len(images) <= 15 else "xx-small", pad=2)
    figure.colorbar(shown, ax=grid, shrink=0.8, label="weight")
    return figure


class Mistakes(NamedTuple):
    """Misclassified images. Shapes: M images of H by W pixels, K classes."""

    images: Values
    """[M, H, W]."""
    true: Classes
    """[M]."""
    probabilities: Values
    """[M, K]."""


def mistakes(found: Mistakes, classes: Sequence[str], title: str) -> Figure:
    """Draws each image above its class probabilities; the true class is blue, the predicted class orange."""
    figure = sheet()
    figure.suptitle(title)
    columns = min(4, len(found.images))
    rows = math.ceil(len(found.images) / columns)
    grid = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[2, 1] * rows)
    for axes in grid.flat:
        axes.set_axis_off()
    for index, (image, true, chances) in enumerate(zip(*found, strict=True)):
        row, column = divmod(index, columns)
        predicted = int(chances.argmax())
        upper, lower = grid[2 * row, column], grid[2 * row + 1, column]
        upper.imshow(image, cmap="gray_r")
        label = f"{short(classes[true], 8)}, predicted {short(classes[predicted], 8)}"
        upper.set_title(label, fontsize="small", pad=3)
        _bars(lower, chances, int(true), predicted, classes)
    return figure


def _bars(axes: Axes, chances: Values, true: int, predicted: int, classes: Sequence[str]) -> None:
    axes.set_axis_on()
    colours = ["silver"] * len(chances)
    colours[true], colours[predicted] = COLOURS[0], COLOURS[1]
    axes.bar(range(len(chances)), chances, color=colours)
    axes.text(predicted, chances[predicted], f"{chances[predicted]:.0%}", ha="center", va="bottom", fontsize="xx-small")
    axes.set_xticks(range(len(chances)), [short(name, 4) for name in classes], fontsize="xx-small")
    axes.set(ylim=(0, 1.3), yticks=[])
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.tick_params(length=0, pad=1)
