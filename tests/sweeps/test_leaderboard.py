"""Runs and configurations in the order of their scores, and the pictures of them."""

import csv
import json
import math
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulmen.cli.main import main
from fulmen.experiment.load import Run
from fulmen.figures.plots import Configuration, ranking
from fulmen.runs.files import save_figure
from fulmen.sweeps.leaderboard import Board, Row, picture, write
from fulmen.sweeps.verdict import verdict
from fulmen.tasks.names import mode


def row(job: int, score: float | None, **settings: str) -> Row:
    metrics = {} if score is None else {"val/accuracy": score, "val/loss": 1 - score}
    state, error = ("failed", "E: no | luck\nat all") if score is None else ("completed", "")
    return Row(str(job), state, settings, metrics, Path("logs") / str(job), error)


ROWS = [(0.5, "sgd", "0"), (0.7, "sgd", "1"), (None, "gd", "0"), (0.8, "adam", "0"), (0.9, "adam", "1")]


def board(score: str) -> Board:
    rows = [row(job, value, optimizer=name, seed=seed) for job, (value, name, seed) in enumerate(ROWS)]
    return Board(score, ["optimizer", "seed"], rows)


@pytest.mark.parametrize("score", ["val/accuracy", "val/loss"])
def test_runs_and_configurations_are_in_the_order_of_their_scores(score: str) -> None:
    found = board(score)
    assert [row.job for row in found.rows] == ["4", "3", "1", "0", "2"], "the best first, failures at the foot"
    assert [group.settings["optimizer"] for group in found.groups] == ["adam", "sgd"]
    ours = [0.5, 0.7] if score == "val/accuracy" else [0.5, 0.3]
    assert found.groups[1].mean == pytest.approx(np.mean(ours))
    assert found.groups[1].spread == pytest.approx(np.std(ours, ddof=1))
    assert len(found.groups[1].scores) == 2


def test_a_seed_is_one_sample_however_often_it_ran() -> None:
    ran = [(0.4, "0"), (0.8, "0"), (1, "1")]
    rows = [row(job, score, optimizer="sgd", seed=seed) for job, (score, seed) in enumerate(ran)]
    (found,) = Board("val/accuracy", ["optimizer", "seed"], rows).groups
    assert sorted(found.scores) == pytest.approx([0.6, 1]) and found.mean == pytest.approx(0.8)


def test_the_files_hold_every_run(tmp_path: Path) -> None:
    write(board("val/accuracy"), verdict(board("val/accuracy")), ["adam may be best"], tmp_path)
    save_figure(picture(board("val/accuracy")), tmp_path / "leaderboard.png")
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["job", "state", "score", "optimizer", "seed", "val/accuracy", "val/loss", "folder"]
    assert [(row[0], row[2]) for row in rows] == [("4", "0.9"), ("3", "0.8"), ("1", "0.7"), ("0", "0.5"), ("2", "")]
    text = (tmp_path / "leaderboard.md").read_text("utf-8")
    lines = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    assert ["| 1", "adam", "0.85", "0.2147 to 1.485", "0.071", "2", "4 |"] in lines
    assert "Runs are in `logs`." in text
    assert "- adam may be best\n" in text
    assert ["| 2", "failed", "E: no \\| luck at all", "`logs/2` |"] in lines
    assert {len([cell for cell in line if cell]) for line in lines} <= {4, 5, 6, 7, 8}
    found = json.loads((tmp_path / "leaderboard.json").read_text("utf-8"))
    assert found["verdict"] == ["adam may be best"] and found["configurations"][0]["mean"] == pytest.approx(0.85)
    assert [run["run"] for run in found["runs"]] == ["4", "3", "1", "0", "2"]
    assert (tmp_path / "leaderboard.png").stat().st_size > 0


