"""Metrics that the validation rows leave undefined or infinite: refused where one is the score, else named once."""

import csv
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike

import fulmen
from fulmen.cli.main import main
from fulmen.runs import checkpoints

Refused = Callable[..., str]
WORDS = ("data=arrays", "data.path=arrays", "model=linear", "logger=none", "figures=none", "run_dir=run")
X = np.linspace(-1, 1, 40)[:, None]
LABELS = (X[:, 0] > 0).astype(int)


@pytest.fixture
def arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a folder of arrays: 40 training rows with these targets, and validation rows."""
    monkeypatch.chdir(tmp_path)

    def write(y: ArrayLike, val_y: ArrayLike, val_x: ArrayLike | None = None) -> None:
        (tmp_path / "arrays").mkdir()
        val_x = X[: len(np.asarray(val_y))] if val_x is None else val_x
        for name, values in {"train_x": X, "train_y": y, "val_x": val_x, "val_y": val_y}.items():
            np.save(tmp_path / "arrays" / f"{name}.npy", np.asarray(values))

    return write


def history() -> list[Mapping[str, str]]:
    with Path("run/history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


CASES = {
    "constant": (2 * X, np.ones((5, 1)), "r2", "has one value of the target"),
    "one row": (2 * X, np.ones((1, 1)), "r2", "has one row"),
    "one class": (LABELS, np.ones(5, int), "auroc", "has no row of class"),
    "one class, f1": (LABELS, np.zeros(5, int), "f1", "has no row of class"),
    "one class is missing": (np.arange(40) % 3, np.arange(10) % 2, "auroc", "has no row of class '2'"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_undefined_score_is_refused(case: str, arrays: Callable[..., None], refused: Refused) -> None:
    y, val_y, metric, why = CASES[case]
    arrays(y, val_y)
    said = refused(*WORDS, f"score=val/{metric}")
    assert f"score=val/{metric} is undefined, because the validation split {why}" in said
    assert "use score=val/loss" in said


@pytest.mark.parametrize("case", CASES)
def test_an_undefined_metric_is_named_once_and_left_empty(
    case: str, arrays: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    y, val_y, metric, why = CASES[case]
    arrays(y, val_y)
    assert main([*WORDS, "trainer.max_epochs=3"]) == 0
    said = capsys.readouterr().err
    assert said.count(why) == 1 and said.count("\n") == 1 and f"val/{metric}" in said
    assert len(history()) == 3 and {row[f"val/{metric}"] for row in history()} == {""}
    assert {f"val/{metric}", f"train/{metric}"} & json.loads(Path("run/metrics.json").read_text()).keys() == {
        f"train/{metric}"
    }


def test_validation_rows_that_are_infinite_in_the_runs_precision_are_refused(
    arrays: Callable[..., None], refused: Refused
) -> None:
    arrays(2 * X, np.array([[1.0], [1e200]]))
    said = refused(*WORDS, "data.scale=none")
    assert "infinite in trainer.precision=32-true" in said and "use trainer.precision=64-true" in said


LARGE = {
    "a target": (np.array([[1.0], [1e30]]), X[:2], "the target 'y' is 1e+30 in row 2 of the val split"),
    "a feature": (X[:3], np.array([[1.0], [1.0], [1e38]]), "the feature 'x1' is 1e+38 in row 3 of the val split"),
    "a negative target": (np.array([[-3e20], [1.0]]), X[:2], "the target 'y' is -3e+20 in row 1 of the val split"),
    "a sum": (np.full((40, 1), 1e19), X, "the target 'y' is 1e+19 in row 1 of the val split"),
}


@pytest.mark.parametrize("case", LARGE)
@pytest.mark.parametrize("scale", ["none", "both"])
def test_rows_that_cannot_be_measured_are_named_before_anything_is_written(
    case: str, scale: str, arrays: Callable[..., None], refused: Refused
) -> None:
    val_y, val_x, sentence = LARGE[case]
    arrays(2 * X, val_y, val_x)
    said = refused(*WORDS, f"data.scale={scale}", "trainer.patience=2")
    assert "val/loss would be infinite in trainer.precision=32-true" in said and sentence in said
    assert "optimizer.lr" not in said


def test_a_value_that_is_large_beside_the_training_rows_is_said_in_their_std(
    arrays: Callable[..., None], refused: Refused
) -> None:
    arrays(2e-20 * X, np.array([[0.0], [1.0], [7.0]]))
    said = refused(*WORDS, "data.scale=both")
    assert "the target 'y' is 1 (8.4e+19 std from the mean in training) in row 2 of the val split" in said


def test_the_row_of_a_table_is_that_of_its_file(tmp_path: Path, refused: Refused) -> None:
    """Split by time, from a file whose rows are in another order."""
    lines = [f"{100 - day},{day % 7},{day % 5}" for day in range(100)]
    lines[3] = "97,3,-9.97e36"
    (tmp_path / "sensor.csv").write_text("\n".join(["day,load,y", *lines]) + "\n")
    words = ["data=table", "data.path=sensor.csv", "data.target=y", "data.time=day", "data.test_size=0"]
    said = refused(*words, "logger=none", "figures=none", "run_dir=run")
    assert "the target 'y' is -9.97e+36 in row 4 of sensor.csv, which is in the val split" in said


def test_a_row_that_cannot_be_evaluated_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"{row % 7},{row % 5}" for row in range(60)]
    for name, last in {"table.csv": "1,2", "new.csv": "1,-9.97e36"}.items():
        (tmp_path / name).write_text("\n".join(["load,y", *lines, last]) + "\n")
    words = ["data=table", "data.path=table.csv", "data.target=y", "data.task=regression", "trainer.max_epochs=1"]
    assert main([*words, "logger=none", "figures=none", "run_dir=run"]) == 0
    for command in (["data.path=new.csv"], ["data.path=new.csv", "split=all"]):
        assert main(["evaluate", "run", *command]) == 1
        assert "the target 'y' is -9.97e+36 in row 61 of new.csv" in capsys.readouterr().err


def test_a_test_row_that_cannot_be_measured_is_named_before_training(
    arrays: Callable[..., None], refused: Refused
) -> None:
    arrays(2 * X, X[:5])
    np.save("arrays/test_x.npy", X[:3])
    np.save("arrays/test_y.npy", np.array([[1.0], [1e25], [2.0]]))
    assert "test/loss would be infinite" in (said := refused(*WORDS, "data.scale=none"))
    assert "the target 'y' is 1e+25 in row 2 of the test split" in said


SHARE = """\
def share(out, y, task):
    return ((out - y) / y).abs().mean()
