"""`fulmen compare`: what differs, what came of it, and the picture."""

import io
import itertools
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

import fulmen
from fulmen.cli import compare as tables
from fulmen.cli.main import main
from fulmen.experiment.load import Run
from fulmen.figures import plots
from fulmen.figures.plots import Curve, curves
from fulmen.figures.plots.bands import Band, bands
from fulmen.runs import settings
from fulmen.runs.folder import read

Train = Callable[..., Run]
Read = Callable[[Run], dict[str, list[float]]]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What the command says, run where the runs are."""

    def say(*words: str) -> str:
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        assert main(["compare", *words]) == 0
        return capsys.readouterr().out

    return say


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn from now on."""
    made: list[Figure] = []

    def draw(runs: list[Curve]) -> Figure:
        made.append(curves(runs))
        return made[-1]

    monkeypatch.setattr(plots, "curves", draw)
    return made


def rows(said: str) -> dict[str, list[str]]:
    """The cells of every row of every table, by the first one."""
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]
    return {first: cells for first, *cells in lines}


def test_settings_that_differ_stand_side_by_side_and_the_others_are_counted(
    train: Train, compare: Callable[..., str]
) -> None:
    train("data=circles", max_epochs=2)
    train("data=circles", "model=deep", "optimizer.lr=0.25", max_epochs=2)
    said = compare("run0", "run1")
    there = rows(said)
    assert there["model"] == ["shallow", "deep"] and there["optimizer.lr"] == ["0.01", "0.25"]
    assert there["model.hidden"] == ["[10]", "[20,20]"]
    shown = {key for key in there if key[0].islower() and "/" not in key} - {"parameters"}
    assert shown == {"model", "model.hidden", "model.activation", "optimizer.lr"}
    (count,) = re.findall(r"(\d+) other settings are the same", said)
    everything = rows(compare("run0", "run1", "all=true"))
    assert everything["seed"] == ["0", "0"] and everything["trainer.max_epochs"] == ["2", "2"]
    equal = {key for key in everything if key[0].islower() and "/" not in key} - shown - {"parameters"}
    assert len(equal) == int(count)


def test_the_best_of_each_row_is_marked(train: Train, compare: Callable[..., str]) -> None:
    runs = [train("model=deep", "optimizer.lr=" + lr, max_epochs=2) for lr in ("0.001", "0.02", "0.005")]
    said = compare("run0", "run1", "run2")
    there = rows(said)
    for split in ("train", "val", "test"):
        for metric, best in (("loss", min), ("accuracy", max), ("f1", max), ("auroc", max)):
            figure = [run.metrics[f"{split}/{metric}"] for run in runs]
            assert len(set(figure)) > 1, "else there would be nothing to mark"
            expected = [f"{value:.4g}" + " *" * (value == best(figure)) for value in figure]
            assert there[f"{split}/{metric}"] == expected
    assert there["parameters"] == ["501"] * 3, "neither more nor fewer are better"
    assert "one run each, so the best may be luck" in said
    assert "train/confusion_matrix" not in there


def test_r2_is_maximized_and_errors_minimized(train: Train, compare: Callable[..., str]) -> None:
    runs = [train("data=linear_1d", "model=linear", "optimizer.lr=" + lr, max_epochs=2) for lr in ("0.001", "0.1")]
    there = rows(compare("run0", "run1"))
    for metric, best in (("mse", np.argmin), ("mae", np.argmin), ("r2", np.argmax)):
        stars = [cell.endswith(" *") for cell in there[f"val/{metric}"]]
        assert stars.index(True) == best([run.metrics[f"val/{metric}"] for run in runs]) and sum(stars) == 1


def test_losses_of_different_kinds_are_not_ranked(train: Train, compare: Callable[..., str]) -> None:
    train("data=circles", max_epochs=1)
    train("data=circles", "loss=mae", max_epochs=1)
    said = compare("run0", "run1")
    assert not any("*" in cell for cell in rows(said)["val/loss"]) and "losses are of different kinds" in said


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["data=moons"], "data=circles, data=moons"),
        (["data=circles", "trainer.overfit=1"], "trainer.overfit=null, trainer.overfit=1"),
    ],
)
def test_no_metric_of_different_data_is_the_best(
    words: list[str], named: str, train: Train, compare: Callable[..., str]
) -> None:
    train("data=circles", max_epochs=1)
    train(*words, max_epochs=1)
    said = compare("run0", "run1")
    assert "*" not in said and f"the data differ ({named}), so none of them is best" in said


