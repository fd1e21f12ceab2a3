"""What a user may get wrong, and the sentence that answers it; nothing is left behind."""

import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from fulmen.cli.main import main

Refused = Callable[..., str]

BAD_WORDS = {
    # groups, choices, keys
    "model=depe": r"there is no model=depe; did you mean deep\? the choices are deep, feedforward",
    "data=mnits": r"there is no data=mnits; did you mean mnist\?",
    "optimizer=adm": r"did you mean adam\?",
    "experiment=sine_boundary_admm": r"did you mean sine_boundary_adam\?",
    "modle=deep": r"there is no key 'modle'; did you mean model\?",
    "optimizer.lrr=1": r"there is no key 'optimizer.lrr'; did you mean optimizer.lr\?",
    "lr=0.1": r"there is no key 'lr'; did you mean optimizer.lr\?",
    "epochs=3": r"there is no key 'epochs'; did you mean trainer.max_epochs\?",
    "max_epoch=3": r"there is no key 'max_epoch'; did you mean trainer.max_epochs\?",
    "-m lr=0.1,1": r"there is no key 'lr'; did you mean optimizer.lr\?",
    "qqqq=3": r"there is no key 'qqqq'; fulmen --help lists groups and keys",
    "trainer.max_epoch=3": r"did you mean trainer.max_epochs\?",
    "penalty.weight=0.1": r"there is no key 'penalty.weight'; it belongs to penalty=elastic_net, l1, l2",
    "momentum=0.9": r"no key 'momentum'; optimizer.momentum belongs to optimizer=momentum, muon, nesterov",
    "optimizer.momentum=0.9": r"it belongs to optimizer=.*momentum",
    "+model.optimizer.momentm=0.9": r"there is no key 'model.optimizer",
    "optimizer=adma": r"there is no optimizer=adma; did you mean adam\?",
    "metrics=[Cohen_Kapa]": r"did you mean cohen_kappa\?",
    "+trainer.speed=9": r"there is no key 'trainer.speed'",
    "~model.dropout": r"the key 'model.dropout' is removed, but a run needs it",
    "~optimizer": r"the key 'optimizer' is removed",
    "~model.hidden.0": r"there is no key 'model.hidden.0'; did you mean model.hidden\?",
    "model.hidden.x=3": r"there is no key 'model.hidden.x'; did you mean model.hidden\?",
    "modle.hidden=[3]": r"there is no key 'modle.hidden'; did you mean model.hidden\?",
    "+optimizer.momentm=0.9": r"did you mean optimizer.momentum\? It belongs to optimizer=momentum, muon, nesterov",
    "+optimizer.amsgrad=true": r"there is no key 'optimizer.amsgrad'; optimizer has lr, betas, eps, weight_decay$",
    # how words are written
    "model=deep,mlp": r"names several values; add -m to run them all",
    "model.hidden=[1": r"cannot read 'model.hidden=\[1': a bracket is not closed; quote the whole argument",
    "learning_rates={layers.4: 0.001}": (
        r"'learning_rates={layers.4:' is only the beginning of .* quote the whole argument: "
        r"'learning_rates=\{layers.4: 0.001\}'$"
    ),
    "tune lr data.types={a: text, b: date}": r"quote the whole argument: 'data.types=\{a: text, b: date\}'$",
    "-m model.hidden=[64, 32] model=mlp": r"quote the whole argument: 'model.hidden=\[64, 32\]'$",
    "deep": r"cannot read .deep.; write key=value, as model=deep",
    "optimizer sgd": r"cannot read 'optimizer'; write key=value, as optimizer=sgd$",
    "sweep seed=1,2 lr 0.1": r"cannot read 'lr'; write key=value, as optimizer.lr=0.1$",
    "optimizer": r"cannot read 'optimizer'; write key=value$",
    "resum=x": r"there is no key 'resum'; did you mean resume\?",
    "rerum=x": r"there is no key 'rerum'; did you mean rerun\?",
    "learning_rate=0.1": r"there is no key 'learning_rate'; did you mean optimizer.lr\?",
    "seed=range5": r"for several values, write range\(5\), with -m$",
    "-m seed=0..4": r"for several values, write range\(5\), with -m$",
    "-m seed=3-4": r"for several values, write range\(3,5\), with -m$",
    "--lr 0.1": r"there is no option --lr; keys are written without dashes: optimizer.lr=0.1$",
    "--epochs=5": r"there is no option --epochs; keys are written without dashes: trainer.max_epochs=5$",
    "--seed model=deep": r"there is no option --seed; keys are written without dashes: seed=\.\.\.$",
    "leaderbord logs/runs": r"there is no command leaderbord; did you mean leaderboard\?",
    "trian model=deep": r"there is no command trian; did you mean train\?",
    "train deep": r"cannot read .deep.; write key=value",
    "train model=depe": r"there is no model=depe; did you mean deep\?",
    "train resume": r"cannot read .resume.; write key=value",
    "sweep model=deep,lienar": r"there is no model=lienar; did you mean linear\?",
    "resume": r"resume needs a folder after it, as in fulmen resume FOLDER",
    "resume trainer.max_epochs=3": r"resume needs a folder after it",
    "resume nowhere": r"there is no folder nowhere",
    "rerun": r"rerun needs a folder after it, as in fulmen rerun FOLDER",
    "rerun nowhere lr=1": r"there is no folder nowhere",
    "help optimzer": r"there is no help on optimzer; did you mean optimizer\?",
    "help optimizer=adm": r"there is no help on optimizer=adm; did you mean optimizer=adam\?",
    "help model=adam": r"there is no help on model=adam",
    "help qqqq": r"there is no help on qqqq; fulmen --help lists all there is",
    "help optimizer qqqq": r"there is no help on qqqq",
    "=5": r"cannot read .=5.",
    "@=1": r"cannot read '@=1'; write key=value",
    "model=null": r"there is no model=null",
    "optimizer@other=adam": r"optimizer",
    "hydra.searchpath=[pkg://os]": r"use --config-dir for a folder",
    "hydra=null": r"hydra=null sets a key of Hydra itself",
    "hydra.run.dir=out": r"hydra.run.dir=out sets a key of Hydra itself.* a run's folder with run_dir=<folder>",
    "-m seed=0,1 hydra.sweep.dir=out": r"hydra.sweep.dir=out sets a key of Hydra itself.* run_dir=<folder>",
    "hydra.verbose=true": r"sets a key of Hydra itself",
    "+hydra.x=1": r"sets a key of Hydra itself",
    "hydra/launcher=joblib": r"hydra/launcher=joblib chooses where a sweep runs; add -m",
    "-m hydra.launcher=vectorized": r"there is no key 'hydra.launcher'; write hydra/launcher=vectorized, with -m",
    "-m launcher=vectorized seed=0,1": r"there is no key 'launcher'; write hydra/launcher=vectorized, with -m",
    "hydra.sweeper.n_trials=3": r"hydra.sweeper.n_trials=3 is about a search; add -m sweep=optuna",
    "optimizer.lr=${nope}": r"Interpolation key .nope. not found",
    "--model=deep": r"there is no option --model",
    "--hepl": r"there is no option --hepl; did you mean --help\?",
    "--config-name=other": r"conf/train.yaml is the only root",
    "--config-dir=/nowhere/at/all": r"there is no folder /nowhere/at/all",
    "--cfg": r"--cfg/-c: expected one argument; --cfg job shows the configuration",
    "--cfg jb": r"--cfg/-c: invalid choice: 'jb' \(choose from",
    "--info everything": r"invalid choice: 'everything'",
    "--resolve": r"go with --cfg, as --cfg job",
    "-m --cfg job seed=1,2": r"--cfg and --info show one run; leave -m out",
    # kinds and ranges of values
    "seed=one": r"seed is 'one', but must be a whole number of at least 0",
    "seed=-1": r"seed is -1",
    "optimizer.lr=-0.1": r"optimizer.lr is -0.1, but must be a number in \(0, inf\)",
    "optimizer.lr=fast": r"optimizer.lr is 'fast'",
    "optimizer.betas=[0.9]": r"optimizer.betas is \[0.9\], but must be a list of 2",
    "trainer.max_epochs=0": r"trainer.max_epochs is 0, but must be a whole number of at least 1, or null",
    "trainer.max_epochs=2.5": r"trainer.max_epochs is 2.5",
    "trainer.precision=64": r"must be one of 64-true, 32-true",
    "trainer.devices=99": r"trainer.devices=99, but this machine has \d+ cpu",
    "trainer.devices=2 data.train_size=1": r"trainer.devices=2 needs at least 2 training rows; there is 1",
    "trainer.strategy=xla": r"there is no trainer.strategy=xla here; the choices are auto, single_device, ddp",
    "trainer.precision=16-mixed": r"16-mixed is for GPUs, and this is a cpu; take trainer.precision=bf16-mixed",
    "trainer.strategy=dpp": r"there is no trainer.strategy=dpp here; did you mean ddp\?",
    "trainer.pack=fast": r"trainer.pack is 'fast', but must be a whole number of at least 1, or auto",
    "data.batch_size=all": r"data.batch_size is 'all', but must be .* or full",
    "data.train_size=0": r"data.train_size is 0",
    "data.train_size=1e12": r"data.train_size is 1000000000000.0, but must be a whole number, without a point or an e$",
    "trainer.threads=1000000": r"trainer.threads is 1000000, but must be a whole number of at least 1 and at most 1024",
    "data=moons data.noise=0": r"data.noise is 0, but must be a number in \(0, inf\); with 0, all splits",
    "data.train_size=many": r"data.train_size is 'many'",
    "model.hidden=10": r"model.hidden is 10, but must be a list",
    "model.hidden=[0]": r"model.hidden is \[0\]",
    "model.activation=rleu": r"model.activation is 'rleu'.*did you mean relu\?",
    "model.dropout=1": r"model.dropout is 1, but must be a number in \[0, 1\)",
    "scheduler=step_lr scheduler.step_size=0": r"scheduler.step_size is 0, but must be a whole number of at least 1",
    "scheduler=cosine_annealing scheduler.T_max=0": r"scheduler.T_max is 0, but must be a whole number of at least 1",
    "scheduler=multi_step scheduler.milestones=5": r"scheduler.milestones is 5, but must be a list, as \[5\]$",
    "scheduler=cyclic scheduler.mode=foo": r"scheduler.mode is 'foo', but must be one of triangular, triangular2",
    "scheduler=polynomial scheduler.power=a": r"scheduler.power is 'a', but must be a number in \(0, inf\)",
    "scheduler=linear scheduler.start_factor=0": r"scheduler.start_factor is 0, but must be a number in \(0, 1\]",
    "optimizer=adafactor optimizer.d=0": r"optimizer.d is 0, but must be a number in \[1, inf\)",
    "optimizer=asgd optimizer.t0=a": r"optimizer.t0 is 'a', but must be a number in \[0, inf\)",
    "optimizer=rprop optimizer.etas=[2,1]": r"optimizer.etas is \[2, 1\], but must be two numbers, one in \(0, 1\)",
    "optimizer=rprop optimizer.step_sizes=3": r"optimizer.step_sizes is 3, but must be a list of 2",
    "trust_checkpoint=maybe": r"trust_checkpoint is 'maybe', but must be true or false",
    "run_dir=a$HOME": r"run_dir is a\$HOME, but TensorBoard cannot read a folder with '\$' in it",
    "weights=worst": r"weights is 'worst', but must be one of best, last",
    "trainer.fast_dev_run=1": r"trainer.fast_dev_run is 1, but must be true or false",
    "trainer.overfit=0": r"trainer.overfit is 0, but must be a whole number of at least 1, or null",
    "trainer.limit_batches=0.5": r"trainer.limit_batches is 0.5, but must be a whole number of at least 1, or null",
    "trainer.profile=simple": r"trainer.profile is 'simple', but must be true or false",
    "fast_dev_run=true": r"did you mean trainer.fast_dev_run\?",
    "trainer.limit_batches=1 data.val_size=0": r"this data has no validation rows",
    "name=3": r"name is 3, but must be a text, or null; put it in quotes",
    "tags=baseline": r"tags is 'baseline', but must be a list, as \[baseline\]$",
    "tags=[1]": r"tags is \[1\], but must be a list, each a text; put it in quotes",
    "note=true": r"note is True, but must be a text, or null; YAML reads",
    "quiet=maybe": r"quiet is 'maybe', but must be true or false",
    "-m seed=0,1 quiet=true": r"quiet is for single runs; a sweep prints a line for each run",
    # what does not go together, or is not there
    "model=lenet": r"lenet needs images .* rows have the shape \(2,\); use model=linear, shallow, deep or mlp",
    "data=blobs data.scale=channels": r"is for images, and .* have the shape \(2,\); take data.scale=features",
    "loss=cross_entropy": r"does not fit data=sine_boundary, whose task is binary; these do: auto, bce",
    "score=val/mse": r"score=val/mse is not measured during training of this binary task",
    "score=test/accuracy": r"did you mean val/accuracy\?",
    "model.output_activation=tanh": r"model.output_activation=tanh makes no class probabilities",
    "data.val_size=0": r"score=val/loss, but this data has no validation rows; use score=train/loss",
    "accelerator=gpu": r"there is no gpu here; this machine has cpu",
    "optimizer=sgd optimizer.nesterov=true": r"optimizer SGD fails with its values, .*: Nesterov momentum requires",
    "optimizer=muon": r"optimizer Muon fails with its values, or with this network: ValueError: Muon only supports 2D",
    "scheduler=cyclic scheduler.cycle_momentum=true optimizer=gd": r"fails .* with optimizer GD: .* support momentum",
    "trainer.precision=16-mixed trainer.gradient_clip=1": r"take trainer.precision=bf16-mixed",
    "backprop=numpi": r"there is no backprop=numpi; did you mean numpy\?",
    "backprop=numpy model=lenet data=mnist_5k": r"LeNet is no multilayer perceptron, .* take backprop=autograd",
    "backprop=tensors model.dropout=0.1": r"by hand has no dropout; take model.dropout=0, or backprop=autograd",
    "backprop=numpy trainer.precision=bf16-true": r"precision=bf16-true; take 32-true or 64-true, or backprop=autograd",
    "backprop=numpy trainer.devices=2 accelerator=cpu": r"trainer.devices is 2; take .*=1, or backprop=autograd",
    # what a configuration may run
    "model._target_=os.system": r"model._target_ names os.system, which is none of Fulmen's parts",
    "allow_targets=[os] model._target_=os.system": r"lives in \w+ and not in os",
    "allow_targets=[no_such] model._target_=no_such.Net": r"there is no module no_such; add --config-dir=<the folder",
    # sweeps
    "-m model=deep,lienar": r"there is no model=lienar; did you mean linear\?",
    "-m optimizer.lr=0.1,-1": r"optimizer.lr is -1",
    "-m model=glob(x*)": r"matches nothing",
    "-m seed=0,1 run_dir=one": r"run_dir is for single runs.* leave it out",
    "-m run_dir=a,b": r"run_dir is for single runs.* leave it out",
    "-m optimizer.lr=interval(0,1)": r"asks for a search",
    "-m optimizer.lr=log(interval(0.002,1))": r"write 'optimizer.lr=tag\(log, interval\(0.002, 1\)\)'",
    "-m optimizer.lr=loguniform(1e-4,1e-1)": r"write 'optimizer.lr=tag\(log, interval\(1e-4, 1e-1\)\)'",
    "-m optimizer.lr=interval(log,0.002,1)": r"write 'optimizer.lr=tag\(log, interval\(0.002, 1\)\)'",
    "-m seed=log(range(1,9)": r"write 'seed=tag\(log, range\(1, 9\)\)'",
    "-m optimizer.lr=uniform(0,0.5)": r"write 'optimizer.lr=interval\(0, 0.5\)'",
}


