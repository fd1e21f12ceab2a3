"""`sweep=optuna`: chooses, prunes, survives what goes wrong, goes on where it was, and refuses in a sentence."""

import itertools
import json
import sqlite3
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from importlib import util
from pathlib import Path
from typing import Any

import optuna
import pytest

from fulmen.cli.main import main
from fulmen.runs import folder as folders
from fulmen.sweeps import record
from fulmen.sweeps.execute import run_all
from fulmen.sweeps.record import Trial
from fulmen.sweeps.search import loop, storage, study
from fulmen.sweeps.search import plan as search
from fulmen.sweeps.search.storage import JOURNAL, _storage

SMALL = ["data=circles", "data.train_size=40", "data.val_size=40", "data.test_size=8", "logger=none", "accelerator=cpu"]
SEARCH = ["-m", "sweep=optuna", *SMALL, "trainer.max_epochs=2"]
RATE = "optimizer.lr=tag(log, interval(0.001, 0.1))"


def words_of(place: Any) -> list[list[str]]:
    """What was chosen for each job."""
    search = record.read(place.folder).search
    assert search is not None
    return [trial.words for trial in search.trials]


def study_of(place: Any) -> optuna.Study:
    search = record.read(place.folder).search
    assert search is not None
    return optuna.load_study(study_name=search.study, storage=_storage(str((place.folder / JOURNAL).resolve())))


def trials_of(place: Any) -> list[optuna.trial.FrozenTrial]:
    """The jobs' trials."""
    search = record.read(place.folder).search
    assert search is not None
    return [study_of(place).trials[trial.number] for trial in search.trials]


def states_of(place: Any) -> list[str]:
    return [trial.state.name for trial in study_of(place).trials]


DIGITS = ["data=mnist_5k", "data.train_size=choice(100,4500)", "data.val_size=choice(4500,100)", "data.test_size=50"]
"""Of the four combinations one wants more digits than there are, and none that is checked beforehand."""


@pytest.mark.parametrize(("sampler", "at_once"), [("tpe", 1), ("grid", 2)])
def test_what_makes_no_configuration_is_passed_over(
    sampler: str,
    at_once: int,
    place: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loop, "MOST_REFUSED", 1)  # which is no end where choices have one, and is said
    own = ["hydra.sweeper.n_trials=4", f"hydra.sweeper.sampler={sampler}", "hydra.sweeper.pruner=none"]
    own += [f"hydra.sweeper.n_jobs={at_once}"]
    short = ["model=linear", "trainer.max_epochs=null", "trainer.max_steps=2", "logger=none", "accelerator=cpu"]
    assert main(["-m", "sweep=optuna", *own, *DIGITS, *short]) == 0
    said = capsys.readouterr().out
    assert "3 of 3 runs completed" in said and set(place.states().values()) == {"completed"}
    end = "the search ends with 3 runs: further choices are refused, as in: data.train_size=4500, data.val_size=4500"
    assert said.count("the search ends with") == said.count(end) == 1
    assert "1 choices one after the other are refused, as in: data.train_size=4500" in said
    assert main(["-m", f"resume={place.folder}"]) == 0
    assert "nothing more to do" in capsys.readouterr().out


