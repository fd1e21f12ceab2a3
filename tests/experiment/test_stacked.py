"""Every copy of a stack equals a run by itself: weights, metrics, history, order of data, its end and its record."""

import csv
import functools
import itertools
import json
import multiprocessing
import re
import runpy
import signal
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from torch import Tensor

import fulmen
from fulmen.cli.main import main
from fulmen.config import validate
from fulmen.config.groups import choices, conf_dir
from fulmen.errors import Diverged, Pruned
from fulmen.experiment import stacked
from fulmen.experiment.build import StackedJob, record, resume, train_stack
from fulmen.models.activations import ACTIVATIONS
from fulmen.runs import checkpoints
from fulmen.runs.files import TEMPORARY, write_json, write_text
from fulmen.runs.folder import read_config, yaml_text
from fulmen.runs.history import StackedHistory
from fulmen.runs.signals import Interrupted
from fulmen.training import torch_private
from fulmen.training.callbacks import checkpointing
from fulmen.training.callbacks.pruning import Pruner
from fulmen.training.stack import fit

QUIET = ("logger=none", "figures=none", "accelerator=cpu", "trainer.threads=1")
FEW = ("data.train_size=40", "data.val_size=20", "data.test_size=20")
"""5 steps a pass at a batch size of 8."""
SMALL = ("data=moons", "data.batch_size=8", "trainer.precision=64-true", "weights=last")
WORDS = (*QUIET, *FEW, *SMALL)
RATES = [{"seed": 0}, {"seed": 1, "optimizer.lr": 0.003}, {"seed": 2, "optimizer.lr": 0.02}]
Each = Sequence[Mapping[str, Any]]


@functools.cache
def composed(words: tuple[str, ...]) -> DictConfig:
    return fulmen.compose(words)


def configs(words: Sequence[str], each: Each) -> list[DictConfig]:
    """Configurations with these words, and keys that differ."""
    found = []
    for changes in each:
        config = composed(tuple(words)).copy()
        for key, value in changes.items():
            OmegaConf.update(config, key, value)
        found.append(config)
    return found


