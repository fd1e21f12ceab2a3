"""Figures of real runs: which fit, what they show, where they go."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import fulmen
from fulmen.cli.main import main
from fulmen.config.validate import check
from fulmen.data.source import Split
from fulmen.data.tensors import tensors
from fulmen.experiment.build import resume
from fulmen.experiment.load import Run
from fulmen.figures import classification, draw, landscape, network, regression
from fulmen.figures.context import RunContext
from fulmen.figures.options import FigureOptions
from fulmen.training.callbacks import weight_snapshots

Train = Callable[..., Run]
ALL = "figures=all"
FEW = ("data.train_size=200", "data.val_size=10", "data.test_size=10", "trainer.max_epochs=1")

FITTING = {
    ("data=wiggle",): "fit predictions nodes curves activations inside landscape",
    ("data=wiggle", "model=deep"): "fit predictions curves activations inside landscape",
    ("data=wiggle", "model.output_activation=tanh"): "fit predictions curves activations inside landscape",
    ("data=linear_5d",): "predictions curves activations pairs inside landscape importance",
    ("data=regression_1d", "model=linear"): "fit predictions curves inside landscape",
    ("data=circles",): "regions confusion curves activations pairs inside landscape calibration importance",
    ("data=blobs", "model=linear"): "regions confusion curves pairs inside landscape calibration importance",
    ("data=iris_species",): "confusion curves activations pairs inside landscape calibration importance",
    ("data=iris_petals", "model=two_layer"): "predictions curves activations pairs inside landscape importance",
    ("data=gaussian",): "predictions curves activations inside landscape importance",
    ("data=mnist_5k", "model=linear", *FEW): "confusion weights mistakes curves inside landscape calibration",
    ("data=mnist_5k", "model=mlp", *FEW): "confusion weights mistakes curves activations inside calibration",
    ("data=mnist_5k", "model=lenet", *FEW): "confusion mistakes curves activations inside calibration",
}


def subject(run: Run, *words: str) -> RunContext:
    """A run with its rows, scaled as the network was given them."""
    splits = check(fulmen.compose(words)).load()
    spec, scaling = run.predictor.spec, run.predictor.scaling
    batches = {name: tensors(scaling(split), spec.task, run.predictor.dtype) for name, split in splits.items()}
    return RunContext(run.predictor, batches, run.metrics, [])


def names(run: Run) -> set[str]:
    return {path.name for path in (run.folder / "figures").glob("*")}


def images(folder: Path) -> dict[str, list[int]]:
    """Steps of every image in TensorBoard."""
    board = EventAccumulator(str(next((folder / "tensorboard").iterdir())), {"images": 0, "histograms": 0}).Reload()
    return {tag: [event.step for event in board.Images(tag)] for tag in board.Tags()["images"]}


PAINTED = (("data=wiggle",), ("data=circles",), ("data=mnist_5k", "model=linear", *FEW))
"""Together these have every figure."""


@pytest.mark.parametrize("words", FITTING, ids=" ".join)
def test_all_that_fits_is_drawn(words: tuple[str, ...], train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    """Painting takes long, so figures that other words have, too, are made and not painted."""
    if words not in PAINTED:
        monkeypatch.setattr(draw, "pixels", lambda _: np.zeros((480, 640, 3), np.uint8))
    monkeypatch.setattr(landscape, "GRID", 3)
    run = train(*words, ALL, "figures.animation=false", max_epochs=2)
    assert names(run) == {f"{name}.png" for name in FITTING[words].split()}
    for path in (run.folder / "figures").iterdir():
        with Image.open(path) as image:
            assert image.size == (640, 480)


def test_default_draws_what_is_cheap_into_folder_and_tensorboard(train: Train) -> None:
    run = train("data=circles", "logger=tensorboard", "figures=default", max_epochs=2)
    assert names(run) == {"regions.png", "confusion.png", "curves.png"}
    board = EventAccumulator(str(next((run.folder / "tensorboard").iterdir())), {"scalars": 0}).Reload()
    assert max(board.Tags()["scalars"]) < min(images(run.folder)), "TensorBoard sorts cards by name: curves come first"
    assert images(run.folder) == {f"visuals/{name}": [20] for name in ("regions", "confusion", "curves")}


def test_nodes_sum_to_the_prediction_in_the_targets_units(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("data=wiggle", "data.scale=both", "trainer.precision=64-true", "model.hidden=[7]")
    run = train(*words, max_epochs=20)
    figure = regression.nodes(subject(run, *words))
    assert figure is not None
    *nodes, bias, total = figure.axes[0].get_lines()
    grid = np.asarray(total.get_xdata())
    prediction = run.predictor.scores_of(grid[:, None])[:, 0]
    summed = np.sum([np.asarray(line.get_ydata()) for line in nodes], axis=0) + np.asarray(bias.get_ydata())[0]
    assert len(nodes) == 7
    np.testing.assert_allclose(summed, prediction, atol=1e-6)
    np.testing.assert_allclose(total.get_ydata(), prediction, atol=1e-6)  # type: ignore[arg-type]


def test_fit_shows_rows_in_their_own_units(train: Train) -> None:
    words = ("data=wiggle", "data.scale=both")
    figure = regression.fit(subject(train(*words, max_epochs=2), *words))
    assert figure is not None
    rows: Split = check(fulmen.compose(words)).load()["train"]
    line = figure.axes[0].get_lines()[0]
    np.testing.assert_allclose(line.get_xdata(), rows.x[:, 0], atol=1e-5)  # type: ignore[arg-type]
    np.testing.assert_allclose(line.get_ydata(), rows.y[:, 0], atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [("data=linear_5d", "data.scale=both"), ("data=gaussian",), ("data=wiggle",)])
def test_predictions_stand_against_true_values(words: tuple[str, ...], train: Train) -> None:
    run = train(*words, max_epochs=2)
    figure = regression.predictions(subject(run, *words))
    assert figure is not None
    splits = check(fulmen.compose(words)).load()
    targets = min(splits["train"].y.shape[1], 3)
    assert len(figure.axes) == 2 * targets
    for number, name in enumerate(("train", "val")):
        if len(splits[name].x) > 1000:  # of which some are drawn
            continue
        found = run.predictor.scores_of(splits[name].x)
        for target in range(targets):
            upper, lower = (figure.axes[place].get_lines()[number] for place in (target, targets + target))
            true, predicted = splits[name].y[:, target], found[:, target]
            np.testing.assert_allclose(upper.get_xydata(), np.stack([predicted, true], 1), atol=1e-4)  # type: ignore[arg-type]
            np.testing.assert_allclose(lower.get_ydata(), true - predicted, atol=1e-4)  # type: ignore[arg-type]


def test_mistakes_are_those_of_the_network_most_confident_first(train: Train) -> None:
    words = ("data=mnist_5k", "model=linear", *FEW)
    run = train(*words)
    figure = classification.mistakes(subject(run, *words))
    assert figure is not None
    test = check(fulmen.compose(words)).load()["test"]
    chances = run.predictor.scores_of(test.x)
    wrong = np.flatnonzero(chances.argmax(1) != test.y)
    surest = wrong[chances.max(1)[wrong].argmax()]
    first = figure.axes[0]
    assert first.get_title() == f"{test.y[surest]}, predicted {chances[surest].argmax()}"
    np.testing.assert_allclose(first.images[0].get_array(), test.x[surest, 0])  # type: ignore[arg-type]


def test_class_weights_are_the_layers_rows(train: Train) -> None:
    words = ("data=mnist_5k", "model=linear", *FEW)
    run = train(*words)
    figure = network.weights(subject(run, *words))
    assert figure is not None
    weight = run.model.get_parameter("layers.1.weight").detach().numpy().reshape(10, 28, 28)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    np.testing.assert_allclose(shown[:10], weight)  # type: ignore[arg-type]


def test_derivatives_are_those_of_the_functions(train: Train) -> None:
    figure = network.activations(subject(train("data=circles", max_epochs=1), "data=circles"))
    assert figure is not None and "sigmoid" in figure.get_suptitle()
    (function, derivative), x = figure.axes[0].get_lines(), network.INPUTS
    np.testing.assert_allclose(function.get_ydata(), 1 / (1 + np.exp(-x)))  # type: ignore[arg-type]
    np.testing.assert_allclose(derivative.get_ydata(), np.exp(-x) / (1 + np.exp(-x)) ** 2)  # type: ignore[arg-type]


def test_the_animation_has_frames_from_the_first_weights_to_the_last(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No more than 5, here; the test of a run that goes on has one of each pass."""
    monkeypatch.setattr(weight_snapshots, "FRAMES", 5)
    run = train(
        "data=wiggle", "logger=tensorboard", "figures=none", "figures.animation=true", max_epochs=23, patience=99
    )
    with Image.open(run.folder / "figures" / "training.gif") as image:
        assert 3 <= getattr(image, "n_frames", 1) <= 5  # Pillow joins frames that look the same
    steps = images(run.folder)["visuals/training"]
    assert len(steps) == 5 and steps[0] == 0 and steps[-1] == 16 * 23 and steps == sorted(set(steps))
    gaps = np.diff(steps)[:-1]
    assert gaps.min() > 0 and gaps.max() <= 2 * gaps.min(), "evenly spread, but for the last one"


