"""The way out that a sentence names is taken, and leads to a success."""

import ast
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

import fulmen
from fulmen.cli.main import main

SOURCES = Path(fulmen.__file__).parent
SHORT = "trainer.max_epochs=1 figures=none logger=none accelerator=cpu"
CIRCLES = f"data=circles data.train_size=20 data.val_size=20 data.test_size=20 {SHORT}"
TABLE = f"data=table data.path=rows.csv {SHORT}"
ARRAYS = f"data=arrays data.path=arrays {SHORT}"
SKLEARN = f"{CIRCLES} baseline=sklearn"
FAR = f"--config-dir=far {CIRCLES} model._target_=remote.Net"
OWN = f"--config-dir=own {CIRCLES} model=own"

ADVICE = [
    # the command as it fails; the advice as it is printed; the command with the advice taken
    (
        f"{CIRCLES} learning_rates={{layers.0: 0.1}}",
        "quote the whole argument: 'learning_rates={layers.0: 0.1}'",
        f"{CIRCLES} 'learning_rates={{layers.0: 0.1}}'",
    ),
    (f"{CIRCLES} 'run_dir=\"a\" b'", "", None),
    (f"{CIRCLES} seed=1,2", "add -m to run them all", f"{CIRCLES} -m seed=1,2"),
    (f"{CIRCLES} hydra/launcher=basic", "add -m", f"{CIRCLES} -m hydra/launcher=basic"),
    (f"{CIRCLES} -m optimizer.lr=interval(0.1,1)", "optimizer.lr=a,b or", f"{CIRCLES} -m optimizer.lr=0.1,1"),
    (f"{CIRCLES} -m run_dir=one seed=1,2", "leave it out", f"{CIRCLES} -m seed=1,2"),
    (f"{CIRCLES} -m rerun=run", "leave -m out", f"{SHORT} rerun=run"),
    (f"{CIRCLES} hydra.run.dir=out", "run_dir=<folder>", f"{CIRCLES} run_dir=new"),
    (f"{CIRCLES} run_dir=run", "resume=run", "resume=run trainer.max_epochs=2"),
    (f"{CIRCLES} run_dir=run", "name a folder that does not exist", f"{CIRCLES} run_dir=other"),
    (f"{CIRCLES} +sweep=seeds", "write sweep=seeds", None),
    (f"{CIRCLES} --model=deep", "without dashes: model=deep", f"{CIRCLES} model=deep"),
    (f"{CIRCLES} model._target_=own.Net", "add allow_targets=[own]", f"{OWN} allow_targets=[own]"),
    (
        f"{CIRCLES} model._target_=remote.Net allow_targets=[remote]",
        "add --config-dir=",
        f"{FAR} allow_targets=[remote]",
    ),
    (f"{OWN} allow_targets=[no]", "write allow_targets=[no,own]", f"{OWN} allow_targets=[no,own]"),
    (OWN, "add allow_targets=[own]", f"{OWN} allow_targets=[own]"),
    (f"{CIRCLES} --config-dir=own experiment=plain", "add '# @package _global_'", None),
    (f"{CIRCLES} data.noise=0 data.train_size=1e2", "without a point or an e", f"{CIRCLES} data.train_size=100"),
    (f"{CIRCLES} model=lenet", "use model=linear, shallow, deep or mlp", f"{CIRCLES} model=linear"),
    (f"{CIRCLES} data.scale=channels", "take data.scale=features", f"{CIRCLES} data.scale=features"),
    (
        f"{CIRCLES} model.output_activation=relu",
        "take identity or sigmoid",
        f"{CIRCLES} model.output_activation=sigmoid",
    ),
    (f"{CIRCLES} data.val_size=0", "use score=train/loss", f"{CIRCLES} data.val_size=0 score=train/loss"),
    (
        f"{CIRCLES} backprop=numpy model.dropout=0.1",
        "take model.dropout=0",
        f"{CIRCLES} backprop=numpy model.dropout=0",
    ),
    (f"{CIRCLES} backprop=numpy model.dropout=0.1", "or backprop=autograd", f"{CIRCLES} model.dropout=0.1"),
    (
        f"{CIRCLES} backprop=numpy trainer.precision=bf16-mixed",
        "take 32-true or 64-true",
        f"{CIRCLES} backprop=numpy trainer.precision=64-true",
    ),
    (
        f"{CIRCLES} trainer.precision=16-mixed",
        "take trainer.precision=bf16-mixed",
        f"{CIRCLES} trainer.precision=bf16-mixed",
    ),
    (f"{CIRCLES} accelerator=gpu", "take accelerator=cpu", f"{CIRCLES} accelerator=cpu"),
    (
        f"{SKLEARN} loss=bce loss.class_weights=[1,2]",
        "use loss.class_weights=null",
        f"{SKLEARN} loss=bce loss.class_weights=null",
    ),
    (f"{SKLEARN} scheduler=step", "use baseline=none", f"{CIRCLES} scheduler=step baseline=none"),
    (
        f"{SKLEARN} trainer.gradient_clip=1",
        "use trainer.gradient_clip=null",
        f"{SKLEARN} trainer.gradient_clip=null",
    ),
    (
        f"{SKLEARN} penalty=l1",
        "use penalty=l2 or none",
        f"{SKLEARN} penalty=l2",
    ),
    (f"{SKLEARN} model.bias=false", "use model.bias=true", f"{SKLEARN} model.bias=true"),
    (f"{SKLEARN} model.dropout=0.1", "use model.dropout=0", f"{SKLEARN} model.dropout=0"),
    (f"{SKLEARN} scheduler=step", "use scheduler=constant", f"{SKLEARN} scheduler=constant"),
    (f"{SKLEARN} loss=mse", "use loss=auto or bce", f"{SKLEARN} loss=bce"),
    (
        f"{SKLEARN} optimizer=adamw optimizer.weight_decay=0.1",
        "use optimizer=adam",
        f"{SKLEARN} optimizer=adam optimizer.weight_decay=0.1",
    ),
    (f"{CIRCLES} optimizer=sgd optimizer.lr=1e30 model.activation=relu", "try a smaller optimizer.lr", CIRCLES),
    # tables and arrays
    (f"data=table {SHORT}", "add data.path=<your CSV or Parquet file>", f"{TABLE} data.target=kind"),
    (TABLE, "say which column to predict", f"{TABLE} data.target=kind"),
    (f"{TABLE} data.target=kin", "did you mean kind?", f"{TABLE} data.target=kind"),
    (f"{TABLE} data.target=kind data.separator=ab", "give one character", f"{TABLE} data.target=kind data.separator=,"),
    (f"{TABLE} data.target=y data.time=x data.group=kind", "set only one", f"{TABLE} data.target=y data.time=x"),
    (f"{TABLE} data.target=y data.val_size=100", "take smaller sizes", f"{TABLE} data.target=y data.val_size=10"),
    (f"data=arrays {SHORT}", "add data.path=<one with train_x.npy and train_y.npy>", ARRAYS),
    (
        f"{ARRAYS} data.in_memory=false data.batch_size=full",
        "data.in_memory=true",
        f"{ARRAYS} data.in_memory=true data.batch_size=full",
    ),
    (
        f"{ARRAYS} data.in_memory=false baseline=sklearn",
        "use data.in_memory=true",
        f"{ARRAYS} data.in_memory=true baseline=sklearn",
    ),
    (f"data=arrays data.path=arrays/train_x.npy {SHORT}", "give data.path=<the folder with", ARRAYS),
    # runs
    ("resume=run", "with a larger trainer.max_epochs", "resume=run trainer.max_epochs=2"),
    ("resume=run seed=3", "take fulmen rerun=run", "rerun=run seed=3"),
    ("resume=run rerun=run", "give one of the two", "rerun=run"),
    ("resume=run trainer.max_epochs=2,3", "give one", "resume=run trainer.max_epochs=3"),
    ("rerun=run experiment=sine_boundary_adam", "leave rerun= out", None),
    ("evaluate", "name one run's folder or checkpoint first", "evaluate run"),
    ("evaluate run data.seed=1,2", "give one", "evaluate run data.seed=2"),
    ("evaluate run split=tests", "did you mean test?", "evaluate run split=test"),
    ("evaluate run data.sead=3", "did you mean data.seed?", "evaluate run data.seed=3"),
    ("predict run", "name the rows: input=", "predict run input=new.csv"),
    ("predict run input=new.csv output=new.csv", "name another file", "predict run input=new.csv output=out.csv"),
    ("compare run", "write fulmen compare RUN RUN", "compare run again"),
    ("compare run again output=no/where.png", "", "compare run again output=where.png"),
    ("leaderboard", "as in fulmen leaderboard logs/runs", "leaderboard run again output=."),
    ("leaderboard run moons output=.", "add data=circles", "leaderboard run moons output=. data=circles"),
    ("clean run", "fulmen clean run remove=last", "clean run remove=last"),
]
"""Where the third is None, the advice is to change a file, or takes too long here."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("advice")
    (folder / "own" / "model").mkdir(parents=True)
    (folder / "own" / "experiment").mkdir()
    (folder / "own" / "experiment" / "plain.yaml").write_text("seed: 1\n")
    (folder / "own" / "model" / "own.yaml").write_text("# Own\n_target_: own.Net\n_partial_: true\n")
    (folder / "own" / "own.py").write_text("from fulmen.models.mlp import MLP\n\n\nclass Net(MLP):\n    pass\n")
    (folder / "far").mkdir()
    shutil.copy(folder / "own" / "own.py", folder / "far" / "remote.py")
    rows = (f"{n % 7 + n / 100},{n % 5},{'ab'[n % 2]},{n / 3}\n" for n in range(60))
    (folder / "rows.csv").write_text("x,z,kind,y\n" + "".join(rows))
    (folder / "new.csv").write_text("x1,x2\n0.5,0.3\n")
    (folder / "arrays").mkdir()
    for split in ("train", "val"):
        np.save(folder / "arrays" / f"{split}_x.npy", np.random.RandomState(0).standard_normal((40, 2)))
        np.save(folder / "arrays" / f"{split}_y.npy", np.arange(40) / 7)
    config = fulmen.compose(CIRCLES.replace("logger=none", "logger=csv").split())
    for name in ("run", "again"):
        fulmen.train(config, folder / name, verbose=False)
    fulmen.train(fulmen.compose(["data=moons", *SHORT.split()]), folder / "moons", verbose=False)
    return folder


@pytest.fixture(scope="module")
def followed() -> set[str]:
    """Commands that have succeeded; several sentences lead to the same."""
    return set()


@pytest.mark.parametrize(("fails", "advice", "follows"), ADVICE)
def test_advice_leads_to_a_success(
    fails: str,
    advice: str,
    follows: str | None,
    prepared: Path,
    followed: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(prepared, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    main(shlex.split(fails))
    said = "".join(capsys.readouterr())
    assert advice in said
    if follows is not None and follows not in followed:
        assert main(shlex.split(follows)) == 0, capsys.readouterr().err
        followed.add(follows)


TOLD = re.compile(r"\b(?:add|take|use|write|give) (?:[a-z_./]+ )?[\w./]*=[\w./]*")


def told() -> set[str]:
    """Every advice to type a key in the messages of the sources, up to a value that they fill in."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value.strip():
                found |= set(TOLD.findall(node.value))
    return found


