"""Scripts that write what is in docs/ do so only when they are meant; the pictures of seeds come from real sweeps."""

import importlib
import runpy
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["search", "screenshots", "reports", "defaults"])
def test_a_script_that_takes_no_words_refuses_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit, match=f"{name}: --help is one word too many"):
        runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name="__main__")


def seeds(*words: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Runs `scripts/seeds.py`; returns its exit code."""
    monkeypatch.setattr(sys, "argv", ["seeds.py", *words])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "seeds.py"), run_name="__main__")
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_script_that_measures_rates_refuses_other_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["tuning.py", "data=moons"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "scripts" / "tuning.py"), run_name="__main__")
    assert ended.value.code == 1 and "tuning: there is no option data=" in capsys.readouterr().err


@pytest.mark.parametrize(("picture", "runs"), [("regions", 2), ("rates", 40)])
def test_a_picture_of_seeds_is_drawn(
    picture: str, runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    script = importlib.import_module("seeds")
    monkeypatch.setattr(script, "RATES", ("data=sine_boundary", "data.train_size=320", "trainer.max_steps=100"))
    assert script.main([picture, "seeds=2", f"output={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert "train as one" in printed and f"{runs} of {runs} runs completed" in printed
    assert f"seeds_{picture}.png: {runs} runs, trained and drawn in" in printed.splitlines()[-1]
    pixels = imread(tmp_path / f"seeds_{picture}.png")
    assert pixels.shape[:2] == (676, 1040) and len({tuple(pixel) for pixel in pixels[338]}) > 5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "name one picture, regions or rates"),
        (["colours"], "must be one of regions, rates"),
        (["rates", "seeds=1"], "seeds is '1'; it must be a number, at least 2"),
        (["rates", "runs=3"], "runs"),
    ],
)
def test_a_wrong_word_for_a_picture_gets_a_sentence(
    words: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert seeds(*words, monkeypatch=monkeypatch) == 1
    assert sentence in capsys.readouterr().err
