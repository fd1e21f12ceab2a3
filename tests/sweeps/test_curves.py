"""Bands over seeds: the picture against NumPy's percentiles, TensorBoard's charts read by TensorBoard itself."""

import csv
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar import layout_pb2

from fulmen.cli.main import main
from fulmen.figures.plots.bands import Band, band, bands
from fulmen.figures.plots.style import COLOURS
from fulmen.sweeps.curves import of_board
from fulmen.sweeps.leaderboard import Board, Row

WORDS = ("hydra/launcher=vectorized", "figures=none", "logger=none", "trainer.max_epochs=6", "data.train_size=64")


def test_a_band_holds_most_seeds() -> None:
    values = np.random.default_rng(0).normal(size=(10, 5))
    found = band("a", [np.arange(5.0)] * 10, [*values])
    np.testing.assert_allclose(found.mean, values.mean(0))
    np.testing.assert_allclose([found.low, found.high], np.percentile(values, (10, 90), axis=0))
    assert found.seeds == 10


def test_a_band_ends_where_fewer_than_half_of_the_runs_are_left() -> None:
    steps = [np.arange(5.0), np.arange(5.0), np.arange(3.0), np.arange(2.0)]
    found = band("a", steps, [each * 1.0 for each in steps])
    assert found.steps.tolist() == [0, 1, 2, 3, 4]
    found = band("a", steps[1:], [each * 1.0 for each in steps[1:]])
    assert found.steps.tolist() == [0, 1, 2] and found.mean.tolist() == [0, 1, 2]


def test_the_first_configurations_have_colours_and_the_rest_is_grey() -> None:
    one = np.arange(3.0)
    figure = bands({"val/loss": [Band(f"lr={place}", 4, one, one + place, one, one + 2) for place in range(10)]})
    (axes,) = figure.axes
    lines = [to_hex(line.get_color()) for line in axes.lines]
    assert lines[::-1][: len(COLOURS)] == [to_hex(colour) for colour in COLOURS]
    assert set(lines[::-1][len(COLOURS) :]) == {to_hex("0.75")}
    assert len(axes.collections) == len(COLOURS), "no band is grey"
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "3 others"
    figure = bands({"val/loss": [Band(f"lr={place}", 4, one, one, one, one) for place in range(1 + len(COLOURS))]})
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "1 other"


def test_a_legend_tells_long_names_apart() -> None:
    one = np.arange(3.0)
    words = "optimizer.lr=0.1 init=he_normal model.hidden=[64,64,64]"
    found = [Band(f"{words} penalty={penalty} seed={penalty}", 4, one, one, one, one) for penalty in ("l1", "l2")]
    (legend,) = bands({"val/loss": found}).legends
    assert [text.get_text() for text in legend.get_texts()] == ["penalty=l1 seed=l1", "penalty=l2 seed=l2"]
    assert legend.get_title().get_text().split() == ["all:", *words.split()]
    names = [f"model.activation=leaky_{at} optimizer.weight_decay={at} model.dropout={at}" for at in range(2)]
    (legend,) = bands({"val/loss": [Band(name, 4, one, one, one, one) for name in names]}).legends
    shown = [text.get_text() for text in legend.get_texts()]
    assert [text.replace("\n", " ") for text in shown] == names and legend.get_title().get_text() == ""
    assert max(len(line) for text in shown for line in text.splitlines()) < 50


def test_a_seed_that_ran_twice_is_one(tmp_path: Path) -> None:
    rows = []
    for job, seed in enumerate("001"):
        folder = tmp_path / str(job)
        folder.mkdir()
        (folder / "history.csv").write_text("step,train/loss,val/loss\n1,2,2\n2,1,1\n")
        settings = {"optimizer.lr": "0.1", "seed": seed}
        rows.append(Row(str(job), "completed", settings, {"val/loss": 1.0}, folder))
    found = of_board(Board("val/loss", ["optimizer.lr", "seed"], rows))
    assert [one.seeds for one in found["val/loss"]] == [2]


@pytest.mark.parametrize(
    ("metric", "awful"), [("val/loss", 1e6), ("val/accuracy", 0.1), ("val/loss", np.inf), ("val/r2", -1e9)]
)
def test_what_ends_far_worse_leaves_the_axes_to_the_others(metric: str, awful: float) -> None:
    steps, ends = np.arange(3.0), [0.95, 0.93, 0.9, 0.92]
    found = [Band(f"lr={end}", 2, steps, steps * 0 + end, steps * 0 + end - 0.01, steps * 0 + end) for end in ends]
    far = Band("lr=9", 2, steps, steps * 0 + awful, steps * 0 + awful, steps * 0 + awful)
    (axes,) = bands({metric: [*found, far]}).axes
    low, high = axes.get_ylim()
    assert 0.8 < low < 0.89 and 0.95 < high < 1 and axes.get_title().startswith("1 of 5 end far worse")
    (axes,) = bands({metric: found}).axes
    assert axes.get_title() == ""


def test_a_sweep_has_a_picture_and_charts_of_its_configurations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["-m", *WORDS, "seed=range(4)", "optimizer.lr=0.1,0.01"]) == 0
    assert "curves.png" in capsys.readouterr().out
    (sweep,) = Path("logs/sweeps").iterdir()
    assert (sweep / "curves.png").stat().st_size > 0
    events = EventAccumulator(str(sweep / "tensorboard" / "bands"))
    events.Reload()
    (config,) = events.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(config.tensor_proto.string_val[0])
    charts = {chart.title: [series.value for series in chart.margin.series] for chart in layout.category[0].chart}
    assert list(charts) == ["val/loss", "train/loss"] and all(len(series) == 2 for series in charts.values())
    for tag in charts["val/loss"]:
        rate = tag.split("=")[1].split("/")[0]
        of_rate = [job for job in range(8) if f"lr: {rate}\n" in (sweep / str(job) / "config.yaml").read_text()]
        texts = [(sweep / str(job) / "history.csv").read_text("utf-8") for job in of_rate]
        rows = [list(csv.DictReader(text.splitlines())) for text in texts]
        expected = np.array([[float(row["val/loss"]) for row in run] for run in rows])
        assert len(of_rate) == 4
        np.testing.assert_allclose([point.value for point in events.Scalars(tag)], expected.mean(0), rtol=1e-6)
        low = events.Scalars(tag.replace("/mean", "/low"))
        np.testing.assert_allclose([point.value for point in low], np.percentile(expected, 10, axis=0), rtol=1e-6)
