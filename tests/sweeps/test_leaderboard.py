"""Runs and configurations in the order of their scores, and the pictures of them."""

import csv
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fulmen.cli.main import main
from fulmen.experiment.load import Run
from fulmen.figures.plots import ranking
from fulmen.runs.files import save_figure
from fulmen.sweeps.leaderboard import Board, Row, picture, write
from fulmen.sweeps.verdict import verdict


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
    assert ["| 1", "adam", "0.85", "0.2147 to 1.485", "0.071", "2 |"] in lines
    assert "- adam may be best\n" in text
    assert ["| 2", "failed", "E: no \\| luck at all", "`logs/2` |"] in lines
    assert {len([cell for cell in line if cell]) for line in lines} <= {4, 5, 6}
    found = json.loads((tmp_path / "leaderboard.json").read_text("utf-8"))
    assert found["verdict"] == ["adam may be best"] and found["configurations"][0]["mean"] == pytest.approx(0.85)
    assert [run["run"] for run in found["runs"]] == ["4", "3", "1", "0", "2"]
    assert (tmp_path / "leaderboard.png").stat().st_size > 0


def test_runs_without_a_score_are_written_down(tmp_path: Path) -> None:
    alone = Board("val/loss", ["seed"], [row(0, None, seed="0")])
    write(alone, verdict(alone), [], tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["leaderboard.csv", "leaderboard.json", "leaderboard.md"]


def test_one_setting_is_a_curve_with_its_spread() -> None:
    values = ["0.1", "0.001", "0.01", "10"]
    figure = ranking(["optimizer.lr"], [[value] for value in values], [3.0, 1.0, 2.0, 4.0], [0.1] * 4, "val/loss")
    (axes,) = figure.axes
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "optimizer.lr" and axes.get_ylabel() == "val/loss"
    points = np.asarray(axes.lines[0].get_xydata())
    assert points.tolist() == [[0.001, 1.0], [0.01, 2.0], [0.1, 3.0], [10.0, 4.0]]
    (bars,) = axes.collections
    assert isinstance(bars, LineCollection)
    assert np.ptp(np.asarray(bars.get_segments()), axis=1)[:, 1] == pytest.approx([0.2] * 4)


def test_seeds_are_dots_beside_their_mean() -> None:
    figure = ranking(["optimizer"], [["sgd"], ["adam"]], [2.0, 5.0], [1.0, 0.0], "val/loss", [[1.0, 3.0], [5.0]])
    dots = [np.asarray(line.get_xydata()).tolist() for line in figure.axes[0].lines if line.get_marker() == "."]
    assert dots == [[[0, 1], [0, 3]]], "one seed is its own mean"


def test_words_are_points_that_no_line_joins() -> None:
    figure = ranking(["optimizer"], [["sgd"], ["adam"]], [0.5, 0.25], [0.0, 0.0], "val/loss")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["sgd", "adam"]
    assert axes.lines[0].get_linestyle() == "None"


def test_two_settings_are_a_map() -> None:
    settings = [["adam", "0.1"], ["adam", "0.01"], ["sgd", "0.1"]]
    figure = ranking(["optimizer", "optimizer.lr"], settings, [1.0, 2.0, 3.0], [0.0] * 3, "val/loss")
    cells: NDArray[np.float64] = np.ma.filled(np.ma.asarray(figure.axes[0].images[0].get_array(), dtype=float), np.nan)
    assert cells.tolist()[0] == [2.0, 1.0], "numbers in order"
    assert np.isnan(cells[1, 0]) and cells[1, 1] == 3.0
    assert [text.get_text() for text in figure.axes[0].texts] == ["2", "1", "3"]


def test_two_settings_that_a_search_draws_are_points_on_a_plane() -> None:
    settings = [["3", "0.001"], ["1", "0.1"], ["2", "10"]]
    figure = ranking(["depth", "optimizer.lr"], settings, [1.0, 2.0, 3.0], [0.0] * 3, "val/loss")
    axes, bar = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), bar.get_ylabel()) == ("optimizer.lr", "depth", "val/loss")
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
    points, ring = axes.collections
    assert np.asarray(points.get_offsets()).tolist() == [[10, 2], [0.1, 1], [0.001, 3]]
    assert np.asarray(points.get_array()).tolist() == [3.0, 2.0, 1.0], "the best on top"
    assert np.asarray(ring.get_offsets()).tolist() == [[0.001, 3]]


def test_many_numbers_stand_on_parallel_axes_by_size() -> None:
    rates = [10.0 ** (place / 2) for place in range(13)]
    settings = [[str(rate), "x", "y"] for rate in rates]
    figure = ranking(["lr", "q", "r"], settings, [1.0] * 13, [0.0] * 13, "val/loss")
    axes = figure.axes[0]
    heights = [np.asarray(line.get_ydata())[0] for line in axes.lines if len(np.asarray(line.get_ydata())) == 3]
    assert heights[::-1] == pytest.approx([place / 12 for place in range(13)])
    assert [text.get_text() for text in axes.texts if text.get_text() not in "xy"] == ["1.0", "1000000.0"]


def test_more_settings_are_lines_through_parallel_axes() -> None:
    settings = [["a", "1", "x"], ["b", "2", "x"], ["a", "3", "y"]]
    figure = ranking(["p", "q", "r"], settings, [1.0, 2.0, 3.0], [0.0] * 3, "val/loss")
    lines = [line.get_ydata() for line in figure.axes[0].lines if len(np.asarray(line.get_ydata())) == 3]
    assert np.asarray(lines).tolist() == [[0, 1, 1], [1, 0.5, 0], [0, 0, 0]], "the best on top"


@pytest.mark.parametrize("scores", [[0.5], [1.0, 1.0], [1.0, float("inf")]])
@pytest.mark.parametrize("keys", [0, 1, 2, 3])
def test_odd_scores_are_drawn_all_the_same(scores: list[float], keys: int, tmp_path: Path) -> None:
    settings = [[f"{place}$"] * keys for place in range(len(scores))]
    figure = ranking([f"k{key}" for key in range(keys)], settings, scores, [0.0] * len(scores), "val/loss")
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "odd.png")


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


def test_a_sweep_is_ranked_again(place: Any) -> None:
    assert place.sweep("model.number=0,1") == 0
    first = (place.folder / "leaderboard.csv").read_bytes()
    assert main(["leaderboard", str(place.folder.relative_to(place.here))]) == 0
    assert (place.folder / "leaderboard.csv").read_bytes() == first


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
