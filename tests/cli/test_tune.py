"""`fulmen tune`: the rate it recommends against a plain loop, its record, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

import fulmen
from fulmen.cli.main import main

LINEAR = ("data=linear_5d", "model=linear", "optimizer=sgd", "data.batch_size=full", "trainer.max_epochs=60")


def tune(*words: str) -> tuple[Path, dict[str, object]]:
    """Runs `fulmen tune` in the current folder; returns the folder it wrote, and its record."""
    assert main(["tune", *words, "accelerator=cpu"]) == 0
    (folder,) = Path("logs/tune").iterdir()
    return folder, json.loads((folder / "tune.json").read_text("utf-8"))


def test_the_rate_is_near_the_best_of_a_plain_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, found = tune("lr", *LINEAR)
    rate = found["value"]
    assert isinstance(rate, float)
    splits = fulmen.compose([*LINEAR])
    from fulmen.config import validate

    loaded = validate.check(splits).load()
    x, y, x_val, y_val = (
        np.c_[each, np.ones(len(each))] if i % 2 == 0 else each
        for i, each in enumerate([loaded["train"].x, loaded["train"].y, loaded["val"].x, loaded["val"].y])
    )
    largest = 2 * np.linalg.eigvalsh(x.T @ x / len(x))[-1]  # of the second derivatives of the mean squared error
    assert rate < 2 / largest

    def final(lr: float) -> float:
        losses = []
        for seed in range(3):
            w = np.random.default_rng(seed).uniform(-0.4, 0.4, (x.shape[1], 1))
            best = np.inf
            for _ in range(60):
                w = w - lr * 2 * x.T @ (x @ w - y) / len(x)
                best = min(best, float(((x_val @ w - y_val) ** 2).mean()))
            losses.append(best)
        return float(np.mean(losses))

    assert final(rate) <= 1.1 * min(final(lr) for lr in 10.0 ** np.arange(-4, np.log10(2 / largest), 0.25))
    assert imread(folder / "tune.png").shape[:2] == (480, 640)
    said = capsys.readouterr().out.splitlines()[-1]
    assert said.endswith(f"accelerator=cpu optimizer.lr={rate:g} tuned={folder}")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "name what to tune first; the choices are lr and batch_size"),
        (("lrr",), "there is nothing to tune called lrr; did you mean lr?"),
        (("data=moons",), "name what to tune first"),
        (("lr", "optimizer=sgd,adam"), "optimizer=sgd,adam names several values; give one"),
        (("lr", "dta=moons"), "there is no key 'dta'; did you mean data?"),
        (("lr", "-m"), "cannot read '-m'"),
        (("batch_size", "trainer.devices=2"), "batches are measured on one device"),
        (("lr", "trainer.devices=2"), "rates are tested on one device"),
    ],
)
def test_wrong_words_get_a_sentence(words: tuple[str, ...], sentence: str, refused: Callable[..., str]) -> None:
    assert sentence in refused("tune", *words)
