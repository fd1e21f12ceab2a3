"""A run that was still improving when it ended, or overfitted, says so, and its advice helps; others say nothing."""

import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fulmen.cli.main import main
from fulmen.experiment.convergence import FEWEST, FEWEST_TO_RISE, is_improving, overfits_from
from fulmen.runs import folder

LINE = ("data=linear_1d", "model=linear", "logger=none", "figures=none", "accelerator=cpu")
TIMES = np.arange(1, 41) / 40


@pytest.mark.parametrize(
    ("words", "longer"),
    [
        (["trainer.max_epochs=60"], ["trainer.max_epochs=120"]),
        (["trainer.max_steps=180", "score=val/r2"], ["trainer.max_steps=360"]),
        (["trainer.max_steps=180", "trainer.max_epochs=60"], ["trainer.max_epochs=120", "trainer.max_steps=360"]),
    ],
    ids=" ".join,
)
def test_the_advice_to_train_longer_improves_the_score(
    words: list[str],
    longer: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    score = next((word.removeprefix("score=") for word in words if word.startswith("score=")), "val/loss")
    assert main([*LINE, *words, "optimizer.lr=0.005", "run_dir=a run"]) == 0
    before = folder.read_metrics(Path("a run"))[score]
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("hint:"))
    said, _, typed = line.partition("to train longer: ")
    assert f"{score} was still improving" in said
    program, *advice = shlex.split(typed)
    assert program == "fulmen" and advice == ["resume=a run", *longer]
    assert main(advice) == 0
    after = folder.read_metrics(Path("a run"))[score]
    assert after > before + 0.1 if score == "val/r2" else after < 0.5 * before


@pytest.mark.parametrize(
    "words",
    [
        ("optimizer=lbfgs", "data.batch_size=full", "trainer.max_epochs=30"),
        ("trainer.max_epochs=60", "trainer.patience=59"),
    ],
    ids=" ".join,
)
def test_a_run_that_has_converged_gives_no_advice(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*LINE, *words, "optimizer.lr=1"]) == 0
    assert "hint:" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("losses", "expected"),
    {
        "in a straight line": (1 - TIMES / 2, True),
        "exponentially, half way": (0.1 + np.exp(-3 * TIMES), True),
        "exponentially, to the end": (0.1 + np.exp(-30 * TIMES), False),
        "as 1 / t": (1 / TIMES, False),
        "to a plateau, and down from it": (1 - 0.5 * (TIMES > 0.1) - 0.4 * np.maximum(TIMES - 0.7, 0), True),
        "and then up again": ((TIMES - 0.6) ** 2, False),
        "not at all": (np.full(40, 0.3), False),
        "to zero": (np.maximum(0.5 - TIMES, 0), False),
        "too few to tell": (np.linspace(1, 0.1, FEWEST - 1), False),
        "few": (np.array([1, 0.5, 0.3]), True),
    }.values(),
)
def test_the_course_of_a_loss_is_judged(losses: np.ndarray, expected: bool) -> None:
    assert is_improving([*losses], "min") is expected
    assert is_improving([*(1 - losses)], "max") is expected


def test_noise_is_no_improvement() -> None:
    """Around a constant, and around a loss that has come down."""
    random = np.random.default_rng(0)
    said = 0
    for course in (np.full(40, 0.69), 0.3 + 0.5 * np.exp(-20 * TIMES)):
        said += sum(is_improving([*(course + random.normal(0, 0.003, 40))], "min") for _ in range(200))
    assert said <= 4, "of 400"


def test_a_network_that_overfits_is_told_so_and_the_advice_stops_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    x = random.normal(size=(140, 8))
    classes = np.where(x[:, 0] + 0.5 * x[:, 1] + random.normal(size=140) > 0, "yes", "no")
    rows = [",".join([*(f"{value:.4f}" for value in row), name]) for row, name in zip(x, classes, strict=True)]
    Path("few.csv").write_text("\n".join(["a,b,c,d,e,f,g,h,bought", *rows]))
    words = ["data=table", "data.path=few.csv", "data.target=bought", "model=mlp", *LINE[2:]]
    assert main([*words, "run_dir=run"]) == 0
    printed = capsys.readouterr().out.splitlines()
    history = pd.read_csv("run/history.csv")
    losses = history["val/loss"]
    best = losses.argmin()
    (line,) = (line for line in printed if line.startswith("hint:"))
    step, last = history["step"][best], losses.iloc[-1]
    assert f"val/loss was best at step {step}, {losses[best]:.4g}, and rose to {last:.4g}: the network overfits" in line
    assert f"weights:    from step {step}, where val/loss was best" in printed
    _, *advice = shlex.split(line.partition("to stop early: ")[2])
    assert main([*advice, "run_dir=again"]) == 0
    assert folder.load_status(Path("again"))["stopped_by"] == "patience"
    assert pd.read_csv("again/history.csv")["step"].iloc[-1] < history["step"].iloc[-1] / 4
    assert folder.read_metrics(Path("again"))["val/loss"] <= folder.read_metrics(Path("run"))["val/loss"]
    assert main(["rerun=run", "weights=last", "trainer.max_epochs=2", "run_dir=last"]) == 0
    assert "weights:    from the last step\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("losses", "expected"),
    {
        "down, and then far up": ((TIMES - 0.3) ** 2 + 0.1, True),
        "down, and then a little up": (0.1 * (TIMES - 0.3) ** 2 + 0.5, False),
        "up from the start": (1 + TIMES, True),
        "up near the end": (1 - TIMES + 10 * np.maximum(TIMES - 0.8, 0), False),
        "up, and down again": (0.2 + np.sin(3 * TIMES), False),
        "down to the end": (1 / TIMES, False),
        "not at all": (np.full(40, 0.3), False),
        "too few to tell": (np.arange(1.0, FEWEST_TO_RISE), False),
        "few": (np.arange(1.0, FEWEST_TO_RISE + 1), True),
    }.values(),
)
def test_overfitting_is_where_the_loss_was_lowest_early_and_rose(losses: np.ndarray, expected: bool) -> None:
    falling = [*range(len(losses), 0, -1)]
    assert overfits_from([*losses], falling) == (losses.argmin() if expected else None)
    assert overfits_from([*losses], falling[::-1]) is None, "training is unstable, if its loss rises as well"


@pytest.mark.parametrize("many", [FEWEST_TO_RISE, 20, 100])
def test_noise_is_no_overfitting(many: int) -> None:
    """However strong it is, around a constant and around a loss that has come down."""
    random = np.random.default_rng(0)
    said = 0
    for course in (np.full(many, 0.5), 0.3 + 0.5 * np.exp(-20 * np.arange(1, many + 1) / many)):
        for deviation in (0.003, 0.03, 0.2):
            noisy = (course + random.normal(0, deviation, many) for _ in range(100))
            said += sum(overfits_from([*abs(each)], [*range(many, 0, -1)]) is not None for each in noisy)
    assert said <= 6, "of 600"
