"""What the figures share: their size, their colours, and texts that are only texts."""

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
"""Told apart by colour-blind eyes, too: Okabe and Ito, Color Universal Design (2008), without the yellow."""
MARKERS: Final = "os^Dv<>"
"""Classes are told apart by more than colour."""
WIDEST: Final = 100.0
"""Ratio of the largest to the smallest value up to which a linear scale shows both."""
LONGEST: Final = 24
"""Letters of a name in a figure."""


def sheet(**figure: Any) -> Figure:
    """An empty figure of 640 by 480 dots, about what TensorBoard shows of one."""
    return Figure(**{"figsize": (6.4, 4.8), "dpi": 100, "layout": "constrained", **figure})


def colours(count: int) -> Iterator[ColorType]:
    """The named ones, or of more a scale from dark to light."""
    if count <= len(COLOURS):
        yield from COLOURS[:count]
    else:
        yield from colormaps["cividis"](np.linspace(0, 0.95, count))


def marker(number: int) -> str:
    """That of class `number`."""
    return MARKERS[number % len(MARKERS)]


def plain(name: str) -> str:
    """A name in which a dollar sign is only that, and opens no formula."""
    return name.replace("$", r"\$")


def short(name: str, longest: int = LONGEST) -> str:
    """A name with no more letters than there is room for."""
    return plain(name if len(name) <= longest else f"{name[: longest - 1]}…")


def spans_decades(values: Values) -> bool:
    """Whether values are better seen on a logarithmic scale: positive, and more than two decades apart."""
    values = values[np.isfinite(values)]
    positive = values[values > 0]
    return bool(positive.size and values.min() >= 0 and positive.max() > WIDEST * positive.min())
