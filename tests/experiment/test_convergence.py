"""A run that was still improving when it ended says so, and its advice helps; one that has converged says nothing."""

import shlex
from pathlib import Path

import numpy as np
import pytest

from fulmen.cli.main import main
from fulmen.experiment.convergence import FEWEST, is_improving
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
    assert "still improving" not in capsys.readouterr().out


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
