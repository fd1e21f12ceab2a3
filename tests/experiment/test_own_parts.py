"""Parts of one's own: each kind trains, and is found again; a wrong one is refused with the signature it must have."""

import csv
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from fulmen.cli.main import main

METRICS = """\
def profit_score(prediction, target, price=2.0):
    return price * ((prediction > 0.5) == target).float().mean()


def silent_error(prediction, target):
    pass


def spread(prediction, target):
    return prediction.std()
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a module of the user's own."""
    (tmp_path / "my_metrics.py").write_text(METRICS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = ["data=moons", "data.train_size=40", "trainer.max_epochs=2", "figures=none", "logger=none"]
OWN = ["allow_targets=[my_metrics]"]


def row(folder: Path) -> dict[str, Any]:
    """The last row of a run's history."""
    with (folder / "history.csv").open() as file:
        return list(csv.DictReader(file))[-1]


def test_a_metric_of_ones_own_may_be_the_score(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["metrics=[accuracy,my_metrics.profit_score,cohen_kappa]", "score=val/profit_score", "weights=last"]
    assert main([*SMALL, *OWN, *given, "logger=tensorboard", "run_dir=one"]) == 0
    metrics = json.loads(Path("one/metrics.json").read_text())
    assert metrics["val/profit_score"] == pytest.approx(2 * metrics["val/accuracy"])
    last = row(Path("one"))
    assert float(last["val/profit_score"]) == pytest.approx(2 * float(last["val/accuracy"]))
    assert "val/cohen_kappa" in last
    assert main([*SMALL, *OWN, "metrics=[{_target_: my_metrics.profit_score, price: 5}]", "run_dir=two"]) == 0
    found = json.loads(Path("two/metrics.json").read_text())
    assert found["test/profit_score"] == pytest.approx(5 * found["test/accuracy"])
    capsys.readouterr()
    assert main(["evaluate", "one", "split=val", *OWN]) == 0
    assert "profit_score" in capsys.readouterr().out
    assert main(["evaluate", "one", "split=val"]) == 1
    assert "allow_targets=[my_metrics]" in capsys.readouterr().err
    assert main(["resume=one", "trainer.max_epochs=4", *OWN]) == 0
    assert float(row(Path("one"))["epoch"]) == 4


def test_a_sweep_ranks_by_it_and_trains_such_jobs_one_by_one(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["-m", *SMALL, *OWN, "metrics=my_metrics.profit_score", "score=val/profit_score", "seed=0,1"]
    assert main([*given, "hydra/launcher=vectorized"]) == 0
    said = capsys.readouterr().out
    assert "metrics=[...] are measured of single runs" in said
    (sweep,) = Path("logs/sweeps").iterdir()
    with (sweep / "leaderboard.csv").open() as file:
        scores = [float(each["score"]) for each in csv.DictReader(file)]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[cohen_kapa]", "metrics=[cohen_kapa] is none of this binary task; did you mean cohen_kappa?"),
        ("[pearson_corrcoef]", "metrics=[pearson_corrcoef] is none of this binary task"),
        ("[acuracy]", "metrics=[acuracy] is none of this binary task; did you mean accuracy?"),
        ("[rmse]", "metrics=[rmse] is none of this binary task"),
        ("[cohen_kappa,cohen_kappa]", "metric cohen_kappa is measured already"),
        ("[3]", "metrics has 3, but must be names, or a function metric(prediction, target, **keys)"),
        ("null", "metrics has None, but must be names, or a function metric(prediction, target, **keys)"),
        ("[my_metrics.spread]", "metric spread does not say by its name whether it is to be maximized"),
        ("[my_metrics.silent_error]", "metric silent_error returned None; it must be a function metric(prediction,"),
        ("[my_metrics.gone_score]", "my_metrics.gone_score, which cannot be imported"),
        ("[other.profit_score]", "other.profit_score, which is none of Fulmen's parts"),
    ],
)
def test_a_wrong_metric_is_refused(given: str, said: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, *OWN, f"metrics={given}", "run_dir=refused"]) == 1
    assert said in capsys.readouterr().err
    assert not Path("refused").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("[fit]", "figures.own has 'fit', but each must be a function figure(context, **keys)"),
        ("[my_metrics.silent_error]", "cannot be called: missing a required argument: 'target'; it must be a function"),
    ],
)
def test_a_wrong_figure_is_refused(given: str, said: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, *OWN, f"figures.own={given}", "run_dir=refused"]) == 1
    assert said in capsys.readouterr().err
    assert not Path("refused").exists()