ELSEWHERE = {
    "add data.task=regression": "tests/data/sets/test_arrays.py",
    "add data.task=multiclass": "tests/data/tables",
    "use data.batch_size=": "tests/experiment/test_own_networks.py",
    "use track_running_stats=": "tests/models/test_network_check.py",
    "write x =": "tests/models/test_network_check.py",
    "take data.task=": "tests/data/tables",
    "add sweep=optuna": "tests/sweeps/search",
    "give allow_targets=": "tests/experiment/test_api.py",
    "add trust_checkpoint=true": "tests/experiment/test_round_trip.py, test_load.py",
    "add target=": "tests/experiment/test_api.py",
    "give data_root=": "tests/data/sets/test_mnist.py",
    "take backprop=autograd": "tests/training/backprop",
    "take trainer.devices=1": "tests/training/backprop",
    "use data.scale=both": "tests/experiment/test_undefined.py",
    "use trainer.precision=64": "tests/experiment/test_undefined.py",
    "use score=val/loss": "tests/experiment/test_undefined.py",
    "use penalty=none": "tests/experiment/test_baseline.py",
    "write key=value": "what it stands for depends on what was meant",
}
"""Advice that is followed in other tests."""


def test_every_advice_to_type_a_key_is_followed_somewhere() -> None:
    followed = [advice for _, advice, _ in ADVICE]
    missing = [text for text in told() if not any(text.rstrip(".") in advice for advice in followed)]
    assert [text for text in missing if not text.startswith(tuple(ELSEWHERE))] == []