def test_a_large_network_has_no_animation_and_a_warning_says_why(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("data=circles", "model.hidden=[400,300]", "figures=none", "figures.animation=true", max_epochs=1)
    assert "no animation: the network has more than 100,000 parameters" in capsys.readouterr().err
    assert not (run.folder / "figures").exists()


def test_a_run_that_goes_on_shows_nothing_twice(train: Train) -> None:
    words = ("figures=none", "figures.regions=true", "figures.animation=true")
    folder = train("data=circles", "logger=tensorboard", *words, max_epochs=1).folder
    status = folder / "status.json"
    status.write_text(status.read_text().replace('"completed"', '"interrupted"'))  # as if killed after its figures
    resume(folder, verbose=False)
    assert images(folder)["visuals/regions"] == [10] and images(folder)["visuals/training"] == [0, 10]
    resume(folder, ["trainer.max_epochs=2"], verbose=False)
    shown = images(folder)
    assert shown["visuals/regions"] == [10, 20] and shown["visuals/training"] == [0, 10, 20]
    with Image.open(folder / "figures" / "training.gif") as image:
        assert getattr(image, "n_frames", 1) == 3


def test_histograms_come_once_an_interval_where_asked(train: Train) -> None:
    run = train("data=circles", "logger=tensorboard", "figures.histograms=true", max_epochs=3)
    board = EventAccumulator(str(next((run.folder / "tensorboard").iterdir())), {"histograms": 0}).Reload()
    parameters = {f"{kind}/{name}" for kind in ("weights", "gradients") for name, _ in run.model.named_parameters()}
    assert set(board.Tags()["histograms"]) == parameters
    last = board.Histograms("weights/layers.0.weight")
    assert [event.step for event in last] == [10, 20, 30] and last[-1].histogram_value.num == 20
    without = train("data=circles", "logger=tensorboard", max_epochs=1)
    assert not EventAccumulator(str(next((without.folder / "tensorboard").iterdir()))).Reload().Tags()["histograms"]


def test_histograms_are_of_the_weights_there_are(train: Train) -> None:
    run = train("data=circles", "logger=tensorboard", "figures.histograms=true", "weights=last", max_epochs=2)
    board = EventAccumulator(str(next((run.folder / "tensorboard").iterdir())), {"histograms": 0}).Reload()
    value = board.Histograms("weights/layers.0.weight")[-1].histogram_value
    weight = run.model.get_parameter("layers.0.weight").detach()
    assert (value.min, value.max, value.sum) == pytest.approx(
        (weight.min().item(), weight.max().item(), weight.sum().item()), rel=1e-5
    )


def test_a_figure_that_fails_is_one_line_and_takes_nothing_with_it(
    train: Train, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_subject: RunContext) -> None:
        raise RuntimeError("no\nink")

    monkeypatch.setitem(draw.FIGURES, "regions", fail)
    run = train("data=circles", "figures=default", max_epochs=1)
    assert names(run) == {"confusion.png", "curves.png"} and "test/accuracy" in run.metrics
    line = fail.__code__.co_firstlineno + 1
    assert (
        capsys.readouterr().err
        == f"fulmen: figure regions was not drawn: RuntimeError: no ink ({__file__}, line {line})\n"
    )


STOPS_EARLY = ["trainer.patience=1", "optimizer.lr=1e-9"]


@pytest.mark.parametrize(
    ("room", "words", "missing"),
    [
        (20_000, ["logger=tensorboard"], "regions curves"),
        (26_000, ["logger=none", "figures.animation=true", *STOPS_EARLY], "regions training"),
    ],
    ids=["TensorBoard", "stopped early"],
)
def test_figures_without_room_on_the_disk_are_drawn_by_resuming(
    room: int, words: list[str], missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    resource = pytest.importorskip("resource")  # its limit on a file's size stands for a full disk
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weight_snapshots, "FRAMES", 3)
    shown = ["figures=none", "figures.regions=true", "figures.curves=true"]
    every = ["data=circles", *shown, "trainer.max_epochs=3", *words]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        for words in ([*every, "run_dir=run"], ["resume=run"]):
            assert main(words) == 0
            said = capsys.readouterr().err
            cause = f"({Path('run/figures/regions.png')}: File too large)"
            assert f"could not be written: {', '.join(missing.split())} {cause}; fulmen resume=run draws them" in said
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not {path.stem for path in Path("run/figures").iterdir()} & {*missing.split()}
    record = [Path("run", name).read_bytes() for name in ("metrics.json", "history.csv", "config.yaml")]
    assert main(["resume=run"]) == 0 and capsys.readouterr().err == ""
    assert record == [Path("run", name).read_bytes() for name in ("metrics.json", "history.csv", "config.yaml")]
    assert main([*every, "run_dir=whole"]) == 0
    drawn, expected = (
        {path.name: path.read_bytes() for path in Path(run, "figures").iterdir()} for run in ("run", "whole")
    )
    assert drawn == expected and drawn.keys() > {"regions.png"}
    if "logger=tensorboard" in every:
        assert images(Path("run")) == images(Path("whole"))
    capsys.readouterr()
    assert main(["resume=run"]) == 0 and "nothing more to do" in "".join(capsys.readouterr())


def test_missing_figures_are_drawn_only_of_the_rows_and_the_record_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        np.save(f"{split}_x.npy", random.normal(size=(40, 2)))
        np.save(f"{split}_y.npy", np.arange(40) % 2)
    assert main(["data=arrays", "data.path=.", "logger=none", "run_dir=run", "trainer.max_epochs=1"]) == 0
    figure, status, metrics = (Path("run", name) for name in ("figures/curves.png", "status.json", "metrics.json"))
    figure.unlink()
    status.write_text(json.dumps({**json.loads(status.read_text()), "missing_figures": ["curves"]}))
    rows, measured = Path("train_x.npy").read_bytes(), metrics.read_text()

    for path, damage, why in (
        (Path("train_x.npy"), rows[:-8] + bytes(8), "the training data has changed"),
        (metrics, b"{", "metrics.json cannot be read"),
    ):
        path.write_bytes(damage)
        capsys.readouterr()
        assert main(["resume=run"]) == 1 and why in capsys.readouterr().err and not figure.exists()
        Path("train_x.npy").write_bytes(rows)
        metrics.write_text(measured)
    assert main(["resume=run"]) == 0 and figure.exists()
    assert json.loads(status.read_text())["missing_figures"] == []


def test_figures_of_the_training_are_drawn_again_from_the_checkpoint(
    train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where there was no room for them."""
    monkeypatch.setattr(landscape, "GRID", 3)
    run = train("data=circles", "figures.inside=true", "figures.landscape=true", max_epochs=3, patience=9)
    whole = {path.name: path.read_bytes() for path in (run.folder / "figures").iterdir()}
    assert whole.keys() == {"inside.png", "landscape.png"}
    for name in whole:
        (run.folder / "figures" / name).unlink()
    status = run.folder / "status.json"
    status.write_text(json.dumps({**json.loads(status.read_text()), "missing_figures": ["inside", "landscape"]}))
    resume(run.folder, verbose=False)
    assert {path.name: path.read_bytes() for path in (run.folder / "figures").iterdir()} == whole


def test_sweeps_draw_only_what_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["-m", "data=circles", "logger=none", "trainer.max_epochs=1", "seed=0"]
    assert main(words) == 0 and not list(tmp_path.rglob("figures/*.png"))
    (status,) = tmp_path.rglob("status.json")
    assert "figures=none" not in status.read_text(), "the words typed are those typed"
    assert main([*words, "figures=none", "figures.curves=true"]) == 0
    assert [path.name for path in tmp_path.rglob("figures/*.png")] == ["curves.png"]


def test_a_key_that_is_no_yes_or_no_is_refused(refused: Callable[..., str]) -> None:
    assert "figures.fit is 'maybe', but must be true or false" in refused("figures.fit=maybe")


def test_choices_have_a_key_for_each_figure() -> None:
    keys = [key for key in FigureOptions.__dataclass_fields__ if key != "own"]
    assert set(draw.FIGURES) == {*keys} - {"animation", "histograms"}
    assert set(draw.FIGURES) == {name for words in PAINTED for name in FITTING[words].split()}
    wanted = {name: fulmen.compose([f"figures={name}"]).figures for name in ("none", "all")}
    assert not [key for key in keys if wanted["none"][key]]
    assert [key for key in keys if not wanted["all"][key]] == ["histograms"]


@pytest.mark.parametrize("data", ["wiggle", "circles"])
def test_of_very_many_rows_some_from_everywhere_are_shown(data: str, train: Train) -> None:
    """And the figure says how many; of a thousand all are."""
    run = train(f"data={data}", "data.train_size=1000", max_epochs=1)
    for size, said in ((1000, ""), (3500, ", 1,000 of 3,500")):
        made = subject(run, f"data={data}", f"data.train_size={size}")
        whole = made.splits["train"].take(slice(None))
        whole.x[:, 0] = torch.arange(size)
        found = np.searchsorted(made.features(whole.x)[:, 0], made.points("train")[0][:, 0])
        assert len(np.unique(found)) == 1000 and np.diff(found).max() < 2 * size / 1000
        assert made.shown("train") == said
        figure = regression.fit(made) if data == "wiggle" else classification.regions(made)
        assert figure is not None
        legend = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
        assert f"train{said}" in legend if data == "wiggle" else figure.axes[0].get_title().endswith(f"data{said}")