PICTURES = """\
from matplotlib.figure import Figure


def curves(context, width=1):
    return Figure(figsize=(width, 1), dpi=100)


def training(context):
    return curves(context)
"""


def test_figures_of_equal_names_are_numbered(own: Path) -> None:
    Path("my_pictures.py").write_text(PICTURES)
    each = [f"{{_target_: my_pictures.curves, _partial_: true, width: {width}}}" for width in (2, 3)]
    given = f"figures.own=[{','.join(each)},my_pictures.training]"
    assert main([*SMALL, "figures.curves=true", given, "allow_targets=[my_pictures]", "run_dir=run"]) == 0
    sizes = {path.stem: imread(path).shape[1] for path in Path("run/figures").iterdir()}
    assert {*sizes} == {"curves", "curves_2", "curves_3", "training_2"}, "training.gif is the animation"
    assert sizes["curves_3"] == 1.5 * sizes["curves_2"]


EXAMPLE = Path(__file__).parents[2] / "docs" / "example"


@pytest.mark.usefixtures("own_imported_anew")
def test_the_example_of_every_part_trains_resumes_and_predicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [f"--config-dir={EXAMPLE}", "allow_targets=[own]"]
    assert main([*given, "experiment=parabola_waves", "run_dir=one", "trainer.max_epochs=10"]) == 0
    metrics = json.loads(Path("one/metrics.json").read_text())
    assert metrics["test/within_score"] > 0.2
    assert metrics["val/spearman_corrcoef"] > 0.9
    lines = [json.loads(line) for line in Path("one/history.jsonl").read_text().splitlines()]
    assert len([line for line in lines if "weight_norm" in line]) == 10
    with Path("one/history.csv").open() as file:
        rows = list(csv.DictReader(file))
    rates = [float(each["lr"]) for each in rows]
    assert len(rows) == 10
    assert rates[0] == max(rates) == pytest.approx(0.01, rel=0.2)
    assert Path("one/figures/misses.png").is_file()
    assert main(["resume=one", "trainer.max_epochs=11", given[1]]) == 0
    assert main(["evaluate", "one", "split=test", given[1]]) == 0
    assert main([*given, "-m", "sweep=waves", "trainer.max_epochs=1", "logger=none"]) == 0
    (board,) = Path("logs/sweeps").glob("*/leaderboard.csv")
    assert len(board.read_text().splitlines()) == 5
    capsys.readouterr()


@pytest.mark.parametrize("group", ["optimizer", "scheduler"])
def test_all_of_torch_have_a_choice(group: str) -> None:
    import inspect

    import torch
    from omegaconf import OmegaConf

    home: Any = torch.optim if group == "optimizer" else torch.optim.lr_scheduler
    base = torch.optim.Optimizer if group == "optimizer" else torch.optim.lr_scheduler.LRScheduler
    there = {name for name, each in vars(home).items() if inspect.isclass(each) and issubclass(each, base)}
    files: list[Any] = [OmegaConf.load(path) for path in (EXAMPLE.parents[1] / "conf" / group).glob("*.yaml")]
    targets = {str(file.get("_target_", "")).rpartition(".")[2] for file in files}
    ours = {"one_cycle": "OneCycleLR", "plateau": "ReduceLROnPlateau"}
    needs_more = {"Optimizer", "SparseAdam"} | {  # of gradients, functions or schedules that a file cannot give
        *("LRScheduler", "_LRScheduler", "LambdaLR", "MultiplicativeLR", "SequentialLR", "ChainedScheduler")
    }
    assert there - needs_more <= targets | {ours[name] for name in targets & set(ours)}