"""


@pytest.mark.parametrize("watching", ["trainer.patience=2", "scheduler=plateau", "weights=best"])
@pytest.mark.parametrize("case", ["a feature", "a feature and the score", "a loss of one's own"])
def test_what_the_split_does_not_show_ends_the_run_at_the_first_interval(
    case: str, watching: str, arrays: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["--config-dir", "own", "loss=own", "allow_targets=[own_loss]"]
    if case == "a feature":  # which weights of zero hide
        arrays(2 * X, X[:3], np.array([[1.0], [1.0], [1e37]]))
        own, sentence = ["init=zeros"], "the feature 'x1' is 1e+37 in row 3 of the val split"
    elif case == "a feature and the score":
        arrays(2 * X, X[:3], np.array([[1.0], [1.0], [1e25]]))
        own = ["init=zeros", "loss=mae", "score=val/mse"]
        sentence = "the feature 'x1' is 1e+25 in row 3 of the val split"
    else:
        arrays(2 * X + 5, np.array([[1.0], [0.0], [1.0]]))
        Path("own/loss").mkdir(parents=True)
        Path("own/own_loss.py").write_text(SHARE)
        Path("own/loss/own.yaml").write_text("# own\n_target_: own_loss.share\n_partial_: true\n")
        sentence = "the loss is not finite in row 2 of the val split"
    assert main([*WORDS, *own, "data.scale=none", "trainer.max_epochs=40", watching]) == 1
    said = capsys.readouterr().err
    assert "is not finite after step" in said and sentence in said and "optimizer.lr" not in said
    status = json.loads(Path("run/status.json").read_text())
    assert status["state"] == "failed" and status["steps"] <= 4 and len(history()) == 0
    assert not Path("run/checkpoints/best.ckpt").exists(), "an infinite score is not the best"


def test_an_outlier_that_trains_is_no_divergence(
    arrays: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    y = 2 * X
    y[7] = 1e35
    arrays(y, X[:5])
    assert main([*WORDS, "data.scale=none"]) == 1
    said = capsys.readouterr().err
    assert "the target 'y' is 1e+35 in row 8 of the train split" in said and "optimizer.lr" not in said
    assert json.loads(Path("run/status.json").read_text())["state"] == "failed"


@pytest.mark.parametrize("column", ["x", "y"])
def test_a_training_row_beside_which_all_others_are_equal_is_named(
    column: str, arrays: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = X.copy(), 2 * X
    (x if column == "x" else y)[7] = 1e35
    arrays(y, X[:5])
    np.save("arrays/train_x.npy", x)
    assert main([*WORDS, "data.scale=both", "trainer.max_epochs=2"]) == 0
    said = capsys.readouterr().err
    name = "feature 'x1'" if column == "x" else "target 'y'"
    assert f"one number of nearly all values: the {name} is 1e+35 in row 8 of the train split" in said
    assert ("val/mse" in said) == ("val/mse" not in json.loads(Path("run/metrics.json").read_text())) == (column == "y")


def test_the_learning_rate_has_no_part_in_the_first_loss(
    arrays: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    arrays(2 * X, X[:5])
    assert main([*WORDS, "data.scale=none", "init=normal", "init.std=1e30"]) == 3
    said = capsys.readouterr().err
    assert "the loss is inf at step 1, before any update" in said and "optimizer.lr" not in said


def test_a_score_that_is_finite_at_times_is_the_best_of_those(
    arrays: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Patience counts an infinite score as no improvement, and does not end the run at the first."""
    arrays(2 * X, np.ones((3, 1)), np.array([[1.0], [0.5], [1e19]]))
    words = ["data.scale=none", "score=val/mse", "loss=mae", "trainer.patience=50", "model.bias=false"]
    assert main([*WORDS, *words, "init=normal", "init.std=100", "optimizer.lr=5", "trainer.max_epochs=30"]) == 0
    scores = [float(row["val/mse"] or "inf") for row in history()]
    assert np.isinf(scores[0]) and np.isfinite(scores).any(), "the first ones overflow"
    best = checkpoints.load(Path("run/checkpoints/best.ckpt"), trust=False)
    assert best["score"] == min(scores) and torch.isfinite(torch.tensor(best["score"]))
    capsys.readouterr()


def test_a_pruner_is_never_told_an_earlier_score_again(arrays: Callable[..., None]) -> None:
    """The network's one weight grows from 0 to 2, where the square of its output for this row overflows."""
    arrays(2 * X, np.ones((1, 1)), np.array([[1e19]]))
    told: list[float] = []

    def judge(_percent: int, score: float) -> bool:
        told.append(score)
        return False

    words = ["data.scale=none", "score=val/mse", "loss=mae", "model.bias=false", "init=zeros", "optimizer=sgd"]
    config = fulmen.compose([*WORDS, *words, "optimizer.lr=0.3", "trainer.max_epochs=20"])
    fulmen.train(config, verbose=False, pruner=judge)
    scores = [row["val/mse"] for row in history()]
    assert scores[0] and not scores[-1], "finite at first, then infinite"
    assert told == [float(score) for score in scores if score]
