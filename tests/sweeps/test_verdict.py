"""Verdicts against SciPy's own tests, a formula of Holm's written out, and simulated sweeps of known truth."""

import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from scipy import stats

from fulmen.cli.main import main
from fulmen.errors import ConfigurationError
from fulmen.sweeps.frame import load_sweep
from fulmen.sweeps.leaderboard import Board, Row, table
from fulmen.sweeps.remarks import remarks
from fulmen.sweeps.sentences import sentences
from fulmen.sweeps.verdict import advised_seeds, verdict

pytestmark = pytest.mark.usefixtures("unpainted")


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


def test_a_difference_that_is_sure_says_how_small_it_is() -> None:
    """Seeds differ far more than configurations do, which is known for sure, because all share the seeds."""
    seeds = np.random.default_rng(10).normal(0, 1, 10)
    scores = 5 + seeds + np.array([[0.0], [0.02], [3.0]]) + np.random.default_rng(11).normal(0, 1e-4, (3, 10))
    (said,) = sentences(verdict(board(scores)))
    behind, spread = scores[1].mean() - scores[0].mean(), math.sqrt(scores[:2].var(1, ddof=1).mean())
    how = f"the next of which is {behind:.2g} behind, {behind / spread:.2g} times the spread over seeds (p < 0.001)"
    assert said.endswith(f"better than both others, {how}") and behind / spread < 0.03
    same = sentences(verdict(board(np.stack([np.zeros(12), np.ones(12)]))))[0]
    assert "better than the other, which is 1 behind (p < 0.001)" in same


@pytest.mark.parametrize(
    ("behind", "said"),
    [(0.1234, "0.12 behind, 0.12 times"), (9.42, "9.4 behind, 9.4 times"), (103.7, "104 behind, 104 times")],
)
def test_from_10_up_a_verdict_has_whole_numbers(behind: float, said: str) -> None:
    noise = np.random.default_rng(12).normal(0, 1, 20)
    seeds = (noise - noise.mean()) / noise.std(ddof=1)  # a spread of 1
    (sentence,) = sentences(verdict(board(np.stack([seeds, seeds + behind]))))
    assert f"which is {said} the spread over seeds" in sentence


@pytest.mark.parametrize(("effect", "needed"), [(0.12, "about 547"), (0.01, "more than 1000")])
def test_no_impractical_number_of_seeds_is_advised(effect: float, needed: str) -> None:
    draw = np.random.default_rng(13).normal(size=(2, 10))
    noise = (draw - draw.mean(1, keepdims=True)) / draw.std(1, ddof=1, keepdims=True)
    difference = effect * (noise[1] - noise[0]).std(ddof=1)  # the effect is of pairs
    found = verdict(board(np.stack([noise[0], noise[1] + difference])))
    assert advised_seeds(found) is None
    assert f"it would take {needed} seeds to tell, so the seed matters far more than this choice" in sentences(found)[0]


def test_larger_is_better_for_an_accuracy() -> None:
    scores = np.random.default_rng(8).normal(0, 0.01, (2, 10)) + np.array([[0.5], [0.9]])
    assert sentences(verdict(board(scores, "val/accuracy")))[0].startswith("model=m1 is best")


def test_three_seeds_are_few() -> None:
    assert "3 seeds are few" in sentences(verdict(board(np.random.default_rng(9).normal(size=(2, 3)))))[-1]


def test_one_seed_says_nothing_of_luck() -> None:
    found = verdict(board(np.array([[1.0], [2.0]])))
    assert sentences(found) == [
        "one seed each cannot tell which configuration is best: the lowest val/loss, 1, is that of model=m0, and may "
        "be luck"
    ]
    assert advised_seeds(found) == 10 and found.comparisons == []
    alike = sentences(verdict(board(np.array([[1.0], [1.0], [2.0]]))))
    assert alike[0].endswith("the lowest val/loss, 1, is that of model=m0 and model=m1 alike")


def test_configurations_that_are_the_same_have_no_order() -> None:
    """Neither ranks nor a sentence: of one seed each, and of several that all have the same score."""
    for scores in (np.array([[1.0], [1.0]]), np.ones((2, 5)), np.array([[1.0, 2, 3], [1.0, 2, 3]])):
        runs = board(scores)
        found = verdict(runs)
        console = Console(file=io.StringIO(), width=200)
        console.print(table(runs, found, 10))
        assert isinstance(console.file, io.StringIO)
        rows = [line.split("│")[1:-1] for line in console.file.getvalue().splitlines() if "m0" in line or "m1" in line]
        firsts = {row[0].strip() for row in rows}
        assert firsts == ({"1"} if scores.shape[1] > 1 else {"m0", "m1"})
        said = " ".join(sentences(found))
        assert "cannot" in said and "m0 is best" not in said and "luck" not in said and "1000 seeds" not in said