def test_a_search_without_end_ends_when_too_much_is_refused(
    place: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MOST_REFUSED", 1)
    own = ["hydra.sweeper.n_trials=30", "hydra.sweeper.sampler=random", "hydra.sweeper.pruner=none"]
    short = ["model=linear", "trainer.max_epochs=null", "trainer.max_steps=2", "logger=none", "accelerator=cpu"]
    assert main(["-m", "sweep=optuna", *own, *DIGITS, *short, "optimizer.lr=interval(0.01,0.1)"]) == 0
    assert "further choices are refused, as in: data.train_size=4500, data.val_size=4500" in capsys.readouterr().out
    assert 0 < len(place.states()) < 30


def test_refusals_count_only_one_after_the_other(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else few jobs would run at once where many choices are refused."""
    batches: list[int] = []

    def counted(places: Sequence[Path], *others: Any) -> None:
        batches.append(len(places))
        run_all(places, *others)

    monkeypatch.setattr(loop, "run_all", counted)
    monkeypatch.setattr(loop, "MOST_REFUSED", 2)
    own = ["hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=6", "hydra.sweeper.sampler=random", "seed=3"]
    short = ["model=linear", "trainer.max_epochs=null", "trainer.max_steps=2", "logger=none", "accelerator=cpu"]
    assert main(["-m", "sweep=optuna", *own, *DIGITS, *short, "optimizer.lr=interval(0.01,0.1)"]) == 0
    refused = ["refused" in trial.user_attrs for trial in study_of(place).trials]
    assert sum(refused) >= 2 and not any(map(all, itertools.pairwise(refused)))
    assert batches == [6] and "the search ends" not in capsys.readouterr().out


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes", "gp"])
def test_every_sampler_searches(sampler: str, place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    if sampler == "tpe":
        place.paint()
    own = ["hydra.sweeper.n_trials=3", "hydra.sweeper.n_startup_trials=1", f"hydra.sweeper.sampler={sampler}"]
    assert main([*SEARCH, *own, RATE, "data.batch_size=interval(8,20)", "optimizer=sgd,adam"]) == 0
    said, folder = capsys.readouterr().out, place.folder
    assert set(place.states().values()) <= {"completed", "pruned"} and len(place.states()) == 3
    assert len({tuple(words) for words in words_of(place)}) == 3
    for number, trial in enumerate(trials_of(place)):
        config = folders.read_config(folder / str(number))
        assert config["optimizer"]["lr"] == pytest.approx(trial.params["optimizer.lr"], rel=1e-5)
        assert config["data"]["batch_size"] == trial.params["data.batch_size"]
        assert config["choices"]["optimizer"] == trial.params["optimizer"]
        if trial.state.name == "COMPLETE":
            assert trial.value == json.loads((folder / str(number) / "metrics.json").read_text())["val/loss"]
    rows = place.board()
    assert len(rows) == 3 and list(rows[0])[:6] == [
        "job",
        "state",
        "score",
        "optimizer.lr",
        "data.batch_size",
        "optimizer",
    ]
    assert "3 of 3 done" in said and (folder / "history.png").exists()
    assert not list(folder.glob("*.lock"))


def test_a_sampler_that_repeats_itself_is_passed_over(place: Any) -> None:
    own = ["hydra.sweeper.n_startup_trials=1", "hydra.sweeper.pruner=none"]
    assert main([*SEARCH, *own, "optimizer.lr=range(0.01,0.03,0.01)", "optimizer=sgd,adam"]) == 0
    assert len(place.states()) == len({tuple(words) for words in words_of(place)}) == 4, "as many as there are"


def test_few_whole_numbers_are_few_by_size_as_well(place: Any) -> None:
    own = ["hydra.sweeper.sampler=random", "hydra.sweeper.n_trials=6", "hydra.sweeper.pruner=none"]
    assert main([*SEARCH, *own, "data.batch_size=tag(log, interval(14,16))"]) == 0
    assert sorted(words_of(place)) == [["data.batch_size=14"], ["data.batch_size=15"], ["data.batch_size=16"]]


def test_one_picture_that_fails_costs_no_other(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("zero total variance")

    monkeypatch.setattr("fulmen.sweeps.search.study.Study.importance", fail)
    assert main([*SEARCH, "hydra.sweeper.n_trials=2", RATE]) == 0
    said = capsys.readouterr().out
    assert "the importance of keys is missing: RuntimeError: zero total variance" in said
    assert {path.name for path in place.folder.glob("*.png")} == {"history.png", "curves.png", "leaderboard.png"}
    assert said.count("leaderboard.png") == 1 and place.go_on() == 0
    assert capsys.readouterr().out.count("\n") == 1, "nothing more to do, not even a picture"


def test_a_grid_is_tried_once_and_whole(place: Any) -> None:
    own = ["hydra.sweeper.sampler=grid", "hydra.sweeper.pruner=none", "hydra.sweeper.n_jobs=3"]
    assert main([*SEARCH, *own, "optimizer.lr=0.01,0.1", "seed=range(2)"]) == 0
    assert len(place.board()) == 4
    assert {tuple(words) for words in words_of(place)} == {
        (f"optimizer.lr={rate}", f"seed={seed}") for rate in ("0.01", "0.1") for seed in ("0", "1")
    }


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_bad_runs_are_pruned(pruner: str, place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    own = [f"hydra.sweeper.pruner={pruner}", "hydra.sweeper.n_startup_trials=1", "hydra.sweeper.n_trials=6"]
    long = ["trainer.max_epochs=20", "hydra.sweeper.sampler=random", "model=mlp", "model.hidden=[8]"]
    assert main([*SEARCH, *own, *long, "optimizer.lr=tag(log, interval(0.0000001, 0.1))"]) == 0
    pruned = [number for number, state in place.states().items() if state == "pruned"]
    rates = [trial.params["optimizer.lr"] for trial in study_of(place).trials]
    best = rates[study_of(place).best_trial.number]
    assert pruned and all(rates[number] < best for number in pruned)
    assert [number for number, state in enumerate(states_of(place)) if state == "PRUNED"] == sorted(pruned)
    status = json.loads((place.folder / str(pruned[0]) / "status.json").read_text())
    assert status["error"] is None and status["steps"] < 40 and "behind earlier runs" in status["pruned"]
    assert f"{6 - len(pruned)} of 6 runs completed, {len(pruned)} pruned" in capsys.readouterr().out


def test_which_keys_matter_is_said_in_words_and_in_the_file(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["hydra.sweeper.sampler=random", "hydra.sweeper.n_startup_trials=1", "hydra.sweeper.n_trials=12"]
    rates = ["optimizer.lr=tag(log, interval(0.0000001, 0.1))", "penalty.weight=interval(0, 0.000001)", "penalty=l2"]
    assert main([*SEARCH, *own, "trainer.max_epochs=20", *rates]) == 0
    said, states = capsys.readouterr().out, Counter(place.states().values())
    assert states["pruned"] and states["completed"] >= 4
    found = json.loads((place.folder / "leaderboard.json").read_text("utf-8"))["importance"]
    assert (found["runs"], found["left_out"]) == (states["completed"], {"pruned": states["pruned"]})
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    theirs = optuna.importance.get_param_importances(study_of(place), evaluator=evaluator)
    assert [*found["shares"]] == [*theirs] and found["shares"] == pytest.approx(theirs)
    (first, most), (second, least) = found["shares"].items()
    sentence = f"{first} accounts for {most:.0%} of the variance of val/loss, {second} for {least:.0%} "
    assert f"{sentence}(fANOVA of {found['runs']} completed runs; {states['pruned']} pruned are left out" in said
    assert main(["leaderboard", str(place.folder), "json=true"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["importance"] == found and any(line.startswith(sentence) for line in again["verdict"])
    assert main(["leaderboard", str(place.folder), "score=test/loss"]) == 0
    assert "accounts for" not in capsys.readouterr().out
    broken: list[object] = [{"importance": found | {"shares": {}}}, {"importance": found | {"shares": [1]}}, {}, [], 3]
    for damaged in broken:
        (place.folder / "leaderboard.json").write_text(json.dumps(damaged))
        assert main(["leaderboard", str(place.folder)]) == 0 and "accounts for" not in capsys.readouterr().out


def test_what_fails_is_told_and_tried_again_when_asked(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    own = ["sweep=optuna", "hydra.sweeper.sampler=grid", "hydra.sweeper.pruner=none"]
    assert place.sweep(*own, "model.mood=fine,raises,diverges,exits") == 1
    moods = [words[0].partition("=")[2] for words in words_of(place)]
    ends = {"fine": "COMPLETE", "raises": "FAIL", "diverges": "FAIL", "exits": "FAIL"}
    assert states_of(place) == [ends[mood] for mood in moods]
    code = place.here / "own" / "moody.py"
    code.write_text(code.read_text().replace('raise RuntimeError("no | luck")', "pass"))
    sys.modules.pop("moody")
    assert place.go_on("retry=failed", "allow_targets=[moody]") == 1
    assert [place.states()[moods.index(mood)] for mood in ("fine", "raises", "exits")] == [
        "completed",
        "completed",
        "failed",
    ]
    assert states_of(place).count("COMPLETE") == 2 and "RUNNING" not in states_of(place)


def test_several_objectives(place: Any) -> None:
    own = ["hydra.sweeper.objectives=[val/accuracy,parameters]", "hydra.sweeper.n_trials=3", "model=mlp"]
    place.paint()
    assert main([*SEARCH, *own, "model.hidden=choice([4],[8],[16])", "model.activation=relu,tanh"]) == 0
    study = study_of(place)
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    for number, trial in enumerate(study.trials):
        figures = json.loads((place.folder / str(number) / "metrics.json").read_text())
        assert trial.values == [figures["val/accuracy"], figures["parameters"]]
    assert (place.folder / "front.png").exists()


def test_a_search_is_extended(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SEARCH, "hydra.sweeper.n_trials=2", RATE]) == 0
    before = place.times(0, 1)
    assert place.go_on() == 0
    assert "is complete: nothing more to do" in capsys.readouterr().out
    drawn = ("history.png", "leaderboard.png", "leaderboard.md", "report.html")
    for name in drawn:
        (place.folder / name).unlink()  # as if it had been stopped while it drew
    assert place.go_on() == 0
    assert all((place.folder / name).exists() for name in drawn)
    times = {name: (place.folder / name).stat().st_mtime_ns for name in drawn}
    assert place.go_on() == 0
    assert times == {name: (place.folder / name).stat().st_mtime_ns for name in drawn}
    assert place.go_on("hydra.sweeper.n_trials=3") == 0
    assert place.states() == dict.fromkeys(range(3), "completed") and place.times(0, 1) == before
    assert len({tuple(words) for words in words_of(place)}) == 3


def test_another_number_of_runs_is_kept_when_the_search_stops_again(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["sweep=optuna", "hydra.sweeper.sampler=random", "hydra.sweeper.pruner=none"]
    with monkeypatch.context() as struck:
        struck.setenv("STRUCK", "0")
        struck.setenv("STRUCK_BY", "SIGTERM")
        assert place.sweep(*own, "hydra.sweeper.n_trials=1", RATE, "model.number=0") == 143
        assert place.go_on("hydra.sweeper.n_trials=3", "allow_targets=[moody]") == 143
    assert place.go_on("allow_targets=[moody]") == 0
    assert place.states() == dict.fromkeys(range(3), "completed")
    (place.folder / "leaderboard.png").unlink()
    assert place.go_on("hydra.sweeper.n_trials=1", "allow_targets=[moody]") == 0
    assert len(place.board()) == 3, "there are no fewer than there are"


KILLED = """
import os, signal, sys
from pathlib import Path
from fulmen.sweeps import record
from fulmen.sweeps.search import storage, study
from fulmen.cli.main import main

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

pruner, plan, tell = storage.pruner, record.plan, study.Study.tell
if sys.argv[1] == "training":
    storage.pruner = lambda sweep, folder: kill if folder.name == "2" else pruner(sweep, folder)
if sys.argv[1] == "asked":
    record.plan = lambda found, folder: kill() if folder.name == "2" else plan(found, folder)
if sys.argv[1] == "trained":
    study.Study.tell = lambda self, trial, result: kill() if result.number == 2 else tell(self, trial, result)
main(sys.argv[2:])
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["asked", "training", "trained"])
def test_a_search_that_is_killed_goes_on(when: str, place: Any) -> None:
    words = [*SEARCH, "hydra.sweeper.n_trials=4", "hydra.sweeper.n_startup_trials=2", RATE, "seed=3"]
    program = place.here / "killed.py"
    program.write_text(KILLED)
    killed = place.forked(when, *words, program=program)
    assert killed.wait() == -9, killed.stderr
    kept = place.times(0, 1)
    with (place.folder / JOURNAL).open("ab") as file:
        file.write(b'{"op_code":4,"wor')  # a line that was not written to its end
    assert place.go_on() == 0
    assert place.times(0, 1) == kept
    assert set(place.states()) == set(range(4)) and set(place.states().values()) <= {"completed", "pruned"}
    chosen, states = words_of(place), states_of(place)
    assert len({tuple(each) for each in chosen}) == 4
    assert states.count("COMPLETE") + states.count("PRUNED") == 4
    assert states.count("FAIL") == (when == "asked") and len(states) == 4 + (when == "asked")
    if when == "training":
        (place.folder).rename(place.here / "killed")
        assert main(words) == 0
        assert words_of(place) == chosen, "as if nothing had happened"


def test_a_database_is_shared(place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("STUDIES", f"sqlite:///{(place.here / 'studies.db').as_posix()}")
    own = ["hydra.sweeper.n_trials=2", "hydra.sweeper.storage=${oc.env:STUDIES}", RATE]
    assert main([*SEARCH, *own]) == 0
    first = place.folder
    assert "sqlite" not in (first / "sweep.yaml").read_text() and not (first / JOURNAL).exists()
    first.rename(place.here / "first")
    assert main([*SEARCH, *own]) == 0, "another machine that comes late"
    assert "has its 2 runs: nothing more to do" in capsys.readouterr().out
    assert not [*place.here.glob("logs/sweeps/*")]
    search = record.read(place.here / "first").search
    assert search is not None
    _storage("${oc.env:STUDIES}").remove_session()
    assert len(optuna.load_study(study_name=search.study, storage=_storage("${oc.env:STUDIES}")).trials) == 2


def test_a_shared_search_is_over_when_the_rest_is_refused(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STUDIES", f"sqlite:///{(place.here / 'studies.db').as_posix()}")
    own = ["sweep=optuna", "hydra.sweeper.sampler=grid", "hydra.sweeper.storage=${oc.env:STUDIES}"]
    short = ["model=linear", "trainer.max_epochs=null", "trainer.max_steps=2", "logger=none", "accelerator=cpu"]
    assert main(["-m", *own, *DIGITS, *short]) == 0
    assert "3 of 3 runs completed" in capsys.readouterr().out and place.folder
    assert main(["-m", *own, *DIGITS, *short]) == 0
    assert "has its 3 runs: nothing more to do" in capsys.readouterr().out and place.folder


def test_machines_that_choose_the_same_at_once_try_it_once(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIES", f"sqlite:///{(place.here / 'studies.db').as_posix()}")
    own = ["sweep=optuna", "hydra.sweeper.sampler=grid", "hydra.sweeper.storage=${oc.env:STUDIES}"]
    plan = search.plan([*own, "data=circles", "optimizer=sgd,adam", "seed=range(3)"], None)
    assert plan.search is not None
    one, other = (search.opened(plan.search, place.here) for _ in range(2))
    found: list[Trial | None] = []
    next_point = one._next_point

    def next_point_that_another_takes() -> Any:
        point = next_point()
        if len(found) < 2:
            found.append(other.ask())
        return point

    monkeypatch.setattr(one, "_next_point", next_point_that_another_takes)
    while (trial := one.ask()) is not None:
        found.append(trial)
    assert len(found) == len({tuple(trial.words) for trial in found if trial is not None}) == one.count == 6


def test_a_study_of_another_kind_is_refused(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STUDIES", f"sqlite:///{(place.here / 'studies.db').as_posix()}")
    own = [*SEARCH, "hydra.sweeper.storage=${oc.env:STUDIES}", "hydra.sweeper.study_name=x", "hydra.sweeper.n_trials=1"]
    assert main([*own, "optimizer=sgd,adam"]) == 0
    capsys.readouterr()
    for words, other in {
        ("optimizer=sgd,adam", "score=val/accuracy"): "objectives",
        ("optimizer=sgd,adam", "hydra.sweeper.objectives=[val/loss,parameters]"): "objectives",
        ("optimizer=sgd,adam,rmsprop",): "values of optimizer",
        ("optimizer=sgd,adam", "seed=0,1"): "values of seed",
    }.items():
        assert main([*own, *words]) == 1
        said = capsys.readouterr().err
        assert f"the study x is there already, with other {other}" in said and said.count("\n") == 1
    assert len([*place.here.glob("logs/sweeps/*")]) == 1


def test_a_database_that_goes_away_is_a_sentence(
    place: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a space in which nobody would count the points is an endless one."""
    where = f"sqlite:///{(place.here / 'studies.db').as_posix()}"  # no other test has a connection to it
    own = [f"hydra.sweeper.storage={where}", "hydra.sweeper.pruner=none", "hydra.sweeper.n_trials=2"]
    tell = study.Study.tell

    def lose_and_tell(*words: Any) -> None:
        with closing(sqlite3.connect(place.here / "studies.db")) as database:
            database.execute("DROP TABLE trial_values")
        tell(*words)

    monkeypatch.setattr(study.Study, "tell", lose_and_tell)
    seeds = [f"{key}=interval(0,{2**32 - 1})" for key in ("seed", "data.seed")]
    assert main([*SEARCH, *own, "hydra.sweeper.sampler=random", *seeds]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("fulmen: the study cannot be reached any more: ") and said.err.count("\n") == 1
    assert "stopped; resume with: fulmen -m resume=" in said.out and place.states() == {0: "completed"}


def test_no_answer_is_no_pruning(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"sqlite:///{(place.here / 'away.db').as_posix()}"
    own = [f"hydra.sweeper.storage={where}", "hydra.sweeper.pruner=median", "hydra.sweeper.n_trials=1"]
    assert main([*SEARCH, *own, RATE]) == 0
    found = record.read(place.folder)
    should_prune = storage.pruner(found, place.folder / "0")
    assert should_prune is not None
    with closing(sqlite3.connect(place.here / "away.db")) as database:
        database.execute("DROP TABLE trials")
    capsys.readouterr()
    assert not should_prune(33, 1.0) and not should_prune(66, 1.0)
    assert capsys.readouterr().err.count("job 0 is not pruned while the study does not answer") == 1
    assert storage.pruner(found, place.folder / "0") is None


def test_a_repeated_trial_counts_once_in_a_database(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDIES", f"sqlite:///{(place.here / 'studies.db').as_posix()}")
    own = ["sweep=optuna", "hydra.sweeper.sampler=random", "hydra.sweeper.storage=${oc.env:STUDIES}"]
    assert place.sweep(*own, "hydra.sweeper.n_trials=2", "model.number=range(9)", "model.mood=raises") == 1
    code = place.here / "own" / "moody.py"
    code.write_text(code.read_text().replace('raise RuntimeError("no | luck")', "pass"))
    sys.modules.pop("moody")
    assert place.go_on("retry=failed", "hydra.sweeper.n_trials=3", "allow_targets=[moody]") == 0
    assert place.states() == dict.fromkeys(range(3), "completed")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sweep=optuna"], "sweep=optuna has nothing to choose; name what to search, as 'optimizer.lr=tag(log"),
        (
            ["sweep=optuna", RATE, "hydra.sweeper.sampler=tpee"],
            "one of tpe, gp, cmaes, random, grid; did you mean tpe?",
        ),
        (["sweep=optuna", RATE, "hydra.sweeper.n_trails=3"], "did you mean n_trials?"),
        (["sweep=optuna", RATE, "hydra.sweeper.n_trials=0"], "hydra.sweeper.n_trials is 0, but must be a whole number"),
        (["sweep=optuna", RATE, "hydra.sweeper.direction=minimize"], "it has n_trials, sampler"),
        (["sweep=optuna", RATE, "hydra.sweeper.sampler=grid"], "has no end of values"),
        (["sweep=optuna", "optimizer.lr=interval(-1, 1)"], "optimizer.lr is -1.0"),
        (["sweep=optuna", "optimizer.lr=interval(1, 0)"], "holds nothing"),
        (["sweep=optuna", "optimizer.lr=tag(log, interval(0, 1))"], "on no logarithmic scale"),
        (["sweep=optuna", "optimizer.rl=interval(0.1, 1)"], "did you mean optimizer.lr?"),
        (["sweep=optuna", RATE, "model=deep,lienar"], "did you mean linear?"),
        (["sweep=optuna", RATE, "model=lienar"], "did you mean linear?"),
        (
            ["sweep=optuna", RATE, "data=circles", "hydra.sweeper.objectives=[val/los,parameters]"],
            "did you mean val/loss",
        ),
        (["sweep=optuna", RATE, "hydra.sweeper.objectives=[val/loss]"], "needs two or more"),
        (
            ["sweep=optuna", RATE, "hydra.sweeper.objectives=[val/loss,parameters]", "hydra.sweeper.pruner=median"],
            "one",
        ),
        (
            ["sweep=optuna", RATE, "hydra.sweeper.objectives=[val/loss,parameters]", "hydra.sweeper.sampler=cmaes"],
            "one",
        ),
        (["sweep=optuna", RATE, "hydra.sweeper.storage=here.db"], "must be an address"),
        (["sweep=optuna", RATE, "hydra.sweeper.storage=sqlite:////no/such/folder/x.db"], "cannot be opened"),
        (["sweep=optuna", RATE, "hydra.sweeper.study_name=x"], "add hydra.sweeper.storage="),
        (["sweep=optuna", RATE, "sweep=seeds"], "takes no other sweep="),
        (["sweep=optuna", RATE, "run_dir=one"], "run_dir is for single runs"),
        (["sweep=optuna", RATE, "hydra.sweeper.storage=${oc.env:NO_STUDIES}"], "'NO_STUDIES' not found"),
        (["sweep=optuna", RATE, "hydra.sweeper.n_trials=3,4"], "names several values"),
        (["sweep=optuna", RATE, "optimizer.lr=0.1"], "give optimizer.lr= once"),
        (["+sweep=seeds"], "sweep=seeds"),
        ([RATE], "to search, add sweep=optuna"),
        ([RATE, "hydra.sweeper.n_trials=3"], "add -m sweep=optuna"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_said_before_anything_is_written(
    words: list[str], sentence: str, place: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["-m", *words]) == 1
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1, said
    assert not (place.here / "logs").exists()


def test_without_optuna_it_is_said_what_to_install(
    place: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = util.find_spec
    monkeypatch.setattr("fulmen.sweeps.search.options.find_spec", lambda name: None if name == "optuna" else find(name))
    assert main([*SEARCH, RATE]) == 1
    assert "pip install 'fulmen[optuna]'" in capsys.readouterr().err
    assert not Path("logs").exists()