def test_a_run_that_did_not_complete_says_why(train: Train, compare: Callable[..., str], tmp_path: Path) -> None:
    done = train("data=circles", max_epochs=1)
    with pytest.raises(ArithmeticError) as error:
        train("data=regression_1d", "model=linear", "optimizer=sgd", "optimizer.lr=1e9", max_epochs=20)
    killed = tmp_path / "killed"
    shutil.copytree(done.folder, killed)
    (killed / "metrics.json").unlink()
    set_state(killed, "running")
    there = rows(compare("run0", "run1", "killed"))
    seconds = json.loads((done.folder / "status.json").read_text())["seconds"]
    assert there["1"] == ["run0", "completed", f"{seconds:.2f}", ""]
    assert there["2"][:2] == ["run1", "diverged"] and there["2"][-1] == str(error.value)
    assert there["3"][1] == "interrupted" and there["3"][-1] == "the process was killed"
    assert there["val/accuracy"][1:] == ["", ""]


@pytest.mark.parametrize(("file", "content"), [("metrics.json", "{"), ("status.json", None), ("config.yaml", "[")])
def test_a_damaged_run_is_named_and_the_others_are_compared(
    file: str, content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "c"):
        assert main(["data=circles", "trainer.max_steps=1", "logger=none", "figures=none", f"run_dir=runs/{name}"]) == 0
    damaged = Path("runs/b") / file
    damaged.unlink() if content is None else damaged.write_text(content)
    capsys.readouterr()
    assert main(["compare", "runs"]) == 1
    said = capsys.readouterr().out
    assert f"damaged: {damaged} cannot be read" in said
    assert [cells[0] for first, cells in rows(said).items() if first in ("1", "2")] == ["runs/a", "runs/c"]
    assert "val/loss" in rows(said)


def test_a_run_that_goes_on_is_said_to(
    train: Train, compare: Callable[..., str], hold: Callable[[Path], None], tmp_path: Path
) -> None:
    for name in ("run0", "run1"):
        train("data=circles", max_epochs=1)
        set_state(tmp_path / name, "running")
    hold(tmp_path / "run1")
    there = rows(compare("run0", "run1"))
    assert there["1"][1] == "interrupted" and there["2"][1] == "running"


def test_what_is_the_same_or_neither_more_nor_less_is_not_marked() -> None:
    rows = tables.finals([{"val/loss": 0.5, "parameters": 1}, {"val/loss": 0.5, "parameters": 2}, {"val/f1": None}])
    assert rows == {"val/loss": ["0.5", "0.5", ""], "parameters": ["1", "2", ""]}


@pytest.mark.parametrize("width", [23, 44, 45, 80, 1000])
def test_a_terminal_gets_as_many_runs_at_a_time_as_it_has_room_for(width: int) -> None:
    rows = {"val/loss": [f"[bold]0.{number:04} *[/]" for number in range(30)], "seed": ["1"] * 30}
    console = Console(width=width, record=True, file=io.StringIO())
    said = []
    for table in tables.side_by_side("final figures", rows, width):
        console.print(table)
        text = console.export_text()
        assert "…" not in text and text.count("│ val/loss") == 1
        said.append(re.findall(r"0\.\d{4} \*", text))
    assert list(itertools.chain(*said)) == [f"0.{number:04} *" for number in range(30)]
    assert not list(tables.side_by_side("nothing", {}, width))
    assert {len(row) for row in said[:-1]} <= {max(1, (width - 12) // 11)}, "8 letters and 3 of a border each"


def set_state(folder: Path, state: str) -> None:
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "state": state}))


def test_the_lines_are_the_histories(
    train: Train, history: Read, compare: Callable[..., str], drawn: list[Figure], tmp_path: Path
) -> None:
    runs = [train("data=circles", "optimizer=" + name, max_epochs=3) for name in ("sgd", "adam")]
    assert "picture: both.svg" in compare("run0", "run1", "output=both.svg")
    assert "<svg" in (tmp_path / "both.svg").read_text() and not list(tmp_path.glob(".tmp-*"))
    (figure,) = drawn
    lines = figure.axes[0].get_lines()
    for number, run in enumerate(runs):
        columns = history(run)
        for line, split, style in zip(lines[2 * number :], ("train", "val"), ("--", "-"), strict=False):
            np.testing.assert_array_equal(line.get_xdata(), columns["step"])
            np.testing.assert_array_equal(line.get_ydata(), columns[f"{split}/loss"])
            assert line.get_linestyle() == style
    colours = [line.get_color() for line in lines]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    (legend,) = figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    assert said == ["train", "validation", "1 optimizer=sgd", "2 optimizer=adam"]


