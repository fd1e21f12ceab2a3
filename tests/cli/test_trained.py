"""evaluate, predict and export, typed as a user would, against the run itself and other libraries."""

import importlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris
from sklearn.metrics import accuracy_score, f1_score, log_loss

import fulmen
from fulmen.cli.main import main
from fulmen.config import validate
from fulmen.experiment import export
from fulmen.experiment.load import Run

ROOT = Path(__file__).parents[2]
NAMES = ["setosa", "versicolor", "virginica"]
LAYERS = ["model=deep", "optimizer.lr=0.05", "logger=none", "figures=none", "accelerator=cpu"]


@pytest.fixture(scope="module")
def species(tmp_path_factory: pytest.TempPathFactory) -> Run:
    words = ["data=iris_species", "trainer.max_epochs=20", *LAYERS]
    return fulmen.train(fulmen.compose(words), folder=tmp_path_factory.mktemp("species") / "run", verbose=False)


@pytest.fixture(scope="module")
def petals(tmp_path_factory: pytest.TempPathFactory) -> Run:
    words = ["data=iris_petals", "trainer.max_epochs=20", *LAYERS]
    return fulmen.train(fulmen.compose(words), folder=tmp_path_factory.mktemp("petals") / "run", verbose=False)


@pytest.fixture
def here(species: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a run in `run` and the flowers in `rows.csv`, with their species."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(species.folder, tmp_path / "run")
    load_iris(as_frame=True).frame.to_csv("rows.csv", index=False)
    return tmp_path


NET = """\
from torch import nn


class Net(nn.Linear):
    def __init__(self, in_shape, out_features):
        super().__init__(in_shape[0], out_features)
"""


def test_a_class_of_a_file_is_found_by_the_folder_that_it_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(NET)
    x = np.random.RandomState(0).standard_normal((40, 3))
    np.save("new.npy", x)
    with monkeypatch.context() as script:  # whose own folder Python looks into, and no command's
        script.syspath_prepend(str(tmp_path))
        net = importlib.import_module("net")
        words = ["trainer.max_epochs=1", "figures=none", "logger=none", "run_dir=run"]
        run = fulmen.train(words, model=net.Net, data=(x, x[:, :1]), verbose=False)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("net")
    typed = ["predict", "run", "input=new.npy", "output=out.npy", "allow_targets=[net]"]
    assert main(typed) == 1
    assert "there is no module net; add --config-dir=<the folder that it is in>" in capsys.readouterr().err
    assert main([*typed, "--config-dir=."]) == 0
    assert_allclose(np.load("out.npy"), run.predict(x), rtol=1e-6)
    sys.modules.pop("net")


# evaluate


def test_evaluate_finds_the_figures_of_the_run(here: Path, species: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run"]) == 0
    said = capsys.readouterr()
    metrics = {name: value for name, value in species.metrics.items() if name != "parameters"}
    assert json.loads(said.out) == metrics, "to the last bit"
    assert "accuracy" in said.err and "test" in said.err


def test_evaluate_other_rows(here: Path, species: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Scaled as the training rows were, measured by scikit-learn."""
    assert main(["evaluate", "run", "data.seed=7", "split=val", "output=figures.json"]) == 0
    assert not capsys.readouterr().out
    figures = json.loads(Path("figures.json").read_text())
    rows = validate.check(fulmen.compose(["data=iris_species", "data.seed=7"])).load()["val"]
    probabilities, truth = species.predict_proba(rows.x), rows.y
    assert_allclose(figures["val/loss"], log_loss(truth, probabilities), rtol=1e-5)
    assert_allclose(figures["val/accuracy"], accuracy_score(truth, probabilities.argmax(1)), rtol=1e-6)
    assert_allclose(figures["val/f1"], f1_score(truth, probabilities.argmax(1), average="macro"), rtol=1e-6)


def test_evaluate_every_row_together(here: Path, species: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "run/checkpoints/best.ckpt", "split=all"]) == 0
    table = load_iris()
    found = json.loads(capsys.readouterr().out)
    assert_allclose(found["all/accuracy"], (species.predict(table.data) == table.target_names[table.target]).mean())
    assert np.sum(found["all/confusion_matrix"]) == 150


def test_evaluate_another_data_set_that_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data=circles", "trainer.max_epochs=1", *LAYERS]
    run = fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False)
    assert main(["evaluate", str(run.folder), "data=moons", "data.noise=0.2", "split=test"]) == 0
    rows = validate.check(fulmen.compose(["data=moons", "data.noise=0.2"])).load()["test"]
    accuracy = json.loads(capsys.readouterr().out)["test/accuracy"]
    assert_allclose(accuracy, (run.predict_proba(rows.x).argmax(1) == rows.y).mean())


# predict


def write(table: pd.DataFrame, name: str) -> str:
    if name.endswith(".parquet"):
        table.to_parquet(name)
    elif name.endswith(".npy"):
        np.save(name, table.iloc[:, :4].to_numpy())
    else:
        table.to_csv(name, index=False, sep="\t" if ".tsv" in name else ",")
    return name


@pytest.mark.parametrize(
    ("form", "output"),
    [
        ("a.csv", "out.csv"),
        ("a.csv.gz", "out.parquet"),
        ("a.tsv", "out.npy"),
        ("a.parquet", "out.csv"),
        ("a.npy", "out.npy"),
    ],
)
def test_predict(form: str, output: str, here: Path, species: Run, capsys: pytest.CaptureFixture[str]) -> None:
    table = load_iris(as_frame=True).frame.sample(frac=1, random_state=0)
    assert main(["predict", "run", f"input={write(table, form)}", f"output={output}"]) == 0
    assert capsys.readouterr().out == f"{output}: predictions of {len(table)} rows\n"
    expected = species.predict_proba(table.iloc[:, :4].to_numpy())
    if output.endswith(".npy"):
        assert_allclose(np.load(output), expected, rtol=1e-6)
        return
    found = pd.read_csv(output) if output.endswith(".csv") else pd.read_parquet(output)
    assert list(found) == ["prediction", *(f"probability_{name}" for name in NAMES)]
    assert_array_equal(found["prediction"], np.array(NAMES)[expected.argmax(1)])
    assert_allclose(found.iloc[:, 1:].to_numpy(float), expected, rtol=1e-5)


def test_predict_to_the_standard_output(here: Path, petals: Run, forked: Callable[..., Any]) -> None:
    """Values have a column for each target, in centimetres; as a script, in a process of its own."""
    done = forked(str(petals.folder), "input=rows.csv", program=ROOT / "scripts" / "predict.py")
    assert done.wait() == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "petal length (cm),petal width (cm)" and len(lines) == 151 and not done.stderr
    expected = petals.predict(load_iris().data[:, :2])
    assert_allclose([float(cell) for cell in lines[1].split(",")], expected[0], rtol=1e-5)


# export


@pytest.mark.parametrize("data", ["iris_petals", "circles", "mnist_5k"])
def test_export(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What onnxruntime and torch.export make of the file is what the run predicts, for any number of rows.

    Without further words it lies in the run's folder.
    """
    monkeypatch.chdir(tmp_path)
    model = ["model=lenet", "data.train_size=300"] if data == "mnist_5k" else ["model=deep", "model.dropout=0.1"]
    words = [f"data={data}", *LAYERS, *model, "trainer.max_epochs=1"]
    run = fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False)
    x = validate.check(fulmen.compose(words)).load()["val"].x.astype(np.float32)
    expected = run.predict(x) if data == "iris_petals" else run.predict_proba(x)
    for output in ("run/model.onnx", "net.pt2") if data == "mnist_5k" else ("run/model.onnx",):
        assert main(["export", "run", *([f"output={output}"] if output == "net.pt2" else [])]) == 0
        assert re.search(
            r"(run.model\.onnx|net\.pt2): predictions differ from PyTorch's by \d", capsys.readouterr().out
        )
        for rows in (x[:1], x):
            assert_allclose(outside(output, rows), expected[: len(rows)], atol=1e-5, rtol=1e-5)
        assert described(output)["targets"] == list(run.predictor.spec.target_names)


def outside(file: str, rows: Any) -> Any:
    if file.endswith(".onnx"):
        return onnxruntime.InferenceSession(file).run(["predictions"], {"features": rows})[0]
    with torch.no_grad():
        return torch.export.load(file).module()(torch.from_numpy(rows)).numpy()


def described(file: str) -> Any:
    if file.endswith(".onnx"):
        (entry,) = (entry for entry in onnx.load(file).metadata_props if entry.key == "fulmen")
        return json.loads(entry.value)
    extra = {"fulmen": ""}
    torch.export.load(file, extra_files=extra)
    return json.loads(extra["fulmen"])


def test_export_in_double_precision_keeps_large_features(tmp_path: Path) -> None:
    words = ["data=wiggle", "data.scale=features", *LAYERS, "trainer.precision=64-true", "trainer.max_epochs=1"]
    run = fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False)
    difference = export.export(run.predictor, np.linspace(-3, 3, 50)[:, None], tmp_path / "net.onnx")
    assert difference < 1e-12


def test_a_file_that_would_predict_otherwise_is_not_kept(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "final", lambda scores, task: scores.softmax(1) + 0.01)
    assert main(["export", "run", "output=net.pt2"]) == 1
    assert "would give other predictions than PyTorch, by 1.0e-02" in capsys.readouterr().err
    assert not list(here.glob("*.pt2")) and not list(here.glob(".tmp-*"))


# wrong words

WRONG = {
    "evaluate": r"name one run's folder or checkpoint first; none was given",
    "evaluate run run": r"2 were given",
    "evaluate rnu": r"there is no folder rnu; did you mean run\?",
    "evaluate run/checkpoints/bset.ckpt": r"there is no checkpoint run.checkpoints.bset.ckpt",
    "evaluate run split=tets": r"split is 'tets', but must be one of train, val, test, all; did you mean test\?",
    "evaluate run data=blobs": r"its in_shape is \(2,\), not \(4,\)",
    "evaluate run data=wiggle": r"its task is regression, not multiclass",
    "evaluate run data=blbos": r"there is no data=blbos; did you mean blobs\?",
    "evaluate run data.sede=1": r"there is no key 'data.sede'; did you mean data.seed\?",
    "evaluate run splt=test": r"there is no option splt=; did you mean split\?",
    "evaluate run model=deep": r"model=deep would change the network; only data can be another here",
    "evaluate run data._target_=os.system": r"there is no key 'data._target_'",
    "evaluate run accelerator=gpu": r"there is no gpu here; this machine has cpu",
    "evaluate run accelerator=gpx": r"accelerator is 'gpx'",
    "evaluate run weights=worst": r"weights is 'worst', but must be one of best, last",
    "evaluate run --split=test": r"there is no option --split",
    "evaluate run output=no/where.json": r"no.where.json|No such file",
    "predict run": r"name the rows: input=",
    "predict run input=rwos.csv": r"There is no file rwos.csv; did you mean rows.csv\?",
    "predict run inptu=rows.csv": r"there is no option inptu=; did you mean input\?",
    "predict run input=rows.csv output=out.txt": r"output=out.txt must end in one of .csv, .parquet, .npy",
    "predict run input=rows.csv output=rows.csv": r"output=rows.csv is the input, which it would replace",
    "predict run input=rows.csv weights=first": r"weights is 'first'",
    "predict run input=narrow.csv": r"no column 'petal width \(cm\)'",
    "predict run input=narrow.npy": r"have the shape \(3,\), and must have \(4,\)",
    "predict run input=objects.npy": r"objects.npy is damaged, empty or not written by numpy\.save",
    "predict run input=promising.npy": r"promising.npy is damaged, .*: mmap length is greater than file size",
    "predict run input=text.npy": r"text.npy is damaged, empty or not written by numpy\.save",
    "predict run input=none.npy": r"There is no file none.npy",
    "predict run input=semicolons.csv": r"""add "separator=';'"\.""",
    "export run output=net.pb": r"output=net.pb must end in one of .onnx, .pt2",
    "predict run input=several.npy": r"several.npy contains several arrays",
    "predict run input=rows.csv separator=ab": r"fulmen: separator is 'ab': give one character, or tab",
    "predict run input=rows.csv trust_checkpoint=yes": r"trust_checkpoint is 'yes', but must be one of true, false",
    "evaluate run data.seed=1,2": r"names several values",
    "evaluate run output=out.txt": r"output=out.txt must end in .json",
    "export": r"name one run's folder or checkpoint first; none was given",
    "export run input=empty.npy": r"there are no rows to check with",
    "export run input=rwos.csv": r"There is no file rwos.csv",
    "export run split=test": r"there is no option split=",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_in_a_sentence(words: str, here: Path, refused: Callable[..., str]) -> None:
    table = load_iris(as_frame=True).data
    table.iloc[:, :3].to_csv("narrow.csv", index=False)
    table.to_csv("semicolons.csv", index=False, sep=";")
    np.save("narrow.npy", table.iloc[:, :3].to_numpy())
    np.save("objects.npy", np.array([[{}]]), allow_pickle=True)
    np.save("empty.npy", np.empty((0, 4)))
    with Path("several.npy").open("wb") as file:
        np.savez(file, a=np.ones((2, 4)), b=np.ones(3))
    Path("text.npy").write_text("no numbers")
    np.save("promising.npy", np.ones((9, 4)))
    promise = b"(9" + b"0" * 12 + b", 4), }"
    written = Path("promising.npy").read_bytes()
    Path("promising.npy").write_bytes(written.replace(b"(9, 4), }" + b" " * 12, promise))
    assert re.search(WRONG[words], refused(*words.split()))


@pytest.mark.parametrize("command", ["evaluate", "predict", "export", "compare", "report", "clean"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    said = capsys.readouterr().out
    assert f"usage: fulmen {command}" in said
    assert all(f"{name}=" in said for name in options(command))


def options(command: str) -> Any:
    import importlib

    return importlib.import_module(f"fulmen.cli.{command}").OPTIONS


def test_one_row_is_enough_to_check_an_export(here: Path) -> None:
    load_iris(as_frame=True).data.head(1).to_csv("one.csv", index=False)
    for output in ("net.onnx", "net.pt2"):
        assert main(["export", "run", "input=one.csv", f"output={output}"]) == 0


def test_a_network_in_half_precision_is_exported_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=moons", *LAYERS, "trainer.precision=bf16-true", "trainer.max_epochs=1", "run_dir=run"]
    assert main(words) == 0
    capsys.readouterr()
    for output in ("net.onnx", "net.pt2"):
        code = main(["export", "run", f"output={output}"])
        assert code == 0 or re.match(r"fulmen: .*(cannot write|other predictions).*\n\Z", capsys.readouterr().err)


@pytest.mark.parametrize("size", [1e-7, 1e-3, 1.0, 1e6])
def test_what_an_export_may_differ_by_is_measured_in_the_targets_own_size(size: float) -> None:
    values = np.array([[1.0], [-2.0], [0.5]]) * size
    assert export._difference(2 * values, values, None) == pytest.approx(1)
    assert export._difference(values * (1 + 1e-6), values, None) < export.LARGEST_DIFFERENCE


def test_rows_that_have_changed_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are divided again, so that rows that were trained on may be tested on."""
    monkeypatch.chdir(tmp_path)
    table = load_iris(as_frame=True).frame
    table.to_csv("t.csv", index=False)
    words = ["data=table", "data.path=t.csv", "data.target=target", "run_dir=run", "trainer.max_epochs=1", *LAYERS]
    assert main(words) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "split=test"]) == 0
    assert "has changed" not in capsys.readouterr().err
    pd.concat([table, table.head(9)]).to_csv("t.csv", index=False)
    for more in ([], ["split=test"]):
        assert main(["evaluate", "run", *more]) == 0
        assert "the data has changed since the network was trained" in capsys.readouterr().err


def test_another_table_is_measured_whole_by_what_was_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its rows need not hold every class, nor every text."""
    monkeypatch.chdir(tmp_path)
    table = load_iris(as_frame=True).frame
    table["target"] = table["target"].map(dict(enumerate(NAMES)))
    table["size"] = np.where(table.iloc[:, 0] > 5.8, "large", "small")
    table.to_csv("t.csv", index=False)
    new = table[(table["target"] != "setosa") & (table["size"] == "large")]
    new.to_csv("new.csv", index=False)
    table["day"] = np.arange(len(table)) % 50
    table.to_csv("t.csv", index=False)
    new.to_csv("new.csv", index=False)
    words = ["data=table", "data.path=t.csv", "data.target=target", "run_dir=run", "trainer.max_epochs=20", *LAYERS]
    assert main([*words, "data.time=day"]) == 0, "a column that only divides need not be there later"
    capsys.readouterr()
    assert main(["evaluate", "run", "data.path=new.csv"]) == 0
    found = json.loads(capsys.readouterr().out)
    right = fulmen.load("run").predict(new.drop(columns="target")) == new["target"].to_numpy()
    assert_allclose(found["all/accuracy"], right.mean(), rtol=1e-6)


@pytest.mark.parametrize("name", ["epoch=3-step=99.ckpt", "lr=0.1", "weights of größe=3.pt"])
def test_a_checkpoint_may_have_an_equals_sign_in_its_name(
    name: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(here / "run" / "checkpoints" / "best.ckpt", here / name)
    shutil.copytree(here / "run", here / "seed=3,lr=1")
    for command in (["predict", "input=rows.csv"], ["evaluate", "split=test"]):
        assert main([command[0], "run", *command[1:]]) == 0
        expected = capsys.readouterr().out
        for subject in (name, f"./{name}", "seed=3,lr=1"):
            assert main([command[0], subject, *command[1:]]) == 0
            assert capsys.readouterr().out == expected


def test_a_checkpoint_that_is_not_there_is_no_option(here: Path, refused: Callable[..., str]) -> None:
    assert refused("predict", "epoch=9.ckpt", "input=rows.csv") == "fulmen: there is no checkpoint epoch=9.ckpt"
