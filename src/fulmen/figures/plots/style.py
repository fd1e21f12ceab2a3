"""Shared style of the figures: size, colours, markers and text."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.typing import ColorType
from numpy.typing import NDArray

Values = NDArray[np.floating]
Classes = NDArray[np.integer]

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
"""Safe for colour-blind readers: Okabe and Ito, Color Universal Design (2008), without yellow."""
MARKERS: Final = "os^Dv<>"
"""One shape per class, so that classes differ in more than colour."""
WIDEST: Final = 100.0
"""Ratio of largest to smallest value of a curve up to which its scale is linear."""
DECADE: Final = 10.0
"""The same of settings and of scores that are compared."""
LONGEST: Final = 24
"""Maximum length of a name in a figure."""


def sheet(**figure: Any) -> Figure:
    """Returns an empty figure of 640 by 480 pixels, about the size at which TensorBoard shows it."""
    return Figure(**{"figsize": (6.4, 4.8), "dpi": 100, "layout": "constrained", **figure})


def colours(count: int) -> Iterator[ColorType]:
    """Yields `COLOURS`, or, if more are needed, a scale from dark to light."""
    if count <= len(COLOURS):
        yield from COLOURS[:count]
    else:
        yield from colormaps["cividis"](np.linspace(0, 0.95, count))


def marker(number: int) -> str:
    """Returns the marker of class `number`."""
    return MARKERS[number % len(MARKERS)]


def plain(name: str) -> str:
    """Escapes dollar signs, which matplotlib would read as the start of a formula."""
    return name.replace("$", r"\$")


def short(name: str, longest: int = LONGEST) -> str:
    """Shortens a name to `longest` characters."""
    return plain(name if len(name) <= longest else f"{name[: longest - 1]}…")


def spans_decades(values: Values, widest: float = WIDEST) -> bool:
    """Returns whether values need a logarithmic scale: none negative, and further apart than a ratio of `widest`."""
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    return bool(positive.size and values.min() >= 0 and positive.max() > widest * positive.min())
