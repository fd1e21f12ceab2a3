"""What is drawn is what was given: lines, bars, cells and levels, read back from the figures."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from fulmen.figures import plots
from fulmen.figures.plots.pixels import pixels, step_of, write_gif, write_png
from fulmen.figures.plots.regions import LEVELS, shades

RANDOM = np.random.RandomState(0)
GRID = np.linspace(-1, 1, 9)


def lines(figure: Figure, axes: int = 0) -> dict[str, tuple[Any, Any]]:
    return {str(line.get_label()): (line.get_xdata(), line.get_ydata()) for line in figure.axes[axes].get_lines()}


def equal(drawn: tuple[Any, Any], x: object, y: object) -> bool:
    return np.array_equal(drawn[0], x) and np.array_equal(drawn[1], y)  # type: ignore[arg-type]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_fit_has_data_curve_and_residuals() -> None:
    points = {name: plots.Points(*RANDOM.rand(3, 5)) for name in ("train", "validation")}
    figure = plots.fit(points, GRID, GRID**2, ("size (m²)", "price ($)"))
    upper, lower = lines(figure), [line for line in figure.axes[1].get_lines() if len(line.get_xdata()) == 5]  # type: ignore[arg-type]
    assert equal(upper["prediction"], GRID, GRID**2)
    for (name, (x, y, predicted)), residuals in zip(points.items(), lower, strict=True):
        assert equal(upper[name], x, y)
        assert equal((residuals.get_xdata(), residuals.get_ydata()), x, y - predicted)
    assert figure.axes[1].get_xlabel() == "size (m²)" and figure.axes[0].get_ylabel() == r"price (\$)"
    assert texts(figure) == ["train", "validation", "prediction"]


@pytest.mark.parametrize("count", [3, 20])
def test_nodes_and_bias_sum_to_the_prediction(count: int) -> None:
    contributions = RANDOM.randn(count, len(GRID))
    figure = plots.nodes(GRID, contributions, 0.5, ("x", "y"))
    *nodes, bias, total = figure.axes[0].get_lines()
    np.testing.assert_array_equal([line.get_ydata() for line in nodes], contributions)
    assert set(bias.get_ydata()) == {0.5}  # type: ignore[arg-type]
    np.testing.assert_allclose(total.get_ydata(), contributions.sum(0) + 0.5)  # type: ignore[arg-type]
    assert sum(str(line.get_label()).startswith("node ") for line in nodes) == min(count, 6)


@pytest.mark.parametrize("count", [2, 3, 9])
def test_regions_show_the_likeliest_class_and_how_likely_it_is(count: int) -> None:
    scores = np.stack([np.add.outer(GRID * (k % 3 - 1), GRID * (k // 3)) for k in range(count)], axis=2) * 9
    probabilities = np.exp(scores) / np.exp(scores).sum(2, keepdims=True)
    x, y = RANDOM.rand(30, 2), np.arange(30) % count
    names = [f"class {k}" for k in range(count)]
    figure = plots.regions((GRID, GRID), probabilities, x, y, ("a", "b"), names)
    axes = figure.axes[0]
    (image,) = axes.images
    np.testing.assert_allclose(image.get_array(), shades(probabilities))  # type: ignore[arg-type]
    assert list(image.get_extent()) == [-1, 1, -1, 1] and image.origin == "lower"
    drawn = lines(figure)
    assert all(equal(drawn[name], *x[y == k].T) for k, name in enumerate(names)) and texts(figure) == names
    levels = [list(found.levels) for found in axes.collections if isinstance(found, ContourSet)]
    assert levels[-1] == list(LEVELS) and levels[:-1] == [[0]] * (len(levels) - 1) and len(levels) > 1


def test_shades_are_deeper_where_a_class_is_likelier() -> None:
    (row,) = shades(np.array([[[0.5, 0.5], [0.75, 0.25], [1, 0], [0, 1]]]))
    paleness = row.sum(1)
    assert paleness[0] > paleness[1] > paleness[2] and row[2][2] > row[2][0], "the first is blue"
    assert row[3][0] > row[3][2], "the second is orange"


def test_a_network_that_is_sure_of_nothing_has_regions_too() -> None:
    plots.regions((GRID, GRID), np.full((9, 9, 2), 0.5), RANDOM.rand(4, 2), np.zeros(4, int), "ab", "cd")


@pytest.mark.parametrize("count", [2, 10, 30])
def test_confusion_has_the_counts(count: int) -> None:
    table = RANDOM.randint(0, 9, (count, count))
    figure = plots.confusion(table, [f"c{k}" for k in range(count)], "test")
    axes = figure.axes[0]
    cells = {text.get_position(): int(text.get_text()) for text in axes.texts}
    wanted = {(column, row): table[row, column] for row, column in np.ndindex(*table.shape)}
    assert cells == (wanted if count <= 20 else {})
    assert f"{table.trace()} of {table.sum()} correct" in axes.get_title()
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()).sum(1), 1)


@pytest.mark.parametrize("count", [1, 10, 45])
def test_weights_are_the_images(count: int) -> None:
    images = RANDOM.randn(count, 4, 5)
    figure = plots.weights(images, [str(k) for k in range(count)], "weights")
    shown = [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]
    np.testing.assert_array_equal([axes.images[0].get_array() for axes in shown], images)
    assert [axes.get_title() for axes in shown] == [str(k) for k in range(count)]
    limits = {axes.images[0].get_clim() for axes in shown}
    assert len(limits) == 1 and sum(limits.pop()) == 0, "one scale for all, and white is nothing"


def test_mistakes_have_their_probabilities_as_bars() -> None:
    images, chances = RANDOM.rand(6, 4, 4), RANDOM.dirichlet([1] * 3, 6)
    figure = plots.mistakes(plots.Mistakes(images, np.zeros(6, int), chances), "abc", "mistakes")
    shown = [axes for axes in figure.axes if axes.images]
    bars = [[bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)] for axes in figure.axes]
    np.testing.assert_array_equal([axes.images[0].get_array() for axes in shown], images)
    np.testing.assert_array_equal([heights for heights in bars if heights], chances)
    assert shown[0].get_title() == f"a, predicted {'abc'[chances[0].argmax()]}"


def test_activations_have_their_derivatives_and_the_own_one_stands_out() -> None:
    functions = {name: (GRID * k, GRID + k) for k, name in enumerate("abcde")}
    figure = plots.activations(GRID, functions, "c")
    for number, (name, (values, derivatives)) in enumerate(functions.items()):
        drawn = lines(figure, number)
        assert equal(drawn["function"], GRID, values) and equal(drawn["derivative"], GRID, derivatives)
        assert (figure.axes[number].title.get_fontweight() == "bold") == (name == "c")


def test_pairs_have_every_feature_against_every_other() -> None:
    x, y = RANDOM.rand(40, 3), np.arange(40) % 2
    figure = plots.pairs_of_classes(x, y, "abc", ("no", "yes"))
    for (row, column), axes in zip(np.ndindex(3, 3), figure.axes, strict=True):
        if row == column:
            assert sum(bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)) == 40
        else:
            for number, line in enumerate(axes.get_lines()):
                assert equal((line.get_xdata(), line.get_ydata()), x[y == number, column], x[y == number, row])
    assert texts(figure) == ["no", "yes"]


def test_pairs_of_values_are_coloured_by_the_target() -> None:
    x, y = RANDOM.rand(20, 2), RANDOM.rand(20)
    figure = plots.pairs_of_values(x, y, "ab", "price ($)")
    (dots,) = [found for found in figure.axes[1].collections if isinstance(found, PathCollection)]
    np.testing.assert_array_equal(dots.get_offsets(), x[:, ::-1])
    np.testing.assert_array_equal(dots.get_array(), y)


@pytest.mark.parametrize("val", [None, np.array([3.0, 0.01])])
def test_training_has_the_losses(val: Any) -> None:
    run = plots.Curve("", np.array([10.0, 20.0]), np.array([2.0, 1.0]), val)
    figure = plots.training(run)
    drawn = lines(figure)
    assert equal(drawn["train"], run.steps, run.train)
    assert list(drawn) == ["train"] if val is None else equal(drawn["validation"], run.steps, val)
    assert figure.axes[0].get_yscale() == ("linear" if val is None else "log")


def test_files_keep_the_step_they_show(tmp_path: Path) -> None:
    frames = [pixels(plots.training(plots.Curve("", GRID, GRID * k, None))) for k in range(3)]
    assert frames[0].shape == (480, 640, 3) and step_of(tmp_path / "none.png") == -1
    with (tmp_path / "a.png").open("wb") as png, (tmp_path / "a.gif").open("wb") as gif:
        write_png(png, frames[0], 7)
        write_gif(gif, frames, 9)
    assert (step_of(tmp_path / "a.png"), step_of(tmp_path / "a.gif")) == (7, 9)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), frames[0])
    with Image.open(tmp_path / "a.gif") as image:
        assert getattr(image, "n_frames", 1) == 3