def test_a_difference_that_never_varies_is_no_proof_of_few_seeds() -> None:
    """Accuracies on few rows: three seeds with the same difference are as likely as three coins with the same side."""
    for seeds in (3, 10):
        (found,) = verdict(board(np.stack([np.full(seeds, 0.1 + 0.2), np.full(seeds, 0.1) + 0.25]))).comparisons
        expected = stats.permutation_test((np.full(seeds, 0.05),), np.mean, permutation_type="samples")
        assert found.test == "permutation test" and found.p == pytest.approx(expected.pvalue) == 2 / 2**seeds
        assert found.is_clear is (seeds == 10)
    few = verdict(board(np.array([[0.3] * 3, [0.35] * 3])))
    needed = advised_seeds(few)
    assert needed is not None and stats.binomtest(needed, needed).pvalue < 0.05 <= stats.binomtest(5, 5).pvalue
    apart = np.full((2, 7), np.nan)
    apart[0, :3], apart[1, 3:] = 0.3, 0.35
    (unpaired,) = verdict(board(apart)).comparisons
    expected = stats.permutation_test(([0.3] * 3, [0.35] * 4), lambda a, b: np.mean(a) - np.mean(b))
    assert unpaired.test == "permutation test" and unpaired.p == pytest.approx(expected.pvalue)


def test_equal_scores_are_no_difference() -> None:
    found = verdict(board(np.ones((2, 5))))
    assert found.comparisons[0].p == 1.0 and found.equals == [0, 1]


def test_the_better_mean_is_not_best_where_it_is_worse_on_every_seed_that_both_have() -> None:
    shared = np.array([1.0, 1.1, 1.2, 1.05, 1.15])
    scores = np.full((2, 10), np.nan)
    scores[0, :5], scores[0, 5:] = shared, 0.1  # of the other one these seeds diverged
    scores[1, :5] = shared - 0.3 + 0.01 * np.arange(5)
    found = verdict(board(scores))
    assert found.comparisons[0].difference == pytest.approx(-0.28)
    assert [each.rank for each in found.estimates] == [1, 1]
    (said, *_) = sentences(found)
    assert "cannot be told apart" in said
    assert "over the 5 seeds that both have, the mean of the latter is better" in said


def test_sums_that_are_rounded_in_other_ways_are_no_difference() -> None:
    scores = np.float32(0.25) + np.zeros((2, 10))
    scores[1] += 3e-8 + 1e-9 * np.random.default_rng(6).normal(size=10)
    found = verdict(board(scores))
    assert found.comparisons[0].p == 1 and found.comparisons[0].needed is None
    assert sentences(found)[0].endswith("each seed has the same score with both")
    assert verdict(board(scores - 0.25)).comparisons[0].is_clear, "beside scores near 0 the same difference is large"


def test_all_pairs_of_many_configurations_are_compared() -> None:
    scores = ordered(np.random.default_rng(7).normal(size=(400, 3)))
    pairs = verdict(board(scores)).comparisons
    expected = stats.ttest_rel(scores[399], scores[398])
    assert len(pairs) == 400 * 399 / 2 and (pairs[-1].better, pairs[-1].worse) == (398, 399)
    assert pairs[-1].low == pytest.approx(expected.confidence_interval().low)


@pytest.mark.parametrize(("count", "pairs"), [(100, 4950), (101, 100)])
def test_a_file_of_very_many_configurations_compares_each_with_the_best(count: int, pairs: int) -> None:
    plain = verdict(board(np.random.default_rng(0).normal(size=(count, 3)))).plain()
    compared = [(each["better"], each["worse"]) for each in plain["comparisons"]]
    assert len({*compared}) == len(compared) == pairs
    assert {worse for better, worse in compared if better == 0} == {*range(1, count)}