PAIRS = {
    "adadelta": "constant_lr",
    "adafactor": "cosine_annealing",
    "adamax": "cosine_annealing_warm_restarts",
    "asgd": "cyclic",
    "muon": "exponential",
    "nadam": "linear",
    "radam": "multi_step scheduler.milestones=[3,5]",
    "rprop": "polynomial",
    "adam": "step_lr",
}


@pytest.mark.parametrize("optimizer", PAIRS)
def test_torchs_optimizers_and_schedules_resume_to_the_last_bit(optimizer: str, own: Path) -> None:
    words = [*SMALL, f"optimizer={optimizer}", *f"scheduler={PAIRS[optimizer]}".split(), "weights=last"]
    words += ["model.bias=false"] if optimizer == "muon" else []
    assert main([*words, "run_dir=one"]) == 0
    assert main(["resume=one", "trainer.max_epochs=3"]) == 0
    assert main([*words, "trainer.max_epochs=3", "run_dir=whole"]) == 0
    assert Path("one/metrics.json").read_text() == Path("whole/metrics.json").read_text()
    assert row(Path("one"))["lr"] == row(Path("whole"))["lr"]


def test_a_run_that_a_callback_ended_trains_longer(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "ending.py").write_text(ENDING)
    (own / "callbacks").mkdir()
    (own / "callbacks" / "ending.yaml").write_text("# Ends\n_target_: ending.End\n_partial_: true\nat: 3\n")
    given = [*SMALL, "--config-dir=.", "allow_targets=[ending]", "trainer.max_epochs=4", "trainer.pack=1"]
    assert main([*given, "callbacks=ending", "run_dir=one"]) == 0
    said, _, typed = capsys.readouterr().out.splitlines()[-1].partition("; to train longer: ")
    assert said == "stopped:    at step 3 of 8, ended by a callback"
    assert typed == "fulmen --config-dir . resume=one callbacks.at=... 'allow_targets=[ending]'"
    status = json.loads(Path("one/status.json").read_text())
    assert (status["state"], status["stopped_early"], status["stopped_by"]) == ("completed", True, "callbacks")
    assert main(["resume=one"]) == 0
    said = "one was ended by a callback after 3 steps: nothing more to do; to train longer, use fulmen resume=one with "
    assert said + "another callbacks.at, or fulmen rerun=one with changes" in capsys.readouterr().out
    assert main(["resume=one", "callbacks.to=5"]) == 1
    assert "callbacks.to=5 is not one of trainer.max_epochs, " in capsys.readouterr().err
    assert main(shlex.split(typed.replace("...", "100"))[1:]) == 0
    assert main([*given, "run_dir=whole"]) == 0
    assert Path("one/metrics.json").read_text() == Path("whole/metrics.json").read_text()
    assert "stopped:" not in capsys.readouterr().out


@pytest.mark.parametrize("made", ["Subclass", "function"])
def test_an_early_stopping_of_ones_own_is_a_callback(made: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "stopping.py").write_text(STOPPING)
    (own / "callbacks").mkdir()
    (own / "callbacks" / "stopping.yaml").write_text(
        f"# Stops\n_target_: stopping.{made}\n_partial_: true\nmode: max\npatience: 2\n"
    )
    given = [*SMALL, "--config-dir=.", "allow_targets=[stopping]", "trainer.max_epochs=9", "callbacks=stopping"]
    assert main([*given, "run_dir=one"]) == 0
    said = capsys.readouterr().out
    assert "stopped:    at step 6 of 18, ended by a callback; to train longer: " in said
    assert said.endswith(", with another callbacks.mode or callbacks.patience\n")
    assert json.loads(Path("one/status.json").read_text())["stopped_by"] == "callbacks"
    assert main(["--config-dir=.", "resume=one", "callbacks.patience=5", "allow_targets=[stopping]"]) == 0
    assert main([*given, "callbacks.patience=5", "run_dir=whole"]) == 0
    assert row(Path("one"))["step"] == "12" and json.loads(Path("one/status.json").read_text())["steps"] == 12
    assert Path("one/metrics.json").read_text() == Path("whole/metrics.json").read_text()