@pytest.mark.parametrize("words", BAD_WORDS)
def test_bad_words_get_their_sentence_and_leave_nothing(words: str, refused: Refused) -> None:
    assert re.search(BAD_WORDS[words], refused(*words.split()))


BAD_EXPERIMENTS = {
    "optimizer:\n  lrate: 1": r"no key 'optimizer.lrate'; did you mean optimizer.lr\? \(in experiment=mine\)",
    "seed: 1\nmodel: [1\nx: 2": r"mine.yaml, line 4: not valid YAML: expected ',' or '\]'",
    "defaults:\n  - override /model: broken": r"broken.yaml, line 1: not valid YAML: ",
    "defaults:\n  - override /modle: deep": r"no 'override /modle'; did you mean override /model\? \(in experiment=",
    "defaults:\n  - /model: deep": r"model is chosen twice; .* write '- override /model: deep'",
    "- seed: 1": r"mine.yaml is a list, but must hold one",
    "hydra:\n  run:\n    dir: out": r"remove 'hydra', and choose the run's folder with run_dir=",
    "defaults:\n  - override hydra/launcher: basic": r"remove 'hydra'",
}


@pytest.mark.parametrize("content", BAD_EXPERIMENTS)
def test_experiment_files_are_checked(content: str, tmp_path: Path, refused: Refused) -> None:
    for group, name, text in (("experiment", "mine", f"# @package _global_\n{content}\n"), ("model", "broken", "}")):
        (tmp_path / group).mkdir()
        (tmp_path / group / f"{name}.yaml").write_text(text)
    assert re.search(BAD_EXPERIMENTS[content], refused("--config-dir", ".", "experiment=mine"))


