"""Curves with bands: what leaves the axes is said, and only that."""

import numpy as np
import pytest

from fulmen.figures.plots.bands import Band, bands


@pytest.mark.parametrize(
    ("start", "last", "title"), [(0.8, 0.4, ""), (0.3, 0.4, "1 of 4 end far worse, beyond the axis")]
)
def test_only_what_is_beyond_the_axes_is_said_to_be(start: float, last: float, title: str) -> None:
    """One configuration ends far worse than the others, which may have begun even worse than that."""
    steps = np.arange(10.0)
    found = []
    for name, end in (("a", 0.27), ("b", 0.271), ("c", 0.272), ("d", last)):
        mean = np.linspace(start, end, 10)
        found.append(Band(name, 5, steps, mean, mean - 0.001, mean + 0.001))
    figure = bands({"val/loss": found})
    assert figure.axes[0].get_title() == title
    low, high = figure.axes[0].get_ylim()
    assert (low < last < high) == (not title)