def test_different_losses_are_no_measure_of_what_is_best() -> None:
    rows = [
        Row(
            f"{loss}-{seed}", "completed", {"loss": loss, "seed": str(seed)}, {"val/loss": x, "val/mse": 2.0}, Path("x")
        )
        for loss, x in (("mae", 1.0), ("mse", 4.0))
        for seed in range(6)
    ]
    found = verdict(of_loss := Board("val/loss", ["loss", "seed"], [*rows]))
    assert found.comparisons == [] and advised_seeds(found) is None
    (said,) = sentences(found)
    assert "val/loss measures something else with each loss, so no configuration is best" in said
    shown = io.StringIO()
    Console(file=shown, width=200).print(table(of_loss, found, 9))
    assert "rank" not in shown.getvalue()
    assert len(verdict(Board("val/mse", ["loss", "seed"], [*rows])).comparisons) == 1
    assert verdict(Board("val/loss", ["seed"], rows[:6])).is_comparable
    data = [
        Row(row.job, row.state, {"data": row.settings["loss"], "seed": row.settings["seed"]}, row.metrics, row.folder)
        for row in rows
    ]
    assert remarks(Board("val/mse", ["data", "seed"], data), [])[0].startswith("the data sets differ")


def test_what_differs_unasked_is_said() -> None:
    runs = board(np.array([[1.0, 1.1], [2.0, 2.1]]))
    configs = [
        {"choices": {"model": name}, "model": {"lr": rate, "_target_": name}, "seed": 0}
        for name, rate in (("m0", 0.1), ("m1", 0.2))
    ]
    said = remarks(runs, configs)
    assert said[0] == "model.lr differs as well, although you did not vary it: 0.1 with model=m0, 0.2 with model=m1"
    assert "not the draw of the data" in said[-1]


def test_training_that_differs_with_an_experiment_or_with_data_is_said_by_what_decides_it() -> None:
    rows = [
        Row(name + seed, "completed", {"experiment": name, "seed": seed}, {}, Path()) for name in "ab" for seed in "01"
    ]
    configs = [
        {
            "choices": {"experiment": None, "data": data, "optimizer": "sgd"},
            "optimizer": {"lr": rate},
            "trainer": {"max_epochs": epochs},
            "data": {"noise": rate, "batch_size": 32},
            "sizes": {"in_shape": [epochs]},
            "experiment": name,
        }
        for name, data, rate, epochs in (("a", "circles", 0.1, 20), ("b", "moons", 0.2, 20), ("c", "moons", 0.2, 30))
    ]
    assert remarks(Board("val/loss", ["experiment", "seed"], rows), configs) == [
        "data differs as well, although you did not vary it: circles with experiment=a, moons with experiment=b, moons "
        "with experiment=c",
        "optimizer.lr differs as well, although you did not vary it: 0.1 with experiment=a, 0.2 with experiment=b, 0.2 "
        "with experiment=c",
        "trainer.max_epochs differs as well, although you did not vary it: 20 with experiment=a, 20 with experiment=b, "
        "30 with experiment=c",
    ], "but not what follows from the data"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (["seed"], "not the draw of the data"),
        (["data.seed"], "first weights and batches are the same"),
        (["seed", "data.seed"], "seeds vary first weights, batches and the draw of the data"),
        ([], "repeats another's configuration and seed"),
    ],
)
def test_it_is_said_what_the_seeds_vary(keys: list[str], said: str) -> None:
    rows = [Row(str(job), "completed", dict.fromkeys(keys, str(job)), {"val/loss": 1.0}, Path()) for job in range(2)]
    found = remarks(Board("val/loss", keys, rows), [])
    assert said in found[-1]


def test_runs_that_share_a_draw_of_the_data_are_one_sample() -> None:
    """Nothing differs but by the draw: 5 draws of the data are 5 samples, however many seeds each of them has."""
    draw, false = np.random.default_rng(8), 0
    for _ in range(200):
        shift = draw.normal(size=(2, 5))
        rows = [
            Row(
                f"{m}-{d}-{s}",
                "completed",
                {"model": f"m{m}", "data.seed": str(d), "seed": str(s)},
                {"val/loss": x},
                Path(),
            )
            for m in range(2)
            for d in range(5)
            for s in range(4)
            for x in [shift[m, d] + 0.1 * draw.normal()]
        ]
        found = Board("val/loss", ["model", "data.seed", "seed"], rows)
        compared = verdict(found)
        false += compared.comparisons[0].is_clear
        assert [each.seeds for each in compared.estimates] == [5, 5]
    assert false / 200 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 200)
    assert "the score of each data.seed is the mean over up to 4 values of seed" in remarks(found, [])[-1]


def test_a_draw_of_the_data_that_follows_the_seed_is_said_and_more_draws_are_advised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("data=circles", "figures=none", "logger=none", "trainer.max_epochs=1", "accelerator=cpu")
    assert main(["-m", *words, "data.seed=${seed}", "seed=0,1"]) == 0
    assert "seeds vary first weights, batches and the draw of the data" in capsys.readouterr().out
    assert main(["-m", *words, "data.seed=0,1", "optimizer.lr=0.01,0.0101"]) == 0
    said = capsys.readouterr().out
    assert (
        "data.seed varies the draw" in said
        and "'data.seed=range(" in said
        and " seed=" not in said.split("for more")[1]
    )