@pytest.mark.parametrize("sweep", [[], ["-m", "seed=0,1"]])
def test_a_choice_of_a_part_needs_a_target(sweep: list[str], tmp_path: Path, refused: Refused) -> None:
    for group in ("data", "model", "logger", "backprop", "figures", "callbacks"):
        (tmp_path / group).mkdir()
        (tmp_path / group / "mine.yaml").write_text("# Mine\nwidth: 3\n")
        assert f"{group}=mine has no '_target_'" in refused(*sweep, "--config-dir", ".", f"{group}=mine")


def test_an_experiment_needs_its_first_line(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# mine\noptimizer:\n  lr: 1\n")
    assert "add '# @package _global_'" in refused("--config-dir", ".", "experiment=mine")


def test_a_file_that_is_not_utf8_is_named_and_harms_no_other_sentence(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "optimizer").mkdir()
    (tmp_path / "optimizer" / "mine.yaml").write_bytes(b"# caf\xe9\nlr: 1\n")
    assert "mine.yaml is not UTF-8 (byte 6)" in refused("--config-dir", ".", "optimizer=mine")
    assert "belongs to optimizer=adam" in refused("--config-dir", ".", "optimizer=sgd", "optimizer.betas=[0,0]")
    assert main(["--config-dir", str(tmp_path), "--help"]) == 0


def test_a_schedule_of_torchs_is_tried_before_the_run_begins(tmp_path: Path, refused: Refused) -> None:
    """One of the user's own file, whose keys have no rules; torch fails only where it takes a step."""
    (tmp_path / "scheduler").mkdir()
    (tmp_path / "scheduler" / "waves.yaml").write_text(
        "# waves\n_target_: torch.optim.lr_scheduler.CosineAnnealingLR\n_partial_: true\nT_max: 0.0\neta_min: 0.0\n"
    )
    said = refused("--config-dir", ".", "scheduler=waves", "allow_targets=[torch]")
    assert "scheduler.T_max is 0.0, but must be a whole number" in said
    (tmp_path / "falling.py").write_text(
        "from torch.optim.lr_scheduler import LambdaLR\n\n\ndef falling(optimizer, plan):\n"
        "    return LambdaLR(optimizer, lambda step: 1 if step == 0 else 1 / (step - 1))\n"
    )
    (tmp_path / "scheduler" / "falling.yaml").write_text("# Falls\n_target_: falling.falling\n_partial_: true\n")
    said = refused("--config-dir", ".", "scheduler=falling", "allow_targets=[falling]")
    assert "scheduler falling failed with ZeroDivisionError: " in said


@pytest.mark.parametrize("place", ["own", "."])
@pytest.mark.parametrize("name", ["hydra_plugins", "hydra_plugins.py"])
def test_plugins_of_hydras_are_not_run_unasked(
    name: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    """Hydra imports all that it finds on `sys.path`, to which a folder of choices and the current one are added."""
    (tmp_path / "own" / "model").mkdir(parents=True)
    plugin = tmp_path / place / name
    if name == "hydra_plugins":
        (plugin / "further").mkdir(parents=True)
        plugin = plugin / "further" / "__init__.py"
    plugin.write_text("raise RuntimeError('ran')\n")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path not in ("", str(tmp_path))])
    folder = (tmp_path / place).resolve()
    for words in (["trainer.max_steps=1"], ["-m", "seed=0,1"], ["--cfg", "job"]):
        said = refused("--config-dir", "own", *words)
        assert said == f"fulmen: {folder} has {name}, which Hydra would run unasked; take it out"
    assert not {str(folder), str(tmp_path)} & {*sys.path}