def test_data_without_validation_has_one_line_a_run(
    train: Train, compare: Callable[..., str], drawn: list[Figure]
) -> None:
    for seed in "01":
        train("data=circles", "data.val_size=0", "score=train/loss", "seed=" + seed, max_epochs=1)
    compare("run0", "run1")
    assert [line.get_linestyle() for line in drawn[0].axes[0].get_lines()] == ["--", "--"]


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([1, 0.011], "linear"), ([1, 0.009], "log"), ([1, 0.009, np.nan, np.inf], "log"), ([1, 0.001, -1], "linear")],
)
def test_more_than_two_decades_want_a_logarithm(losses: list[float], scale: str) -> None:
    figure = curves([Curve("a", np.arange(len(losses), dtype=float), np.array(losses, float), None)])
    assert figure.axes[0].get_yscale() == scale


def test_every_run_has_a_colour_of_its_own_and_a_dollar_is_a_dollar(tmp_path: Path) -> None:
    one = np.ones(1)
    figure = curves([Curve(f"{number} a$ _$", one, one, one) for number in range(30)])
    assert len({str(line.get_color()) for line in figure.axes[0].get_lines()}) == 30
    figure.savefig(tmp_path / "many.png")


@pytest.mark.usefixtures("unpainted")
def test_a_sweep_stands_for_its_runs_each_of_them_once(
    compare: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["-m", "data=circles", "logger=none", "trainer.max_epochs=1", "seed=range(11)"]) == 0
    (sweep,) = (tmp_path / "logs" / "sweeps").iterdir()
    there = rows(compare(str(sweep), f"{sweep}/3", f"{sweep}/../{sweep.name}/3"))
    assert there["seed"] == [str(number) for number in range(11)]


@pytest.mark.usefixtures("unpainted")
def test_seeds_are_a_band(compare: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[Mapping[str, Sequence[Band]]] = []

    def draw(metrics: Mapping[str, Sequence[Band]]) -> Figure:
        made.append(metrics)
        return bands(metrics)

    monkeypatch.setattr("fulmen.figures.plots.bands.bands", draw)
    words = ("data=circles", "logger=none", "trainer.max_epochs=8", "hydra/launcher=vectorized")
    assert main(["-m", *words, "seed=range(3)", "optimizer=sgd,adam"]) == 0
    (sweep,) = (tmp_path / "logs" / "sweeps").iterdir()
    made.clear()
    said = compare(str(sweep))
    assert "*" not in said and "fulmen leaderboard with these folders compares configurations" in said
    (found,) = made
    assert {metric: [(each.name, each.seeds) for each in of] for metric, of in found.items()} == {
        "val/loss": [("optimizer=adam", 3), ("optimizer=sgd", 3)],
        "train/loss": [("optimizer=adam", 3), ("optimizer=sgd", 3)],
    }
    expected = [np.mean([read(sweep / str(job + at)).history["val/loss"] for job in (0, 2, 4)], 0) for at in (1, 0)]
    np.testing.assert_allclose([each.mean for each in found["val/loss"]], expected)
    assert expected[0][-1] < expected[1][-1], "the best is first, and has the first colour"
    compare(f"{sweep}/0", f"{sweep}/1", f"{sweep}/2", f"{sweep}/3")
    assert [(each.name, each.seeds) for each in made[1]["val/loss"]] == [("optimizer=adam", 2), ("optimizer=sgd", 2)]
    compare(f"{sweep}/0", f"{sweep}/2")
    assert len(made) == 2, "two runs are two curves"


def test_runs_without_a_row_have_no_picture(train: Train, compare: Callable[..., str], tmp_path: Path) -> None:
    train("data=circles", max_epochs=1)
    (tmp_path / "run0" / "history.csv").write_text("")
    shutil.copytree(tmp_path / "run0", tmp_path / "again")
    said = compare("run0", "again")
    assert "no picture" in said and re.search(r"all \d+ settings are the same", said)
    assert not (tmp_path / "compare.png").exists()


def test_a_row_that_is_being_written_does_not_count(train: Train, tmp_path: Path) -> None:
    folder = train("data=circles", max_epochs=2).folder
    before = read(folder).history
    with (folder / "history.csv").open("a") as file:
        file.write("30,3.0,0.")
    assert read(folder).history == before and len(before["step"]) == 2


def test_names_are_the_fewest_words_that_tell_runs_apart() -> None:
    runs = [
        {"optimizer": name, "optimizer.lr": lr, "optimizer.eps": eps, "seed": 1}
        for name, eps in (("adam", 1e-8), ("sgd", None))
        for lr in (0.1, 1)
    ]
    assert settings.names(runs) == [
        "optimizer=adam optimizer.lr=0.1",
        "optimizer=adam optimizer.lr=1",
        "optimizer=sgd optimizer.lr=0.1",
        "optimizer=sgd optimizer.lr=1",
    ]
    assert settings.names([{"a": 1}, {"a": 1.0}]) == ["", ""], "the same number"
    assert settings.differing([{"a": None}, {}]) == ["a"], "null is a value"


def test_targets_tell_only_what_choices_do_not() -> None:
    one = settings.settings({"model": {"_target_": "a", "_partial_": True}, "run_dir": "x", "choices": {"model": "m"}})
    assert one == {"model": "m", "model._target_": "a"}
    assert settings.differing([one, {"model": "n", "model._target_": "b"}]) == ["model"]
    assert settings.differing([one, {"model": "m", "model._target_": "b"}]) == ["model._target_"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "null"), (True, "true"), ([1, [0.5]], "[1,[0.5]]"), ("x" * 40 + "end", "x" * 28 + "end")],
)
def test_values_are_short_and_as_typed(value: object, shown: str) -> None:
    assert settings.short(value).lstrip("…") == shown and len(settings.short(value)) <= settings.LONGEST