def test_a_callback_that_allows_no_step_fails_the_run(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "callbacks=timer", "callbacks.duration=00:00:00:00", "run_dir=one"]) == 1
    assert "a callback ended the training before its first step" in capsys.readouterr().err
    assert json.loads(Path("one/status.json").read_text())["state"] == "failed"


ENDING = """\
from lightning.pytorch.callbacks import Callback


class End(Callback):
    def __init__(self, at):
        self.at = at

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.global_step >= self.at
"""

STOPPING = """\
from lightning.pytorch.callbacks import EarlyStopping


class Subclass(EarlyStopping):
    def __init__(self, mode, patience):
        super().__init__("train/loss", mode=mode, patience=patience)


def function(mode, patience):
    return [EarlyStopping("train/loss", mode=mode, patience=patience)]
"""

TWO = """\
from lightning.pytorch.callbacks import LambdaCallback


def two(step):
    def show(trainer, *_):
        if trainer.global_step == step:
            print("step", step)

    def stop(trainer, *_):
        trainer.should_stop = True

    return [LambdaCallback(on_train_batch_end=show), LambdaCallback(on_train_batch_end=stop)]
"""

WATCHING = """\
import torch
from lightning.pytorch.callbacks import Callback, LearningRateMonitor


class Watching(Callback):
    def on_validation_end(self, trainer, pl_module):
        raise AssertionError

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        raise AssertionError

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.called = True

    def on_epoch_end(self, trainer, pl_module):
        raise AssertionError

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        pl_module.log("batch", torch.tensor([trainer.global_step]), on_step=False, on_epoch=True)

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log_dict({"interval": trainer.global_step}, prog_bar=True)
        assert trainer.callback_metrics["interval"] == trainer.global_step


class Wrong(Callback):
    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log("both", torch.ones(2))


def both():
    return [Watching(), LearningRateMonitor()]
"""


