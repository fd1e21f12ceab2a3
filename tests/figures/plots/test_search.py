"""Pictures of a search, read back from the figures."""

import numpy as np

from fulmen.figures import plots


def test_history_has_every_trial_and_the_best_so_far() -> None:
    (axes,) = plots.history([0, 2, 3], [0.5, 0.7, 0.2], "val/loss", "min").axes
    trials, best = (np.asarray(line.get_ydata()).tolist() for line in axes.lines)
    assert trials == [0.5, 0.7, 0.2] and best == [0.5, 0.5, 0.2]
    (axes,) = plots.history([0, 1, 2], [0.5, 0.7, 0.2], "val/accuracy", "max").axes
    assert np.asarray(axes.lines[1].get_ydata()).tolist() == [0.5, 0.7, 0.7]


def test_importance_begins_with_the_most_important() -> None:
    (axes,) = plots.importance(["optimizer.lr", "model.hidden"], [0.8, 0.2], "val/loss", 12).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["optimizer.lr", "model.hidden"]
    assert axes.yaxis_inverted()
    assert axes.get_title() == "fANOVA of the val/loss of 12 completed runs"


def test_the_front_is_joined_in_order() -> None:
    (axes,) = plots.front([[3, 1], [1, 3], [3, 3]], [True, True, False], ["val/loss", "parameters"]).axes
    assert np.asarray(axes.lines[1].get_xydata()).tolist() == [[1, 3], [3, 1]]


def test_objectives_more_than_ten_times_apart_have_logarithmic_axes() -> None:
    (axes,) = plots.front([[300, 1], [10, 3], [50, 3]], [True, True, False], ["parameters", "val/loss"]).axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    (axes,) = plots.history([0, 1], [0.5, 7.0], "val/loss", "min").axes
    assert axes.get_yscale() == "log"