def spoil(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


WRONG: dict[str, tuple[Callable[[Path], object] | None, str]] = {
    "": (None, r"needs two runs or more, and none is named"),
    "run0": (None, r"needs two runs or more, and run0 is only one"),
    "run0 ./run0": (None, r"and run0 is only one"),
    "run0 rnu1": (None, r"there is no folder rnu1; did you mean run1\?"),
    "run0 far/away": (None, r"there is no folder far/away; runs are in logs/runs"),
    "run0 run1/checkpoints": (None, r"there is no run in run1/checkpoints; runs are in"),
    "run0 run1 output=a.jpeg": (
        None,
        r"output=a.jpeg must end in one of .png, .pdf, .svg",
    ),
    "run0 run1 output=no/a.png": (None, r"output=no/a.png cannot be written: no is not a folder"),
    "run0 run1 output=folder.png": (lambda run: (run.parent / "folder.png").mkdir(), r"folder.png is a folder"),
    "run0 run1 ouput=a.png": (None, r"there is no option ouput=; did you mean output\?"),
    "run0 run1 all=yes": (None, r"all is 'yes', but must be one of true, false"),
    "run0 run1 --all": (None, r"there is no option --all"),
    "run0 run1 1": (spoil("config.yaml", "a: [1"), r"run1.config.yaml cannot be read: .*"),
    "run0 run1 2": (spoil("config.yaml", "just words"), r"run1.config.yaml cannot be read: it holds 'just words'"),
    "run0 run1 3": (lambda run: (run / "config.yaml").unlink(), r"there is no run in run1; did you mean run0\?"),
    "run0 run1 4": (spoil("metrics.json", '{"val/loss": 0.'), r"run1.metrics.json cannot be read: .*line 1"),
    "run0 run1 5": (spoil("status.json", ""), r"run1.status.json cannot be read"),
    "run0 run1 6": (spoil("history.csv", "step,train/loss\n1,2\n1\n"), r"line 3 has 1 values for 2 columns"),
    "run0 run1 7": (spoil("history.csv", "step,train/loss\n1,x\n"), r"run1.history.csv cannot be read: .*'x'"),
    "run0 run1 8": (spoil("history.csv", "a,b\n1,2\n"), r"line 1 is 'a,b', and names no step"),
    "run0 run1 0": (
        lambda run: (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("\ntrainer:", "\nt:")),
        "it is not the configuration of a run",
    ),
    "run0 run1 9": (lambda run: (run / "metrics.json").write_bytes(b"\xff"), r"metrics.json cannot be read: .*utf-8"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run to copy."""
    words = ["data=circles", "logger=none", "figures=none", "accelerator=cpu", "trainer.max_epochs=1"]
    return fulmen.train(fulmen.compose(words), folder=tmp_path_factory.mktemp("a") / "run", verbose=False).folder


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_in_a_sentence(
    words: str, trained: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    for name in ("run0", "run1"):
        shutil.copytree(trained, tmp_path / name)
    spoiling, sentence = WRONG[words]
    if spoiling is not None:
        spoiling(tmp_path / "run1")
    assert re.search(sentence, refused("compare", *re.sub(r" \d$", "", words).split()))


def test_a_picture_that_cannot_be_written_leaves_the_old_one(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    for _ in range(2):
        train("data=circles", max_epochs=1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "compare.png").write_text("the old one")
    monkeypatch.setattr("os.fsync", full)
    assert main(["compare", "run0", "run1"]) == 1
    assert "cannot write compare.png: No space left on device; name another place" in capsys.readouterr().err
    assert (tmp_path / "compare.png").read_text() == "the old one" and not list(tmp_path.glob(".tmp-*"))