def test_a_file_may_not_allow_targets(tmp_path: Path, refused: Refused) -> None:
    own = tmp_path / "own" / "experiment"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("# @package _global_\nallow_targets: [os]\nmodel:\n  _target_: os.system\n")
    assert "allow_targets counts only where you type it" in refused("--config-dir", "own", "experiment=mine")


def test_a_folder_in_use_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "precious.txt").write_text("mine")
    assert "used is not empty" in refused("run_dir=used", "trainer.max_epochs=1")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("mine")
    said = refused("run_dir=file", "trainer.max_epochs=1")
    assert said.startswith("fulmen: file is a file, and every run has a folder of its own")
    said = refused("run_dir=file/inside", "trainer.max_epochs=1")
    assert re.match(r"fulmen: file.inside cannot be made \(.+\); start from a folder that you may write to", said), said


def test_debugging_shows_where_words_were_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trainer=debug", "model=depe"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and "fulmen: there is no model=depe" in said


def test_python_files_beside_choices_cannot_be_imported_unless_one_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Libraries try to import modules that need not be there, such as pandas numexpr."""
    (tmp_path / "downloaded" / "model").mkdir(parents=True)
    (tmp_path / "downloaded" / "numexpr_of_ours.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    words = ["--config-dir=downloaded", "data=moons", "trainer.max_epochs=1", "logger=none", "figures=none"]
    assert main([*words, "run_dir=one"]) == 0
    assert find_spec("numexpr_of_ours") is None
    assert main([*words, "model._target_=numexpr_of_ours.Net", "allow_targets=[numexpr_of_ours]"]) == 1
    assert "has no attribute 'Net'" in capsys.readouterr().err