def test_the_edge_of_a_grid_is_said() -> None:
    rows = [
        Row(str(i), "completed", {"optimizer.lr": lr}, {"val/loss": 1.0 - i}, Path("x"))
        for i, lr in enumerate(("0.01", "0.1", "1"))
    ]
    said = remarks(Board("val/loss", ["optimizer.lr"], [*rows]), [])
    assert said == ["the best optimizer.lr, 1, is the largest that was tried; try larger ones"]
    equal = [Row(row.job, row.state, row.settings, {"val/loss": 1.0}, Path("x")) for row in rows]
    assert remarks(Board("val/loss", ["optimizer.lr"], equal), []) == [], "none is the best"
    pruned = Row("3", "pruned", {"optimizer.lr": "3"}, {}, Path("x"))
    assert remarks(Board("val/loss", ["optimizer.lr"], [*rows, pruned]), []) == [], "larger ones were tried"
    settings = [({"penalty.weight": weight}, float(weight)) for weight in ("0", "0.1", "1")]
    rows = [Row("0", "completed", weight, {"val/loss": score}, Path("x")) for weight, score in settings]
    assert remarks(Board("val/loss", ["penalty.weight"], rows), []) == [], "nothing is smaller than no penalty"


@pytest.mark.parametrize("state", ["planned", "interrupted", "running", "failed"])
def test_values_that_were_not_measured_make_no_edge(state: str) -> None:
    def of(width: str, state: str, seed: int) -> Row:
        metrics = {"val/loss": 1.0 + int(width)} if state == "completed" else {}
        return Row(f"{width}{seed}", state, {"model.width": width, "seed": str(seed)}, metrics, Path("x"))

    def edges(*others: str) -> list[str]:
        states = zip(("4", "8", "16", "32"), ("completed", *others), strict=True)
        rows = [of(width, state, seed) for width, state in states for seed in (0, 1)]
        return [each for each in remarks(Board("val/loss", ["model.width", "seed"], rows), []) if "tried" in each]

    assert edges(state, state, state) == edges("completed", state, state) == []
    said = ["the best model.width, 4, is the smallest that was tried; try smaller ones"]
    assert edges("completed", "completed", state) == edges("diverged", "pruned", state) == said


def test_an_edge_is_said_only_where_all_else_was_equal() -> None:
    settings = [("1", "sgd", 0.1), ("2", "adam", 0.2), ("4", "adam", 0.3)]
    rows = [
        Row(str(job), "completed", {"trainer.max_epochs": epochs, "optimizer": name}, {"val/loss": loss}, Path("x"))
        for job, (epochs, name, loss) in enumerate(settings)
    ]
    assert remarks(Board("val/loss", ["trainer.max_epochs", "optimizer"], rows), []) == []


def test_losses_of_different_kinds_rank_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("hydra/launcher=vectorized", "figures=none", "logger=none", "trainer.max_epochs=1", "data=linear_1d")
    assert main(["-m", *words, "seed=0,1", "loss=auto,mse,mae"]) == 0
    said = capsys.readouterr().out
    (sweep,) = Path("logs/sweeps").iterdir()
    advice = f"fulmen leaderboard {sweep} score=val/mse"
    assert "not the same function in all of these runs" in said
    assert "(mae, mse)" in said or "(mse, mae)" in said, "auto is mse here"
    assert advice in said and "is best" not in said and "cannot be told apart by" not in said
    load_sweep(sweep).compare()
    assert advice in capsys.readouterr().err
    load_sweep(sweep).compare("val/mae")
    assert capsys.readouterr().err == ""
    assert main(advice.split()[1:]) == 0
    said = capsys.readouterr().out
    assert "not the same function" not in said and "val/mse, smallest first" in said


def test_a_sweep_without_a_score_says_what_became_of_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("hydra/launcher=vectorized", "figures=none", "logger=none", "data=linear_1d", "optimizer=sgd")
    assert main(["-m", *words, "seed=0,1", "optimizer.lr=1e30"]) == 1
    (sweep,) = Path("logs/sweeps").iterdir()
    with pytest.raises(ConfigurationError, match=f"no run in {sweep} has a score: 2 diverged"):
        load_sweep(sweep).compare()
    capsys.readouterr()
    assert main(["leaderboard", str(sweep)]) == 1
    assert "there are no metrics, because none completed" in capsys.readouterr().err


