"""The pictures of `fulmen tune`: what was measured, at its place, and the recommendation."""

import math

import numpy as np

from fulmen.figures import plots


def test_rates_that_were_dropped_or_diverged_are_left_out_of_a_curve() -> None:
    first = [[0.7, 0.9], [0.4, 0.6], [math.inf, 1.0]]
    last = [[math.nan, math.nan], [0.1, 0.3], [math.nan, math.nan]]
    figure = plots.learning_rates([0.1, 1, 10], [("after 5", first), ("after 30", last)], 1, "val/loss")
    (axes,) = figure.axes
    one, other, line = axes.get_lines()
    assert np.allclose(one.get_xdata(), [0.1, 1]) and np.allclose(other.get_xdata(), [1])
    assert np.allclose(one.get_ydata(), [0.8, 0.5]) and np.allclose(other.get_ydata(), [0.2])
    assert np.allclose(line.get_xdata(), [1, 1]) and line.get_label() == "recommended: 1"
    assert axes.get_xscale() == "log" and axes.get_ylabel() == "val/loss"


def test_time_per_row_is_shown_in_microseconds() -> None:
    seconds = np.array([[3e-6, 4e-6, 9e-6], [1e-6, 1e-6, 2e-6]])
    (axes,) = plots.batch_sizes([1, 2], seconds, np.median(seconds, 1), 2).axes
    assert np.allclose(axes.get_lines()[0].get_ydata(), [4, 1])
