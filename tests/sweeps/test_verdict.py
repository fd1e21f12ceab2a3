"""Verdicts against SciPy's own tests, a formula of Holm's written out, and simulated sweeps of known truth."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fulmen.cli.main import main
from fulmen.sweeps.leaderboard import Board, Row
from fulmen.sweeps.verdict import advised_seeds, remarks, sentences, verdict


def board(scores: NDArray[np.float64], score: str = "val/loss", first: int = 0) -> Board:
    """A configuration for each row and a seed for each column; a score that is not a number is a run that failed."""
    rows = [
        Row(f"{place}-{seed}", "completed", {"model": f"m{place}", "seed": str(seed)}, {score: value}, Path("x"))
        for place, row in enumerate(scores.tolist())
        for seed, value in enumerate(row, first)
        if math.isfinite(value)
    ]
    return Board(score, ["model", "seed"], rows)


def ordered(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return scores[np.argsort(np.nanmean(scores, 1))]


def holm(p: list[float]) -> list[float]:
    ranks = sorted(range(len(p)), key=p.__getitem__)
    scaled = {place: min(1.0, max((len(p) - k) * p[ranks[k]] for k in range(i + 1))) for i, place in enumerate(ranks)}
    return [scaled[place] for place in range(len(p))]


def test_shared_seeds_are_compared_in_pairs() -> None:
    scores = ordered(np.random.default_rng(1).normal(size=(3, 8)) + np.arange(8))
    found = verdict(board(scores)).comparisons
    expected = [stats.ttest_rel(scores[b], scores[a]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert [each.test for each in found] == ["paired t-test"] * 3
    np.testing.assert_allclose([each.p for each in found], holm([one.pvalue for one in expected]))
    intervals = [one.confidence_interval() for one in expected]
    np.testing.assert_allclose([(each.low, each.high) for each in found], [(i.low, i.high) for i in intervals])


def test_other_seeds_are_compared_by_welch() -> None:
    draw = np.random.default_rng(2)
    a, b = draw.normal(0, 1, 6), draw.normal(1, 3, 9)
    scores = np.full((2, 15), np.nan)
    scores[0, :6], scores[1, 6:] = a, b
    (found,) = verdict(board(ordered(scores))).comparisons
    expected = stats.ttest_ind(b, a, equal_var=False)
    assert found.test == "Welch's t-test" and found.p == pytest.approx(expected.pvalue)
    assert sorted(map(abs, (found.low, found.high))) == pytest.approx(sorted(map(abs, expected.confidence_interval())))


def test_the_interval_is_students() -> None:
    scores = np.random.default_rng(3).normal(size=(1, 12))
    (found,) = verdict(board(scores)).estimates
    expected = stats.t.interval(0.95, 11, scores.mean(), stats.sem(scores[0]))
    assert (found.low, found.high) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["normal", "unequal", "heavy"])
def test_few_sweeps_claim_a_difference_where_there_is_none(kind: str) -> None:
    """Of 300 sweeps at most 5%, give or take two standard deviations, have a pair that is said to differ."""
    draw, false = np.random.default_rng(4), 0
    for _ in range(300):
        noise = draw.standard_t(3, (4, 10)) if kind == "heavy" else draw.normal(size=(4, 10))
        noise = noise * (np.array([[0.3], [1], [2], [3]]) if kind == "unequal" else 1) + draw.normal(size=10)
        false += len(verdict(board(noise)).equals) < 4
    assert false / 300 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)


def test_the_seeds_that_are_advised_find_the_difference() -> None:
    """Of two configurations alone, whose effect is known: about 80% of sweeps with so many seeds find it."""
    draw = np.random.default_rng(5)
    base = np.array([0.0, 1.0, -1.0, 0.5, -0.5, 0.2, -0.2])  # a mean of 0, and the differences' std is that of `base`
    scores = np.stack([np.zeros(7), base + 0.5 * base.std(ddof=1)])
    found = verdict(board(scores))
    needed = advised_seeds(found)
    assert needed is not None and found.comparisons[0].effect == pytest.approx(0.5)
    hits = [stats.ttest_1samp(draw.normal(0.5, 1, needed), 0).pvalue < 0.05 for _ in range(1000)]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.05)


def test_ranks_are_equal_where_nothing_tells_apart() -> None:
    draw = np.random.default_rng(6)
    scores = draw.normal(0, 0.1, (3, 10))
    scores[2] += 5
    found = verdict(board(scores))
    assert [estimate.rank for estimate in found.estimates] == [1, 1, 3]
    first, second, *_ = sentences(found)
    assert "cannot be told apart by val/loss" in first and "is best" not in first
    assert second == "the other is worse, and not by luck"


def test_a_clear_winner_is_named() -> None:
    scores = np.random.default_rng(7).normal(0, 0.1, (2, 10))
    scores[1] += 5
    (said,) = sentences(verdict(board(scores)))
    assert said.startswith("model=m0 is best, and not by luck: val/loss") and said.endswith("(p < 0.001)")


def test_larger_is_better_for_an_accuracy() -> None:
    scores = np.random.default_rng(8).normal(0, 0.01, (2, 10)) + np.array([[0.5], [0.9]])
    assert sentences(verdict(board(scores, "val/accuracy")))[0].startswith("model=m1 is best")


def test_three_seeds_are_few() -> None:
    assert "3 seeds are few" in sentences(verdict(board(np.random.default_rng(9).normal(size=(2, 3)))))[-1]


def test_one_seed_says_nothing_of_luck() -> None:
    found = verdict(board(np.array([[1.0], [2.0]])))
    assert sentences(found) == [
        "model=m0 has the best val/loss, 1; each configuration ran with one seed, so that may be luck"
    ]
    assert advised_seeds(found) == 10 and found.comparisons == []


def test_equal_scores_are_no_difference() -> None:
    found = verdict(board(np.ones((2, 5))))
    assert found.comparisons[0].p == 1.0 and found.equals == [0, 1]


def test_what_differs_unasked_is_said() -> None:
    runs = board(np.array([[1.0, 1.1], [2.0, 2.1]]))
    configs = [
        {"choices": {"model": name}, "model": {"lr": rate, "_target_": name}, "seed": 0}
        for name, rate in (("m0", 0.1), ("m1", 0.2))
    ]
    said = remarks(runs, configs)
    assert said[0] == "model.lr differs as well, although you did not vary it: 0.1 with model=m0, 0.2 with model=m1"
    assert "not the draw of the data" in said[-1]


def test_the_edge_of_a_grid_is_said() -> None:
    rows = [
        Row(str(i), "completed", {"optimizer.lr": lr}, {"val/loss": 1.0 - i}, Path("x"))
        for i, lr in enumerate(("0.01", "0.1", "1"))
    ]
    said = remarks(Board("val/loss", ["optimizer.lr"], [*rows]), [])
    assert said == ["the best optimizer.lr, 1, is the largest that was tried; try larger ones"]
    pruned = Row("3", "pruned", {"optimizer.lr": "3"}, {}, Path("x"))
    assert remarks(Board("val/loss", ["optimizer.lr"], [*rows, pruned]), []) == [], "larger ones were tried"


def test_runs_that_diverged_are_not_passed_over() -> None:
    settings = [("0.1", 1.0), ("0.1", 1.1), ("0.9", 0.1), ("0.9", None), ("1.5", None)]
    rows = [
        Row(
            str(job),
            "diverged" if value is None else "completed",
            {"optimizer.lr": rate, "seed": str(job % 2)},
            {} if value is None else {"val/loss": value},
            Path("x"),
        )
        for job, (rate, value) in enumerate(settings)
    ]
    said = remarks(Board("val/loss", ["optimizer.lr", "seed"], rows), [])
    assert sorted(said[:2]) == [
        "optimizer.lr=0.9 diverged in 1 of 2 runs, which its mean leaves out",
        "optimizer.lr=1.5 diverged in 1 of 1 runs, and so has no score",
    ]


def test_a_sweep_ends_with_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("hydra/launcher=vectorized", "figures=none", "logger=none", "trainer.max_epochs=2")
    assert main(["-m", *words, "seed=range(3)", "optimizer.lr=0.1,0.001"]) == 0
    said = capsys.readouterr().out
    assert "optimizer.lr=0.1 is best, and not by luck" in said or "cannot be told apart" in said
    (sweep,) = Path("logs/sweeps").iterdir()
    assert "3 seeds are few" in (sweep / "leaderboard.md").read_text("utf-8").replace("\n", " ")
    assert main(["leaderboard", str(sweep), "json=true"]) == 0
    assert '"correction": "Holm"' in capsys.readouterr().out