def test_runs_without_a_score_are_written_down(tmp_path: Path) -> None:
    alone = Board("val/loss", ["seed"], [row(0, None, seed="0")])
    write(alone, verdict(alone), [], tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["leaderboard.csv", "leaderboard.json", "leaderboard.md"]


def drawn(keys: list[str], found: list[tuple[list[str], float]], score: str = "val/loss") -> Figure:
    """The picture of configurations of one run each."""
    return ranking(keys, [Configuration(settings, mean) for settings, mean in found], score)


def lines(axes: Axes, points: int) -> list[list[float]]:
    """The heights of the lines that have so many points, from the first drawn to the last."""
    return [found.tolist() for line in axes.lines if len(found := np.asarray(line.get_ydata())) == points]


def test_one_setting_is_a_curve_with_its_spread() -> None:
    found = [Configuration([key], mean, 0.1) for key, mean in (("0.1", 3), ("0.001", 1), ("0.01", 2), ("10", 4))]
    (axes,) = ranking(["optimizer.lr"], found, "val/loss").axes
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "optimizer.lr"
    assert axes.get_ylabel() == "val/loss (lower is better)"
    points = np.asarray(axes.lines[0].get_xydata())
    assert points.tolist() == [[0.001, 1.0], [0.01, 2.0], [0.1, 3.0], [10.0, 4.0]]
    (bars,) = axes.collections
    assert isinstance(bars, LineCollection)
    assert np.ptp(np.asarray(bars.get_segments()), axis=1)[:, 1] == pytest.approx([0.2] * 4)


@pytest.mark.parametrize(
    ("values", "scale"), [("1 2 4", "linear"), ("0.1 1 2", "log"), ("0 0.1 2", "symlog"), ("-1 0 20", "linear")]
)
def test_settings_more_than_ten_times_apart_have_a_logarithmic_axis(values: str, scale: str) -> None:
    (axes,) = drawn(["penalty.weight"], [([value], 1.0) for value in values.split()]).axes
    assert axes.get_xscale() == scale


def test_rates_have_a_logarithmic_axis_however_close_they_are() -> None:
    rates = ["0.1", "0.2", "0.4"]
    (axes,) = drawn(["optimizer.lr"], [([rate], 1.0) for rate in rates]).axes
    assert axes.get_xscale() == "log"
    (axes,) = drawn(["optimizer.lr"], [(["0.1"], 1.0)]).axes
    assert axes.get_xscale() == "linear", "one rate"
    keys = ["optimizer.lr", "penalty.weight"]
    plane = drawn(keys, [([rate, weight], 1.0) for rate, weight in zip(rates, "123", strict=True)]).axes[0]
    assert (plane.get_xscale(), plane.get_yscale()) == ("linear", "log")


def test_seeds_are_dots_beside_their_mean() -> None:
    found = [Configuration(["sgd"], 2.0, 1.0, [1.0, 3.0]), Configuration(["adam"], 5.0, 0.0, [5.0])]
    dots = [line for line in ranking(["optimizer"], found, "val/loss").axes[0].lines if line.get_marker() == "."]
    assert [np.asarray(line.get_xydata()).tolist() for line in dots] == [[[0, 1], [0, 3]]], "one seed is its own mean"


@pytest.mark.parametrize("keys", [2, 3])
def test_maps_and_parallel_axes_have_dots_for_seeds_too(keys: int) -> None:
    seeds = [1.0, 2.0, 6.0]
    found = [Configuration(["a"] * keys, 3.0, 1.0, seeds), Configuration(["b"] * keys, 6.0, 0.0, [6.0])]
    axes = ranking([f"k{key}" for key in range(keys)], found, "val/loss").axes[0]
    if keys == 2:
        assert sum(text.get_text() == " " for text in axes.texts) == 3
    else:
        dots = [line.get_ydata() for line in axes.lines if line.get_marker() == "."]
        assert np.asarray(dots[-1]) == pytest.approx([0, 0, 1]), "1 and 2 are better than the best mean"


def test_words_are_points_that_no_line_joins() -> None:
    (axes,) = drawn(["optimizer"], [(["sgd"], 0.5), (["adam"], 0.25)]).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["sgd", "adam"]
    assert axes.lines[0].get_linestyle() == "None"


def test_many_words_are_tilted_and_end_at_their_points() -> None:
    for count, ends in ((4, "center"), (8, "right")):
        found = [Configuration([f"initializer_{at}"], float(at)) for at in range(count)]
        labels = ranking(["init"], found, "val/loss").axes[0].get_xticklabels()
        assert {label.get_horizontalalignment() for label in labels} == {ends} and {
            label.get_rotation() > 0 for label in labels
        } == {count > 4}


def test_two_settings_are_a_map() -> None:
    found = [(["sgd", "0.1"], 3.0), (["adam", "0.1"], 1.0), (["adam", "0.01"], 2.0)]
    axes, bar = drawn(["optimizer", "optimizer.lr"], found).axes
    cells: NDArray[np.float64] = np.ma.filled(np.ma.asarray(axes.images[0].get_array(), dtype=float), np.nan)
    assert cells.tolist()[1] == [2.0, 1.0], "numbers in order, words as typed"
    assert np.isnan(cells[0, 0]) and cells[0, 1] == 3.0
    assert [text.get_text() for text in axes.texts] == ["3", "1", "2"]
    assert bar.get_ylabel() == "val/loss (lower is better)"


@pytest.mark.parametrize(
    ("score", "good", "bad", "said"),
    [
        ("val/loss", [0.40, 0.41, 0.42, 0.45, 0.44, 0.43], [40, 1e6, 1e12], "lower is better"),
        ("val/loss", [0.10, 0.30, 0.50, 1.1, 2.2, 3.5], [1e5, 1e6, 1e12], "lower is better, logarithmic"),
        ("val/accuracy", [0.95, 0.96, 0.97, 0.94, 0.93, 0.92], [0.1, 0.1, 0.11], "higher is better"),
        ("val/r2", [0.95, 0.96, 0.97, 0.94, 0.93, 0.92], [-1e9, -5, 0], "higher is better"),
    ],
)
def test_an_awful_row_leaves_the_others_their_colours(
    score: str, good: list[float], bad: list[float], said: str
) -> None:
    values = [*good[:3], *bad, *good[3:]]
    found = [([model, rate], values.pop(0)) for model in "abc" for rate in ("1", "2", "3")]
    axes, bar = drawn(["model", "optimizer.lr"], found, score).axes
    norm = axes.images[0].norm
    places = np.sort(np.asarray(norm(np.array(good, float)), float))
    assert np.ptp(places) > 0.25 and np.diff(places).min() > 0.02, "the good ones can be told from each other"
    ends = np.clip(np.asarray(norm(np.array(bad, float)), float), 0, 1)
    assert (ends == (1 if mode(score) == "min" else 0)).all(), "and the awful ones are at the end"
    assert bar.get_ylabel().startswith(f"{score} ({said})\nworse than")


def test_cells_say_what_diverged_and_can_be_read_on_their_colours() -> None:
    found = [
        Configuration(["a", "x"], 0.1, is_best=True),
        Configuration(["a", "y"], 0.9, lost="1 diverged"),
        Configuration(["b", "x"], math.nan, lost="diverged"),
        Configuration(["b", "y"], math.inf),
    ]
    axes = ranking(["model", "init"], found, "val/loss").axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.1", "0.9\n1 diverged", "diverged", "inf"]
    colours = colormaps["cividis_r"]
    for text, value in zip(axes.texts[:2], (0.0, 1.0), strict=True):
        light, dark = sorted([*map(luminance, (text.get_color(), colours(value)))], reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5, "WCAG's contrast for text"
    assert sum(bool(each.get_hatch()) for each in axes.collections) == 2, "nothing diverged is coloured"


def luminance(colour: Any) -> float:
    """The relative luminance of WCAG 2."""
    parts = np.array(to_rgb(colour))
    return float(np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_what_is_framed_may_be_luck() -> None:
    def title(*best: bool, seeds: int = 2) -> str:
        found = [Configuration([f"m{at}"] * 2, 1.0, seeds=[1.0] * seeds, is_best=each) for at, each in enumerate(best)]
        return ranking(["p", "q"], found, "val/loss").axes[0].get_title()

    assert title(True, False).startswith("framed: the best; ")
    assert title(True, True, False).startswith("framed: the 2 best, which cannot be told apart; ")
    assert title(True, False, seeds=1) == "framed: the best; one run each, so that may be luck"


def test_nothing_is_framed_where_all_are_equal() -> None:
    rows = [
        Row(f"{p}{q}", "completed", {"p": str(p), "q": str(q), "seed": str(seed)}, {"val/loss": seed + q}, Path())
        for p in range(2)
        for q in range(2)
        for seed in range(2)
    ]
    runs = Board("val/loss", ["p", "q", "seed"], rows)
    assert picture(runs, verdict(runs)).axes[0].get_title() == "dots below a mean: its seeds"


def test_two_settings_that_a_search_draws_are_points_on_a_plane() -> None:
    found = [(["3", "0.001"], 1.0), (["1", "0.1"], 2.0), (["2", "10"], 3.0)]
    configurations = [Configuration(settings, mean, is_best=mean == 1) for settings, mean in found]
    configurations.append(Configuration(["4", "3"], math.nan, lost="diverged"))
    axes, bar = ranking(["depth", "optimizer.lr"], configurations, "val/loss").axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("optimizer.lr", "depth")
    assert bar.get_ylabel() == "val/loss (lower is better)"
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    points, ring = axes.collections
    assert np.asarray(points.get_offsets()).tolist() == [[10, 2], [0.1, 1], [0.001, 3]]
    assert np.asarray(points.get_array()).tolist() == [3.0, 2.0, 1.0], "the best on top"
    assert np.asarray(ring.get_offsets()).tolist() == [[0.001, 3]]
    assert np.asarray(axes.lines[0].get_xydata()).tolist() == [[3, 4]] and axes.lines[0].get_label() == "diverged"


def test_many_numbers_stand_on_parallel_axes_by_size() -> None:
    rates = [10.0 ** (place / 4) for place in range(41)]
    axes = drawn(["lr", "q", "r"], [([str(rate), "x", "y"], 1.0) for rate in rates]).axes[0]
    assert sorted(line[0] for line in lines(axes, 4)) == pytest.approx([place / 40 for place in range(41)])
    labels = [text.get_text() for text in axes.texts if text.get_text() not in "xy"]
    assert 10 < len(labels) <= 21 and labels[0] == "1.0", "as many as there is room for"


def test_zero_is_a_decade_below_the_smallest_rate() -> None:
    axes = drawn(["weight", "q", "r"], [([weight, "x", "y"], 1.0) for weight in ("0", "0.01", "1")]).axes[0]
    assert sorted(line[0] for line in lines(axes, 4)) == pytest.approx([0, 1 / 3, 1])


def test_more_settings_are_lines_through_parallel_axes_to_the_score() -> None:
    found = [(["b", "1", "x"], 2.0), (["a", "2", "x"], 1.0), (["b", "3", "y"], 3.0)]
    configurations = [Configuration(settings, mean, is_best=mean == 1) for settings, mean in found]
    configurations.append(Configuration(["a", "3", "y"], math.nan, lost="diverged"))
    axes = ranking(["p", "q", "r"], configurations, "val/loss").axes[0]
    assert lines(axes, 4) == [[0, 1, 1, 1], [0, 0, 0, 0.5], [1, 0.5, 0, 0]], "words as typed, the best on top"
    thick = max(axes.lines, key=lambda line: line.get_linewidth())
    assert np.asarray(thick.get_ydata()).tolist() == [1, 0.5, 0, 0]
    assert lines(axes, 3) == [[1, 1, 1]] and axes.get_title().endswith("; dotted: diverged")


@pytest.mark.parametrize("scores", [[0.5], [1.0, 1.0], [1.0, float("inf")], [float("nan")]])
@pytest.mark.parametrize("keys", [0, 1, 2, 3])
def test_odd_scores_are_drawn_all_the_same(scores: list[float], keys: int, tmp_path: Path) -> None:
    figure = drawn([f"k{key}" for key in range(keys)], [([f"{at}$"] * keys, score) for at, score in enumerate(scores)])
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "odd.png")


def test_a_picture_shows_every_configuration_in_the_order_typed() -> None:
    found = [("sgd", "1", None), ("sgd", "0.1", 0.5), ("sgd", "0.1", None), ("adam", "1", 0.7), ("adam", "0.1", 0.6)]
    rows = [
        Row(str(job), "completed" if value else "diverged", {"optimizer": name, "lr": lr}, {"val/loss": value}, Path())
        for job, (name, lr, value) in enumerate(found)
    ]
    runs = Board("val/loss", ["optimizer", "lr"], [*reversed(rows)])
    axes = picture(runs, verdict(runs)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sgd", "adam"]
    assert [text.get_text() for text in axes.texts] == ["diverged", "0.5\n1 diverged", "0.7", "0.6"]


def test_any_runs_are_ranked_by_what_differs(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        train("data=circles", f"optimizer={name}", f"seed={seed}", max_epochs=1)
        for name in ("sgd", "adam")
        for seed in (0, 1)
    ]
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", ".", "score=test/accuracy", "output=ranked"]) == 0
    with (tmp_path / "ranked" / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["job", "state", "score", "optimizer", "seed"]
    found = {row["job"]: float(row["score"]) for row in rows}
    assert found == {run.folder.name: run.metrics["test/accuracy"] for run in runs}
    assert list(found.values()) == sorted(found.values(), reverse=True)
    said = capsys.readouterr().out
    for of_one in (runs[:2], runs[2:]):
        assert f"{statistics.fmean(run.metrics['test/accuracy'] for run in of_one):.4g}" in said


def test_sizes_that_follow_from_the_data_are_no_settings(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for rows in (40, 80):
        train("data=circles", f"data.train_size={rows}", max_epochs=1)
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", ".", "json=true"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [list(each["settings"]) for each in found["configurations"]] == [["data.train_size"], ["data.train_size"]]


def test_lists_and_mappings_are_settings_like_any_others(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = ["metrics=[cohen_kappa]", "freeze=[layers.0]", "learning_rates={layers.0: 0.1}"]
    for words in [[], *([word] for word in lists), ["loss=bce", "loss.class_weights=[1,2]"]]:
        train("data=circles", *words, max_epochs=1)
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", ".", "score=val/accuracy", "json=true"]) == 0
    found = [each["settings"] for each in json.loads(capsys.readouterr().out)["configurations"]]
    assert {key for each in found for key in each} >= {"metrics", "freeze", "learning_rates"}
    assert {f"{key}={value}" for each in found for key, value in each.items()} >= {*lists}


def test_long_settings_that_end_alike_are_two(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for first in (2, 3):
        train("data=circles", "model=mlp", f"model.hidden=[{first}{',1' * 30}]", max_epochs=1)
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", "."]) == 0
    ranks = (tmp_path / "leaderboard.md").read_text("utf-8").partition("## Runs")[0]
    assert ranks.count("| …") == 2 and "seeds" not in ranks


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name folders"),
        (["none"], "there is no folder none"),
        (["run0", "score=val/acuracy"], "did you mean val/accuracy?"),
        (["run0", "scor=val/loss"], "did you mean score?"),
        (["run0", "score=val/confusion_matrix"], "val/confusion_matrix is no number, so it ranks nothing"),
        (["run0", "json=yes"], "json is 'yes', but must be one of true, false"),
    ],
    ids=str,
)
def test_what_cannot_be_ranked_is_said(
    words: list[str],
    sentence: str,
    train: Callable[..., Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "run0" in words:
        train("data=circles", max_epochs=1)
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", *words]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.glob("leaderboard*"))


def test_runs_are_found_by_their_labels(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [("name=first", "tags=[baseline,week_3]"), ("name=second", "tags=[baseline]", "note='a wider one'"), ()]
    runs = [train("data=circles", *words, f"seed={seed}", max_epochs=1) for seed, words in enumerate(labels)]
    monkeypatch.chdir(tmp_path)

    def ranked(*words: str) -> set[str]:
        assert main(["leaderboard", ".", "json=true", *words]) == 0
        return {run["run"] for run in json.loads(capsys.readouterr().out)["runs"]}

    first, second, third = (run.folder.name for run in runs)
    assert ranked() == {first, second, third}
    assert ranked("name=first") == ranked("tags=week_3") == ranked("tags=[week_3, baseline]") == {first}
    assert ranked("tags=baseline") == ranked("name=*s*") == {first, second}
    assert ranked("note=wider") == {second}
    for words, sentence in {
        ("tags=week_4",): "none of the 3 runs has tags=week_4",
        ("name=first", "note=wider"): "none of the 3 runs has name=first note=wider",
        ("tags=",): "tags= is empty, but means: only runs with all these tags, separated by commas; give it a value",
        ("tag=week_3",): "did you mean tags?",
        ("data=moons",): "none of the 3 runs has data=moons",
    }.items():
        assert main(["leaderboard", ".", *words]) == 1 and sentence in capsys.readouterr().err


def test_different_data_are_not_ranked_together(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("data=moons",), ("data=circles",), ("data=circles", "data.seed=3")):
        train(*words, max_epochs=1)
    monkeypatch.chdir(tmp_path)
    assert main(["leaderboard", "."]) == 1
    said = capsys.readouterr().err
    assert "scores on different data cannot be compared (data=moons in 1, data=circles in 2); add data=moons" in said
    assert not list(tmp_path.glob("leaderboard*")), "nothing is ranked"
    assert main(["leaderboard", ".", "data=circles"]) == 0, "two draws of one thing"
    train("data=circles", "data.noise=0.3", max_epochs=1)
    assert main(["leaderboard", ".", "data=circles"]) == 1
    assert "data.noise=" in capsys.readouterr().err


def test_runs_on_a_part_of_the_rows_are_left_out_where_others_have_all(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in ((), ("seed=1",), ("trainer.limit_batches=1",), ("trainer.overfit=1",)):
        train("data=circles", *words, max_epochs=1)
    assert main(["leaderboard", "."]) == 0
    said = capsys.readouterr().out
    keys = "trainer.limit_batches, trainer.overfit"
    assert f"2 runs on a part of the rows ({keys}) are left out; to rank them, name them alone" in said
    with (tmp_path / "leaderboard.csv").open(newline="") as file:
        assert {row["job"] for row in csv.DictReader(file)} == {"run0", "run1"}
    assert main(["leaderboard", "run2"]) == 0 and "left out" not in capsys.readouterr().out
    assert main(["leaderboard", "run0", "run3"]) == 0 and "1 run on a part of" in capsys.readouterr().out
    assert main(["leaderboard", "run2", "run3"]) == 1, "they have other rows than each other"


def test_a_configuration_has_the_run_that_can_be_loaded_and_its_labels(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = []
    for optimizer, labels in (("sgd", ["name=slow"]), ("adam", ["tags=[baseline,week_3]", "note='more, and more'"])):
        for seed in (0, 1):
            runs.append(train("data=circles", f"optimizer={optimizer}", f"seed={seed}", *labels, max_epochs=1))
    monkeypatch.chdir(tmp_path.parent)
    assert main(["leaderboard", tmp_path.name, "score=test/loss", "output=out"]) == 0
    said = capsys.readouterr().out
    table = [[cell.strip() for cell in re.split("[│┃]", line)[1:-1]] for line in said.splitlines() if line[0] in "│┃"]
    header, *rows = table
    assert header[-4:] == ["best run", "name", "tags", "note"] and f"runs are in {tmp_path.name}" in said
    for pair, labels in ((runs[:2], ["slow", "", ""]), (runs[2:], ["", "baseline,week_3", "more, and more"])):
        best = min(pair, key=lambda run: run.metrics["test/loss"])
        assert [best.folder.name, *labels] in [row[-4:] for row in rows]


def test_rows_that_changed_behind_a_path_are_said(
    train: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for factor in (1, 2):
        rows = "".join(f"{i},{i * factor % 7}\n" for i in range(40))
        Path("rows.csv").write_text(f"a,b\n{rows}")
        train("data=table", "data.path=rows.csv", "data.target=b", "data.task=regression", max_epochs=1)
    assert main(["leaderboard", "."]) == 0
    assert "are not the same; their scores may not be comparable" in capsys.readouterr().err


def test_a_sweep_is_ranked_again(place: Any) -> None:
    assert place.sweep("model.number=0,1") == 0
    first = (place.folder / "leaderboard.csv").read_bytes()
    assert main(["leaderboard", str(place.folder.relative_to(place.here))]) == 0
    assert (place.folder / "leaderboard.csv").read_bytes() == first


def test_a_command_on_one_run_that_is_given_a_sweep_names_the_best(
    place: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.sweep("optimizer.lr=1e-6,0.1") == 0
    sweep = place.folder.relative_to(place.here)
    scores = [json.loads((sweep / job / "metrics.json").read_text())["val/loss"] for job in ("0", "1")]
    best = sweep / str(np.argmin(scores))
    capsys.readouterr()
    for command in ("evaluate", "export", "predict"):
        assert main([command, str(sweep), *(["input=x.npy"] if command == "predict" else [])]) == 1
        said = f"fulmen: {sweep} is a sweep, not a run; the best of its runs, by val/loss, is {best}\n"
        assert capsys.readouterr().err == said
    (best / "metrics.json").unlink()
    (sweep / str(np.argmax(scores)) / "metrics.json").unlink()
    assert main(["evaluate", str(sweep)]) == 1
    assert capsys.readouterr().err.endswith("is a sweep, not a run; none of its runs has a val/loss yet\n")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("status.json", None),
        ("status.json", "3"),
        ("metrics.json", "{"),
        ("config.yaml", "["),
        ("metrics.json", '{"train/loss": "low", "val/loss": 1.0}'),
    ],
)
def test_a_damaged_run_is_listed_and_the_others_are_ranked(
    name: str, content: str | None, train: Callable[..., Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [train("data=circles", seed=seed, max_epochs=1).folder for seed in range(3)]
    (runs[1] / name).unlink() if content is None else (runs[1] / name).write_text(content)
    assert main(["leaderboard", *map(str, runs), f"output={tmp_path / 'out'}"]) == 1
    said = capsys.readouterr().out
    assert f"{runs[1]}  damaged: " in said and name in said
    with (tmp_path / "out" / "leaderboard.csv").open(newline="") as file:
        assert [row["state"] for row in csv.DictReader(file)] == ["completed", "completed", "damaged"]