@dataclass(frozen=True)
class Trained:
    """What a run left in its folder."""

    folder: Path

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "status.json").read_text())
        return found

    @property
    def metrics(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "metrics.json").read_text())
        return found

    @property
    def rows(self) -> list[dict[str, float]]:
        with (self.folder / "history.csv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [{name: float(cell or "nan") for name, cell in row.items() if name != "seconds"} for row in rows]

    def checkpoint(self, name: str = "last") -> dict[str, Any]:
        found: dict[str, Any] = torch.load(self.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        return found

    def weights(self, name: str = "last") -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.checkpoint(name)["state_dict"]
        return state


Stack = Callable[..., list[Trained]]
Planned = tuple[DictConfig, list[dict[str, Any]], list[StackedJob], Path, int | None]


def plan(home: Path, words: Sequence[str], each: Each, pruners: Sequence[Pruner | None] = ()) -> Planned:
    """Makes the folders `<home>/0`, `<home>/1` ... as a sweep plans them, and returns what `train_stack` takes."""
    found = configs(words, each)
    records = [record(config, validate.check(config)) for config in found]
    jobs = []
    for number, content in enumerate(records):
        folder = home / str(number)
        if not folder.exists():
            folder.mkdir(parents=True)
            write_text(folder / "config.yaml", yaml_text(content))
        own = [f"{key}={value}" for key, value in each[number].items()]
        jobs.append(StackedJob(folder, own, [*words, *own], pruners[number] if pruners else None))
    return found[0], records, jobs, home / "stacks", None


def left_behind(home: Path) -> set[Path]:
    """Returns files that are no record of a run."""
    return {path for path in home.rglob("*") if path.name.startswith(".") or path.parent.name == "stacks"}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Trains configurations as one, in folders `<name>/0`, `<name>/1` ..."""

    def train(words: Sequence[str], each: Each, name: str = "stack", pruners: Sequence[Pruner | None] = ()) -> Any:
        planned = plan(tmp_path / name, words, each, pruners)
        train_stack(*planned)
        assert not left_behind(tmp_path / name)
        return [Trained(job.folder) for job in planned[2]]

    return train


@pytest.fixture
def alone(tmp_path: Path) -> Callable[..., list[Trained]]:
    """Trains configurations one by one, in folders `<name>/0`, `<name>/1` ..."""

    def train(words: Sequence[str], each: Each, name: str = "alone", pruners: Sequence[Pruner | None] = ()) -> Any:
        found = []
        for number, config in enumerate(configs(words, each)):
            folder = tmp_path / name / str(number)
            with suppress(Diverged, Pruned):
                fulmen.train(config, folder=folder, verbose=False, pruner=pruners[number] if pruners else None)
            found.append(Trained(folder))
        return found

    return train


def distance(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """How far two networks are apart, in relation to their size; they have the same tensors."""
    assert [*one] == [*other] and all(one[name].shape == other[name].shape for name in one)
    a, b = (torch.cat([values.double().flatten() for values in state.values()]) for state in (one, other))
    return float((a - b).norm() / b.norm().clamp(min=1e-30))


def assert_equal(copies: Sequence[Trained], singles: Sequence[Trained], tolerance: float = 1e-10) -> None:
    """Each run of the one list has the record of its partner in the other."""
    for copy, single in zip(copies, singles, strict=True):
        one, other = copy.status, single.status
        assert one["state"] == other["state"], one["traceback"]
        assert [one.get(key) for key in ("steps", "error", "stopped_early", "fingerprint", "seed")] == [
            other.get(key) for key in ("steps", "error", "stopped_early", "fingerprint", "seed")
        ]
        close = functools.partial(pytest.approx, rel=100 * tolerance, abs=tolerance, nan_ok=True)
        a, b = copy.rows, single.rows
        assert len(a) == len(b) and all([*x] == [*y] and x == close(y) for x, y in zip(a, b, strict=True))
        if one["state"] == "completed":
            numbers, others = copy.metrics, single.metrics
            assert numbers.keys() == others.keys()
            tables = [name for name in numbers if name.endswith("confusion_matrix")]
            assert [numbers.pop(name) for name in tables] == [others.pop(name) for name in tables]
            assert numbers == close(others)
            assert distance(copy.weights(), single.weights()) < tolerance
            ends = [run.checkpoint("best") for run in (copy, single)]
            assert ends[0]["global_step"] == ends[1]["global_step"]
            assert distance(ends[0]["state_dict"], ends[1]["state_dict"]) < tolerance


def names(group: str, without: Sequence[str] = ()) -> list[str]:
    return [name for name in choices(group, [conf_dir()]) if name not in without]


ONE_BY_ONE = ("lbfgs", "adafactor", "asgd", "muon", "nadam", "radam", "rprop")
"""Optimizers whose state is more than a number for each weight."""
TORCHS_SCHEDULES = [
    name for name in names("scheduler") if name not in ("constant", "cosine", "one_cycle", "plateau", "step")
]
"""Rates of many copies at once, which test_rates.py compares with those of each."""

BESIDE = [
    ("model.dropout=0.3",),
    ("score=val/accuracy", "weights=best"),
    ("data.batch_size=37", "optimizer.weight_decay=0.1", "trainer.patience=2"),
    ("model.hidden=[5]", "data.val_size=0", "score=train/loss", "weights=best", "scheduler.patience=0"),
    ("trainer.gradient_clip=0.05",),
    ("model.output_activation=sigmoid",),
    ("trainer.accumulate=3", "data.train_size=44", "model.dropout=0.2"),
    ("data.batch_size=full", "optimizer.weight_decay=0.1"),
    (),
    (),
]
"""What else decides a step or the end of a run; each goes with one row of the matrix."""


def matrix() -> Iterator[tuple[str, ...]]:
    """Words for runs that together take every choice that can be stacked."""
    groups = {
        "optimizer": names("optimizer", ONE_BY_ONE),
        "loss": names("loss"),
        "penalty": names("penalty"),
        "init": names("init", ["xavier_uniform", "zeros"]),
        "scheduler": names("scheduler", TORCHS_SCHEDULES),
        "model": names("model", ["lenet"]),
    }
    data = {"bce": ["circles"], "cross_entropy": ["iris_species"]}
    activations = itertools.cycle(ACTIVATIONS)
    for number, beside in zip(range(max(map(len, groups.values()))), BESIDE, strict=True):
        row = {group: found[number % len(found)] for group, found in groups.items()}
        if row["loss"] == "sse":  # a sum, on which steps in proportion to the gradient diverge
            row["optimizer"] = "adam"
        fitting = data.get(row["loss"], ["regression_3d", "moons", "linear_5d", "blobs"])
        words = {"data": fitting[number % len(fitting)], **row} | dict(word.split("=", 1) for word in beside)
        if row["model"] not in ("linear", "perceptron"):
            words["model.activation"] = next(activations)
        yield tuple(f"{key}={value}" for key, value in words.items())


CASES = [*matrix()]
CASES += [
    ("data=mnist_5k", "model=lenet", "model.activation=gelu", "init=xavier_uniform", "trainer.max_steps=9"),
    ("model=mlp", "model.hidden=[]", "model.activation=identity", "init=zeros", "optimizer=momentum"),
]


def test_the_cases_have_every_choice() -> None:
    words = {word for case in CASES for word in case}
    for group in ("optimizer", "loss", "penalty", "init", "scheduler", "model"):
        assert {f"{group}={name}" for name in names(group, [*ONE_BY_ONE, *TORCHS_SCHEDULES])} <= words
    assert {f"model.activation={name}" for name in ACTIVATIONS} <= words


def words_of(case: Sequence[str]) -> tuple[str, ...]:
    few = () if "data=iris_species" in case else FEW
    return (*QUIET, *few, *SMALL, "trainer.max_steps=60", *case)


@pytest.mark.parametrize("case", CASES, ids=" ".join)
def test_each_copy_is_a_run_by_itself(case: tuple[str, ...], stack: Stack, alone: Stack) -> None:
    words = words_of(case)
    assert_equal(stack(words, RATES)[2:], alone(words, RATES[2:]))


def test_copies_of_a_seed_and_in_single_precision(stack: Stack, alone: Stack) -> None:
    words = (*WORDS, "trainer.precision=32-true", "trainer.max_steps=60")
    each = [{"optimizer.lr": 0.01}, {"optimizer.lr": 0.003}, {"optimizer.lr": 0.02}]
    assert_equal(stack(words, each), alone(words, each), 1e-3)


def test_what_may_differ(stack: Stack, alone: Stack) -> None:
    """Everything in which the copies of a stack may differ, at once."""
    words = (*WORDS, "optimizer=adamw", "penalty=elastic_net", "init=normal", "model=deep", "trainer.max_steps=40")
    each = [
        {"seed": 3, "data.seed": 4, "data.noise": 0.3, "model.dropout": 0.5, "init.std": 0.3},
        {"optimizer.weight_decay": 0.3, "penalty.weight": 0.03, "penalty.l1_ratio": 0.2, "model.dropout": 0.1},
        {"optimizer.lr": 0.03, "optimizer.weight_decay": 0.0, "penalty.weight": 0.0, "model.dropout": 0.2},
    ]
    assert_equal(stack(words, each), alone(words, each))


UNITS = [
    ("data=linear_5d", "data.scale=both", "baseline=sklearn", "model=linear", "score=val/r2", "scheduler=plateau"),
    ("data=blobs", "data.scale=features", "data.batch_size=full"),
]


@pytest.mark.parametrize("case", UNITS, ids=" ".join)
def test_each_copy_measures_in_the_units_of_its_own_data(case: tuple[str, ...], stack: Stack, alone: Stack) -> None:
    words = (*WORDS, *case, "trainer.max_epochs=6", "weights=best")
    each = [{"data.seed": 1}, {"data.seed": 2, "seed": 3}, {"data.seed": 1, "seed": 4}]
    copies = stack(words, each)
    assert_equal(copies, alone(words, each))
    scores = [run.metrics["test/loss"] for run in copies]
    assert len(set(scores)) == 3
    assert fulmen.load(copies[1].folder).metrics == copies[1].metrics


def bits(run: Trained) -> dict[str, Any]:
    """All that a run found, to the last bit; where it has diverged, but for what it was when that was seen."""
    status = run.status
    found = {name: status.get(name) for name in ("state", "stopped_early", "error", "pruned")} | {"rows": str(run.rows)}
    if status["state"] == "diverged":
        return found
    for name in ("last", "best"):
        content = run.checkpoint(name)
        found |= {f"{name}/{key}": values.tolist() for key, values in content["state_dict"].items()}
        found[name] = str([content.get(key) for key in ("global_step", "score", "optimizer_states", "lr_schedulers")])
    return found | {"steps": status["steps"], "metrics": run.metrics}


def test_the_number_of_copies_does_not_matter(stack: Stack, alone: Stack) -> None:
    words = (*WORDS, "model=deep", "model.dropout=0.2", "trainer.max_steps=40", "optimizer=nesterov")
    each = [{"seed": seed, "optimizer.lr": 0.01 + 0.01 * seed} for seed in range(7)]
    single = alone(words, each[:1])
    for copies in (1, 7):
        assert_equal(stack(words, each[:copies], f"of{copies}")[:1], single)


WILD = ("optimizer=sgd", "optimizer.weight_decay=0.1", "trainer.max_steps=30")
NEIGHBOURS = [
    (
        *("data=regression_3d", "data.batch_size=full", "loss=sse", "optimizer=momentum", "optimizer.lr=1e-4"),
        *("trainer.gradient_clip=1", "scheduler=plateau", "trainer.patience=60"),
    ),
    ("optimizer=adamw", "scheduler=cosine", "trainer.precision=32-true", "weights=best"),
]


@pytest.mark.parametrize("case", NEIGHBOURS, ids=" ".join)
def test_a_neighbour_that_diverges_changes_no_bit(case: tuple[str, ...], stack: Stack, alone: Stack) -> None:
    words = (*WORDS, *WILD, "model.hidden=[7]", *case)
    tame: list[dict[str, Any]] = [{"seed": 0}, {"seed": 1}, {"seed": 2}]
    wild = [tame[0], {"seed": 1, "optimizer.lr": 1e9}, tame[2]]
    calm, rough = stack(words, tame), stack(words, wild, "rough")
    assert [run.status["state"] for run in rough] == ["completed", "diverged", "completed"]
    assert [bits(rough[place]) == bits(calm[place]) for place in (0, 2)] == [True, True]
    single = alone(words, wild[1:2])[0]
    for name in ("state", "error"):
        assert rough[1].status[name] == single.status[name]
    assert not (rough[1].folder / "metrics.json").exists()
    losses = [{row["step"]: row["val/loss"] for row in run.rows} for run in (rough[1], single)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3, nan_ok=True)


def test_a_training_row_is_named_that_made_copies_diverge(stack: Stack, tmp_path: Path) -> None:
    rows = np.random.RandomState(0).standard_normal((60, 3))
    rows[6, 2] = 1e25
    table = [",".join(map(str, [day, *row])) for day, row in enumerate(rows)]
    (tmp_path / "rows.csv").write_text("\n".join(["day,a,b,c", *table]))
    words = (*QUIET, "data=table", f"data.path={tmp_path / 'rows.csv'}", "data.target=c", "data.time=day")
    for run in stack((*words, "data.scale=none", "optimizer=sgd", "data.batch_size=8", "trainer.max_epochs=2"), RATES):
        status = run.status
        assert status["state"] == "failed" and status["error"].startswith("the loss ")
        assert ", because the target 'c' is 1e+25 in row 7 of" in status["error"]


def test_each_copy_stops_early_by_itself(stack: Stack, alone: Stack) -> None:
    words = (
        *WORDS,
        "optimizer=sgd",
        "trainer.patience=2",
        "trainer.max_epochs=30",
        "weights=best",
        "scheduler=plateau",
    )
    each = [{"seed": seed, "optimizer.lr": rate} for seed, rate in enumerate([0.5, 2, 3, 0.01])]
    copies = stack(words, each)
    assert_equal(copies, alone(words, each))
    steps = [run.status["steps"] for run in copies]
    assert len(set(steps)) >= 3, steps
    assert {run.status["stopped_early"] for run in copies} == {True, False}


def test_copies_that_have_stopped_leave_the_stack(stack: Stack, alone: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a stack that is interrupted afterwards resumes without them."""
    monkeypatch.setattr(fit, "WORTHWHILE", 1)
    keep, left = fit.Fit._keep, []

    def noted(self: fit.Fit, members: Any) -> None:
        left.append(members.tolist())
        keep(self, members)

    monkeypatch.setattr(fit.Fit, "_keep", noted)
    case = ("optimizer=adam", "model.dropout=0.2", "data.scale=both")
    words = (*WORDS, "data=regression_3d", "model=deep", *case, "trainer.patience=1", "trainer.max_epochs=20")
    each = [
        {"seed": i, "data.seed": i % 3, "optimizer.lr": rate, "optimizer.weight_decay": 0.03 * i}
        for i, rate in enumerate([0.3, 0.4, 0.01, 0.5])
    ]
    whole = stack(words, each)
    assert left and min(map(len, left)) < 3
    assert_equal(whole, alone(words, each))
    save, saved = checkpoints.save, itertools.count(1)

    def save_and_stop(content: Any, path: Path, **options: Any) -> None:
        save(content, path, **options)
        if path.parent.name == "stacks" and content["fit"]["number"] >= 40 and next(saved) == 1:
            raise Interrupted(15)

    monkeypatch.setattr(stacked, "SECONDS", 0.0)
    monkeypatch.setattr(stacked, "SHARE", 1e9)
    monkeypatch.setattr(checkpoints, "save", save_and_stop)
    with pytest.raises(Interrupted):
        stack(words, each, "again")
    for run, undisturbed in zip(stack(words, each, "again"), whole, strict=True):
        found, wanted = bits(run), bits(undisturbed)
        assert not [name for name in wanted if found[name] != wanted[name]]


def test_a_copy_that_diverges_lets_nobody_leave(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "WORTHWHILE", 1)
    monkeypatch.delattr(fit.Fit, "_keep")
    words = (*WORDS, "data=regression_3d", "model=deep", "optimizer=sgd", "trainer.patience=2", "trainer.max_epochs=20")
    runs = stack(words, [{"optimizer.lr": rate} for rate in (0.3, 1e-4, 1e200, 2e-4)])
    assert [run.status["state"] for run in runs] == ["completed", "completed", "diverged", "completed"]
    assert [run.status.get("stopped_early") for run in runs] == [True, False, None, False]


def test_a_pruner_ends_its_own_copy(stack: Stack, alone: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointing, "SECONDS", 0.0)  # a single run that is pruned saves by the clock
    monkeypatch.setattr(checkpointing, "SHARE", 1e9)
    words = (*WORDS, "trainer.max_epochs=10", "optimizer=momentum")
    asked: list[tuple[int, float]] = []

    def pruner(percent: int, score: float) -> bool:
        asked.append((percent, score))
        return percent >= 40

    each = [{"seed": seed} for seed in range(3)]
    pruners = [None, pruner, None]
    copies = stack(words, each, pruners=pruners)
    of_stack, asked = asked, []
    singles = alone(words, each, pruners=pruners)
    assert [run.status["state"] for run in copies] == ["completed", "pruned", "completed"]
    assert [percent for percent, _ in of_stack] == [percent for percent, _ in asked] == [10, 20, 30, 40]
    assert copies[1].status["pruned"] == singles[1].status["pruned"]
    assert copies[1].status["error"] is None
    assert copies[1].status["steps"] == singles[1].status["steps"] == 20
    assert distance(copies[1].weights(), singles[1].weights()) < 1e-10
    assert_equal([copies[0], copies[2]], [singles[0], singles[2]])


LONG = (*WORDS, "model=deep", "trainer.points=4", "trainer.max_steps=95")
"""5 steps a pass, 25 an interval, of which the last has 20."""
RESUMED = [
    ("optimizer=adam", "model.dropout=0.2", "scheduler=plateau", "scheduler.patience=0", "trainer.patience=4"),
    (
        *("optimizer=adamw", "scheduler=one_cycle", "weights=best", "trainer.precision=32-true"),
        *("data.batch_size=full", "data.val_size=0", "score=train/loss"),
    ),
]


@pytest.mark.parametrize("case", RESUMED, ids=" ".join)
def test_a_stack_that_is_interrupted_ends_as_an_undisturbed_one(
    case: tuple[str, ...], stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stopped twice: after its second checkpoint, and after the third from there."""
    words = (*LONG, *case)
    each = [{"seed": 0}, {"seed": 1, "optimizer.lr": 1e9}, {"seed": 2}, {"seed": 3, "optimizer.lr": 0.02}]
    whole = [bits(run) for run in stack(words, each, "whole")]
    monkeypatch.setattr(stacked, "SECONDS", 0.0)
    monkeypatch.setattr(stacked, "SHARE", 1e9)
    save, saved, stops = checkpoints.save, itertools.count(1), 0

    def save_and_stop(content: Any, path: Path, **options: Any) -> None:
        save(content, path, **options)
        if path.parent.name == "stacks" and next(saved) in (2, 5):
            raise Interrupted(15)

    monkeypatch.setattr(checkpoints, "save", save_and_stop)
    while True:
        try:
            copies = stack(words, each)
            break
        except Interrupted:
            stops += 1
    assert stops == 2
    for run, undisturbed in zip(copies, whole, strict=True):
        found = bits(run)
        assert not [name for name in undisturbed if found[name] != undisturbed[name]]
    assert all(len(run.status["resumed"]) == stops for run in copies)


def test_a_stack_of_a_version_with_other_metrics_begins_again(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words, each = (*LONG, "optimizer=adam"), [{"seed": 0}, {"seed": 1}]
    whole = [bits(run) for run in stack(words, each, "whole")]
    monkeypatch.setattr(stacked, "SECONDS", 0.0)
    monkeypatch.setattr(stacked, "SHARE", 1e9)
    save = checkpoints.save

    def save_as_before(content: Any, path: Path, **options: Any) -> None:
        if path.parent.name == "stacks":
            del content["columns"]
        save(content, path, **options)
        raise Interrupted(15)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", save_as_before)
        with pytest.raises(Interrupted):
            stack(words, each)
    copies = stack(words, each)
    assert "other metrics are measured now); its runs begin again" in capsys.readouterr().err
    for run, undisturbed in zip(copies, whole, strict=True):
        found = bits(run)
        assert not [name for name in undisturbed if found[name] != undisturbed[name]]


PLACES = {
    "terminated while it trains": (("pack", 4), signal.SIGTERM),
    "killed while it trains": (("pack", 4), signal.SIGKILL),
    "killed while it writes records": (("record", 2), signal.SIGKILL),
    "killed while it says how runs ended": (("state", 2, "completed"), signal.SIGKILL),
}


KILLED = (*LONG, "model.dropout=0.2", "scheduler=plateau", "scheduler.patience=0", "logger=tensorboard")
EACH: list[dict[str, Any]] = [{"seed": 0}, {"seed": 1, "optimizer.lr": 0.3}, {"seed": 2}]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Trained]:
    planned = plan(tmp_path_factory.mktemp("undisturbed"), KILLED, EACH)
    train_stack(*planned)
    return [Trained(job.folder) for job in planned[2]]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")
@pytest.mark.parametrize("place", PLACES)
def test_a_stack_whose_process_is_killed_ends_as_an_undisturbed_one(
    place: str, stack: Stack, undisturbed: list[Trained], tmp_path: Path
) -> None:
    at, number = PLACES[place]
    script, server = str(Path(__file__).with_name("killed_stack.py")), multiprocessing.get_context("forkserver")
    names = {"STACK": plan(tmp_path / "stack", KILLED, EACH), "AT": at, "SIGNAL": number}
    process = server.Process(target=runpy.run_path, args=(script,), kwargs={"init_globals": names})
    process.start()
    process.join(60)
    assert process.exitcode == (-9 if number == signal.SIGKILL else 143)
    states = {Trained(tmp_path / "stack" / str(copy)).status["state"] for copy in range(3)}
    for folder in (tmp_path / "stack" / "1" / "checkpoints", tmp_path / "stack" / "stacks"):
        folder.mkdir(exist_ok=True)
        (folder / f"{TEMPORARY}half").touch()  # a file that was being written
    assert states == {"interrupted" if number == signal.SIGTERM else "running", *at[2:]}
    for run, whole in zip(stack(KILLED, EACH), undisturbed, strict=True):
        found, wanted = bits(run), bits(whole)
        assert not [name for name in wanted if found[name] != wanted[name]]
        assert len(list(run.folder.rglob("events.*"))) == 1


def test_each_copy_that_is_interrupted_counts_the_time_of_its_own(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise Interrupted(15)

    each: list[dict[str, Any]] = [{"seed": seed} for seed in range(3)]
    plan(tmp_path / "stack", WORDS, each)
    write_json(tmp_path / "stack" / "1" / "status.json", {"state": "interrupted", "seconds": 1000.0})
    monkeypatch.setattr(fit.Fit, "run", stop)
    with pytest.raises(Interrupted):
        stack(WORDS, each)
    seconds = [Trained(tmp_path / "stack" / str(copy)).status["seconds"] for copy in range(3)]
    assert [found > 900 for found in seconds] == [False, True, False]


class Board:
    """What TensorBoard reads of a run."""

    def __init__(self, run: Trained) -> None:
        (folder,) = (run.folder / "tensorboard").iterdir()
        self.events = EventAccumulator(str(folder)).Reload()
        self.tags = self.events.Tags()

    def points(self) -> dict[str, list[tuple[int, float]]]:
        return {tag: [(event.step, event.value) for event in self.events.Scalars(tag)] for tag in self.tags["scalars"]}

    def parameters(self) -> tuple[dict[str, Any], int]:
        """Returns the hyperparameters at the session's start, and the status at its end."""
        content = self.events.SummaryMetadata
        start, end = (
            plugin_data_pb2.HParamsPluginData.FromString(content(f"_hparams_/session_{name}_info").plugin_data.content)
            for name in ("start", "end")
        )
        found = {
            name: value.number_value or value.string_value for name, value in start.session_start_info.hparams.items()
        }
        return found, end.session_end_info.status


def test_the_dashboard_shows_of_a_copy_what_it_shows_of_a_run(stack: Stack, alone: Stack) -> None:
    figures = [f"figures.{name}=true" for name in ("curves", "confusion", "calibration", "importance")]
    words = (*WORDS, *figures, "data=blobs", "trainer.max_epochs=4", "logger=tensorboard", "weights=best")
    each = [{"seed": 0, "optimizer.lr": 0.1}, {"seed": 5, "optimizer.lr": 0.03}]
    copies, singles = stack(words, each), alone(words, each[1:])
    for copy, single in zip(copies[1:], singles, strict=True):
        one, other = Board(copy), Board(single)
        assert {name: sorted(tags) if isinstance(tags, list) else tags for name, tags in one.tags.items()} == {
            name: sorted(tags) if isinstance(tags, list) else tags for name, tags in other.tags.items()
        }
        assert one.events.Graph().node == other.events.Graph().node
        a, b = one.points(), other.points()
        assert all(dict(a[tag]) == pytest.approx(dict(b[tag]), rel=1e-6) and len(a[tag]) == len(b[tag]) for tag in b)
        assert one.parameters() == ({"seed": 5, "optimizer.lr": 0.03}, other.parameters()[1])
        drawn = [{path.name for path in (run.folder / "figures").iterdir()} for run in (copy, single)]
        assert drawn[0] == drawn[1] > {"calibration.png", "importance.png"}
        images = [one.events.Images(tag)[0] for tag in sorted(one.tags["images"])]
        files = sorted((copy.folder / "figures").glob("*.png"))
        assert [image.encoded_image_string for image in images] == [path.read_bytes() for path in files]


def test_a_copy_has_the_record_of_a_run(stack: Stack, alone: Stack) -> None:
    words = (*WORDS, "data=linear_5d", "model=linear", "baseline=sklearn", "logger=csv", "trainer.max_epochs=4")
    each = [{"seed": 0}, {"seed": 5, "optimizer.lr": 0.03}]
    copies, singles = stack(words, each), alone(words, each)
    assert_equal(copies, singles)
    assert any(name.startswith("baseline/") for name in copies[0].metrics)
    for copy, single in zip(copies, singles, strict=True):
        one, other = copy.status, single.status
        assert one.keys() == other.keys() | {"stacked"}
        changing = {"started", "ended", "seconds", "overrides"}
        assert {name: other[name] for name in other.keys() - changing} == {
            name: one[name] for name in other.keys() - changing
        }
        assert (one["stacked"] == 2 and one["overrides"] != copies[0].status["overrides"]) or copy is copies[0]
        with (copy.folder / "csv" / "metrics.csv").open() as a, (single.folder / "csv" / "metrics.csv").open() as b:
            numbers, wanted = list(csv.DictReader(a)), list(csv.DictReader(b))
        assert len(numbers) == len(wanted) == 4
        for row, wanted_row in zip(numbers, wanted, strict=True):
            assert {name: float(cell) for name, cell in row.items()} == pytest.approx(
                {name: float(cell) for name, cell in wanted_row.items()}, rel=1e-8
            )
        assert {path.name for path in copy.folder.iterdir()} == {path.name for path in single.folder.iterdir()}
        loaded = fulmen.load(copy.folder)
        assert loaded.metrics == copy.metrics
        assert (
            distance(dict(loaded.model.state_dict()), {n.removeprefix("net."): v for n, v in copy.weights().items()})
            == 0
        )


def test_commands_take_a_copy(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (*WORDS, "trainer.max_epochs=4", "weights=best")
    copies = stack(words, RATES)
    monkeypatch.chdir(tmp_path)
    for copy in copies:
        assert main(["evaluate", str(copy.folder), "output=again.json"]) == 0
        again = json.loads(Path("again.json").read_text())
        wanted = copy.metrics
        assert len(again) >= 12
        for name, value in again.items():
            assert value == (pytest.approx(wanted[name], rel=1e-9) if isinstance(value, float) else wanted[name])
    Path("rows.csv").write_text("x1,x2\n0.5,-0.25\n1,1\n")
    assert main(["predict", str(copies[1].folder), "input=rows.csv", "output=found.csv"]) == 0
    assert len(Path("found.csv").read_text().splitlines()) == 3
    assert main([f"rerun={copies[2].folder}", "run_dir=rerun", *QUIET[:2]]) == 0
    assert_equal([Trained(Path("rerun"))], copies[2:])


LONGER = [
    ("optimizer=adam", "model=deep", "model.dropout=0.3", "scheduler=plateau", "scheduler.patience=0", "weights=best"),
    ("optimizer=momentum", "optimizer.weight_decay=0.1", "scheduler=one_cycle"),
    ("optimizer=rmsprop", "trainer.patience=30", "data.batch_size=full"),
]


@pytest.mark.parametrize("case", LONGER, ids=" ".join)
def test_a_copy_resumes_as_a_run_by_itself(case: tuple[str, ...], stack: Stack, alone: Stack) -> None:
    """It ends as one that was longer from the start; where the schedule knows the length, as one that was resumed."""
    words, each = (*WORDS, "trainer.max_epochs=6", "trainer.points=3", *case), RATES[1:]
    copy = stack(words, each)[0]
    resume(copy.folder, ["trainer.max_epochs=12"], verbose=False)
    if "scheduler=one_cycle" in case:
        single = alone(words, each[:1])[0]
        resume(single.folder, ["trainer.max_epochs=12"], verbose=False)
        assert_equal([copy], [single])
    else:
        single = alone((*words, "trainer.max_epochs=12"), each[:1])[0]
        assert copy.status["steps"] == single.status["steps"] and copy.metrics.keys() == single.metrics.keys()
        assert distance(copy.weights(), single.weights()) < 1e-10


OWN = """\
from torch import nn


class Plain(nn.Module):
    def __init__(self, in_shape, out_features):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(in_shape[0], 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, out_features))

    def forward(self, x):
        return self.body(x)


class Random(Plain):
    def forward(self, x):
        return self.body(nn.functional.dropout(x, 0.3, self.training))


class Shrinks(Plain):
    def __init__(self, in_shape, out_features, dropout):
        super().__init__(in_shape, out_features)
        self.share = 1 - dropout

    def forward(self, x):
        return self.body(x * self.share)


class Raises(Plain):
    def forward(self, x):
        if self.training and self.body[0].weight.isnan().any():
            raise RuntimeError("no way")
        return self.body(x)


def loss(out, y, task):
    return (out.sigmoid() - y).abs().pow(1.5).mean()


def penalty(parameters):
    return 0.01 * sum(parameter.pow(4).sum() for parameter in parameters)


def fails(net, generator=None):
    raise RuntimeError("no way")


def init(net, generator=None):
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Writes code of one's own, and returns the words that allow it."""
    home = tmp_path / "own"
    (home / "model").mkdir(parents=True)
    (home / "stack_nets.py").write_text(OWN)
    for name in ("Plain", "Random", "Shrinks", "Raises"):
        (home / "model" / f"{name.lower()}.yaml").write_text(f"# own\n_target_: stack_nets.{name}\n_partial_: true\n")
    with (home / "model" / "shrinks.yaml").open("a") as file:
        file.write("dropout: 0.1\n")
    for group in ("loss", "penalty"):
        (home / group).mkdir()
        target = f"# own\n_target_: stack_nets.{group}\n_partial_: true\n"
        (home / group / "own.yaml").write_text(target)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    sys.modules.pop("stack_nets", None)
    return ["--config-dir", "own", "allow_targets=[stack_nets]"]


def swept(words: Sequence[str]) -> list[Trained]:
    """Runs of the one sweep that there is."""
    (sweep,) = Path("logs/sweeps").iterdir()
    assert not left_behind(sweep) - {sweep / ".gitignore"}
    return [Trained(folder) for folder in sorted(sweep.iterdir()) if (folder / "config.yaml").exists()]


def test_a_sweep_with_code_of_ones_own_trains_as_one(
    own: list[str], alone: Stack, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*own, *WORDS, "model=plain", "loss=own", "penalty=own", "optimizer=sgd", "trainer.max_epochs=3"]
    assert main([*words, "-m", "hydra/launcher=vectorized", "seed=1,2", "optimizer.lr=0.1"]) == 0
    assert "2 runs train as one" in capfd.readouterr().out
    copies = swept(words)
    assert [run.status["stacked"] for run in copies] == [2, 2]
    assert main([*words, "seed=2", "optimizer.lr=0.1", "run_dir=single"]) == 0
    assert_equal(copies[1:], [Trained(Path("single"))])


def test_a_sweep_that_cannot_be_stacked_trains_one_by_one(own: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    words = [*own, *WORDS, "optimizer=sgd", "trainer.max_epochs=1"]
    assert main([*words, "-m", "hydra/launcher=vectorized", "model=random,raises", "seed=1,2"]) == 0
    said = capfd.readouterr().out
    assert re.search("jobs 0 to 1 train one by one: .*draws random numbers", said)
    assert re.search("jobs 2 to 3 train one by one: .*decides by values", said)
    runs = swept(words)
    assert [run.status["state"] for run in runs] == ["completed"] * 4
    assert all("stacked" not in run.status for run in runs)


def test_networks_that_differ_in_more_than_tensors_train_one_by_one(
    own: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*own, *WORDS, "model=shrinks", "trainer.max_epochs=1"]
    assert main([*words, "-m", "hydra/launcher=vectorized", "model.dropout=0.1,0.5"]) == 0
    assert "the networks differ in share" in capfd.readouterr().out
    assert all("stacked" not in run.status for run in swept(words))


@pytest.mark.parametrize(
    ("init", "why"),
    [
        ({"_target_": "numpy.savetxt", "fname": "called", "X": [1]}, "none of Fulmen's parts"),
        ({"_target_": "stack_nets.fails", "_partial_": True}, "no way"),
    ],
)
def test_a_part_that_is_not_allowed_is_not_called_and_one_that_fails_fails_its_own_run_alone(
    init: Mapping[str, Any],
    why: str,
    own: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = [*own, *WORDS, "trainer.max_epochs=1"]
    with monkeypatch.context() as patches:  # as if it had been stopped before the first job began
        patches.setattr("fulmen.sweeps.sweep.run_all", lambda *_: None)
        assert main([*words, "-m", "hydra/launcher=vectorized", "seed=1,2,3"]) == 1
    (sweep,) = Path("logs/sweeps").iterdir()
    write_text(sweep / "1" / "config.yaml", yaml_text(read_config(sweep / "1") | {"init": init}))
    assert main([*own, "-m", f"resume={sweep}"]) == 1
    assert "train one by one: " in capfd.readouterr().out
    runs = swept(words)
    assert [run.status["state"] for run in runs] == ["completed", "failed", "completed"]
    assert why in runs[1].status["error"]
    assert not Path("called").exists()


def test_a_run_whose_data_is_wrong_does_not_fail_its_neighbours(
    own: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*WORDS, "trainer.precision=32-true", "trainer.max_epochs=1"]
    assert main([*words, "-m", "hydra/launcher=vectorized", "data.noise=0.1,1e300,0.2"]) == 1
    said = capfd.readouterr().out
    assert "train one by one: " in said and "/loss would be infinite" in said
    runs = swept(words)
    assert [run.status["state"] for run in runs] == ["completed", "failed", "completed"]
    assert "would be infinite" in runs[1].status["error"]


def test_a_stack_says_once_what_each_run_says(stack: Stack, alone: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    words = (*WORDS, "data.val_size=1", "trainer.max_epochs=1")
    stack(words, RATES)
    said = capsys.readouterr().err.splitlines()
    alone(words, RATES[:1])
    assert capsys.readouterr().err.splitlines() == said
    assert said == ["fulmen: val/auroc stays empty in the history: the validation split has no row of class 'upper'"]


COMPILED = {
    "in earnest": (),
    "the graph itself": ("model=deep", "model.dropout=0.2", "scheduler=cosine", "data.train_size=44"),
}


@pytest.mark.parametrize("case", COMPILED)
def test_a_compiled_stack_is_the_same(case: str, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Machine code of dropout is tested with single runs; a last batch of 4 rows, not 8, has a graph of its own."""
    if COMPILED[case]:
        monkeypatch.setattr(torch_private, "machine_code", lambda graph, _inputs: graph)
    words = (*WORDS, "trainer.max_steps=60", "optimizer=adamw", "optimizer.weight_decay=0.1", *COMPILED[case])
    each = [{"seed": 0}, {"seed": 1, "optimizer.lr": 1e9}, {"seed": 2, "optimizer.lr": 0.02}]
    compiled = stack((*words, "trainer.compile=true"), each, "compiled")
    for one, other in zip(compiled, stack(words, each), strict=True):
        assert one.status["compiled"] is True
        assert one.status["state"] == other.status["state"]
        if one.status["state"] == "completed":
            assert_equal([one], [other])


def test_a_stack_does_not_hold_the_rows_of_its_histories(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in a file as soon as they are known: memory does not grow with the intervals."""
    add, rows = StackedHistory.add, list[weakref.ref[Any]]()

    def watched(history: StackedHistory, step: int, epoch: float, figures: Any) -> None:
        add(history, step, epoch, figures)
        rows.append(weakref.ref(figures))

    monkeypatch.setattr(StackedHistory, "add", watched)
    runs = stack((*WORDS, "scheduler=plateau", "trainer.max_epochs=8"), RATES)
    assert [row() for row in rows] == [None] * 8
    assert [len(run.rows) for run in runs] == [8, 8, 8]