def test_a_hook_that_is_never_called_is_warned_of_before_training(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (own / "watching.py").write_text(WATCHING)
    given = [*SMALL, "allow_targets=[watching]", "trainer.max_epochs=1", "quiet=true"]
    both = "callbacks._target_=watching.both"
    assert main([*given, both, "logger=tensorboard", "run_dir=one"]) == 0
    said = capsys.readouterr().err
    assert "Watching.on_validation_end is never called: Fulmen measures by itself; use on_train_epoch_end" in said
    assert "Watching.on_before_zero_grad and on_before_optimizer_step are never called: Fulmen takes the steps" in said
    assert "Watching.on_epoch_end is never called: Lightning has no such hook; did you mean on_train_epoch_end?" in said
    assert "LearningRateMonitor" not in said
    assert main([*given, both, "trainer.precision=bf16-mixed", "run_dir=two"]) == 0
    assert "Watching.on_before_zero_grad is never called" in capsys.readouterr().err


def test_several_callbacks_are_one_choice(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    way_out = "for several in one run, make a choice of a function that returns a list"
    for names, what in (("timer,none", "names several values; add -m"), ("[timer,none]", "is a list, and a run takes")):
        assert main([*SMALL, f"callbacks={names}", "run_dir=refused"]) == 1
        said = capsys.readouterr().err
        assert f"callbacks={names} {what}" in said
        assert way_out in said
    assert main([*SMALL, "model=deep,mlp", "run_dir=refused"]) == 1
    assert capsys.readouterr().err.endswith("add -m to run them all\n")
    assert not Path("refused").exists()
    (own / "two.py").write_text(TWO)
    (own / "callbacks").mkdir()
    (own / "callbacks" / "two.yaml").write_text("# Two\n_target_: two.two\n_partial_: true\nstep: 2\n")
    given = [*SMALL, "--config-dir=.", "allow_targets=[two]", "callbacks=two", "callbacks.step=1", "trainer.pack=1"]
    assert main([*given, "run_dir=one"]) == 0
    assert "step 1\n" in capsys.readouterr().out
    assert json.loads(Path("one/status.json").read_text())["stopped_early"]


def test_what_a_callback_logs_is_shown_at_its_step(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (own / "watching.py").write_text(WATCHING)
    given = [*SMALL, "allow_targets=[watching]", "logger=tensorboard"]
    assert main([*given, "callbacks._target_=watching.both", "trainer.pack=1", "run_dir=one"]) == 0
    (board,) = Path("one/tensorboard").iterdir()
    events = EventAccumulator(str(board)).Reload()
    found = {name: [(each.step, each.value) for each in events.Scalars(name)] for name in ("batch", "interval")}
    assert found == {"batch": [(step, step) for step in range(1, 5)], "interval": [(2, 2), (4, 4)]}
    assert main([*given, "callbacks._target_=watching.Wrong", "run_dir=two"]) == 1
    assert "log('both', ...) takes one number, and not tensor([1., 1.])" in capsys.readouterr().err


def test_the_output_says_which_loss_auto_is_and_what_is_scaled(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SMALL, "run_dir=one"]) == 0
    said = capsys.readouterr().out
    assert "loss auto: bce" in said
    assert "rows:       40 train, 300 val, 300 test\n" in said
    assert "scaled targets" not in said
    given = ["data=linear_1d", "data.scale=both", "model=linear", "baseline=sklearn", "optimizer=sgd"]
    assert main([*given, *SMALL[2:], "run_dir=two"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "loss auto: mse" in said
    assert "loss: of scaled targets" in said
    assert "of scaled values" in said


def test_class_weights_train_and_are_checked(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [*SMALL, "data.val_size=40", "loss=bce", "optimizer.lr=0.05", "trainer.max_epochs=20", "weights=last"]
    for name, weights in (("one", "[1,1]"), ("two", "[1,30]")):
        assert main([*given, f"loss.class_weights={weights}", f"run_dir={name}"]) == 0
    (_, wrong), _ = json.loads(Path("one/metrics.json").read_text())["train/confusion_matrix"]
    (_, more), _ = json.loads(Path("two/metrics.json").read_text())["train/confusion_matrix"]
    assert more > wrong  # of the first class are more taken for the second, whose rows weigh more
    assert main([*given, "run_dir=plain"]) == 0
    capsys.readouterr()
    plain, ones = (json.loads(Path(name, "metrics.json").read_text())["val/loss"] for name in ("plain", "one"))
    assert ones == pytest.approx(plain, rel=1e-4)
    for words, said in {
        "loss.class_weights=[1,2,3]": "3 numbers, but must have 2, one for each of the classes",
        "loss.class_weights=[0,0]": "has only zeros; it takes numbers, one for each of the classes",
        "loss.class_weights=2": "loss.class_weights is 2, but must be a list",
        "loss.class_weights=[1,-1]": "each a number in [0, inf)",
        "loss.class_weights=[1,2] backprop=numpy": "loss.class_weights has no formulas",
        "loss.class_weights=[1,2] baseline=sklearn": "no equivalent of loss.class_weights",
    }.items():
        assert main([*given, *words.split(), "run_dir=refused"]) == 1
        assert said in capsys.readouterr().err
        assert not Path("refused").exists()