def test_a_verdict_is_printed_in_sentences() -> None:
    board = Board("val/loss", ["optimizer.lr"], [])
    assert str(verdict(board)) == "no run has a score"
    rows = [Row(rate, "completed", {"optimizer.lr": rate}, {"val/loss": float(rate)}, Path("x")) for rate in ("1", "2")]
    assert str(verdict(Board("val/loss", ["optimizer.lr"], rows))).startswith("one seed each cannot tell")


def test_runs_that_repeat_each_other_are_counted() -> None:
    rows = [
        Row(str(job), "completed", {"optimizer.lr": "0.1", "seed": seed}, {"val/loss": 1.0}, Path("x"))
        for job, seed in enumerate("0011")
    ]
    said = remarks(Board("val/loss", ["optimizer.lr", "seed"], rows), [])
    assert said[0] == "2 runs repeat another's configuration and seed, and count as one with it"
    said = remarks(Board("val/loss", ["optimizer.lr", "seed"], rows[:3]), [])
    assert said[0] == "1 run repeats another's configuration and seed, and counts as one with it"
    drawn = [
        Row(row.job, row.state, {**row.settings, "data.seed": str(job % 2)}, row.metrics, row.folder)
        for job, row in enumerate(rows)
    ]
    assert not remarks(Board("val/loss", ["optimizer.lr", "seed", "data.seed"], drawn), [])[0].count("repeat")


def test_a_narrow_table_has_its_title_on_one_line() -> None:
    board = Board("val/loss", [], [Row("0", "completed", {}, {"val/loss": 1.0}, Path("x"))])
    file = io.StringIO()
    Console(file=file, width=80).print(table(board, verdict(board), 10))
    assert file.getvalue().splitlines()[0].strip() == "val/loss, smallest first"


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
    found = json.loads(capsys.readouterr().out)
    assert found["correction"] == "Holm" and "Welch" in found["method"] and "Assumed" in found["method"]
    assert {"effect", "p", "needed", "low", "high", "test"} < set(found["comparisons"][0])
    text = (sweep / "leaderboard.md").read_text("utf-8")
    assert "## Differences from the best mean" in text and "| effect | p |" in text


def test_the_command_says_what_the_sweep_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("data=circles", "figures=none", "logger=none", "trainer.max_epochs=1", "accelerator=cpu")
    assert main(["-m", *words, "optimizer=sgd,adam"]) == 0
    (sweep,) = Path("logs/sweeps").iterdir()
    before = {path.name: path.read_bytes() for path in sweep.glob("leaderboard.[!p]*")}
    capsys.readouterr()
    assert main(["leaderboard", str(sweep)]) == 0
    said = capsys.readouterr().out
    assert "for more seeds: fulmen -m data=circles" in said and "'seed=range(10)'" in said
    assert "optimizer.lr differs as well, although you did not vary it" in said
    assert {path.name: path.read_bytes() for path in sweep.glob("leaderboard.[!p]*")} == before
    runs = [str(path.parent) for path in sorted(sweep.glob("*/status.json"))]
    assert main(["leaderboard", *runs, "output=out"]) == 0
    assert "optimizer.lr differs as well" in capsys.readouterr().out


def test_a_value_that_diverged_is_no_part_of_the_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("data=regression_1d", "model=linear", "optimizer=sgd", "figures=none", "logger=none", "accelerator=cpu")
    assert main(["-m", *words, "trainer.max_epochs=3", "optimizer.lr=0.001,10000000,0.002"]) == 1
    said = capsys.readouterr().out
    (advice,) = (line for line in said.splitlines() if line.startswith("for more seeds"))
    assert advice.startswith("for more seeds, without optimizer.lr=10000000: fulmen -m data=regression_1d")
    assert "optimizer.lr=0.001,0.002" in advice and "optimizer.lr=10000000 diverged in 1 of 1 runs" in said


def test_a_run_that_was_resumed_longer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("data=circles", "figures=none", "logger=none", "trainer.max_epochs=1", "accelerator=cpu")
    assert main(["-m", *words, "seed=range(3)"]) == 0
    (sweep,) = Path("logs/sweeps").iterdir()
    assert main([f"resume={sweep / '1'}", "trainer.max_epochs=3"]) == 0
    assert "resumed with" not in capsys.readouterr().out
    assert main(["leaderboard", str(sweep)]) == 0
    sentence = "run 1 was resumed with trainer.max_epochs=3, and not trained as long as the others"
    assert sentence in capsys.readouterr().out and sentence in (sweep / "leaderboard.md").read_text("utf-8")
