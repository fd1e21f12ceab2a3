"""Whole runs on tables: as good as scikit-learn's network on the same rows, and refused in a sentence."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import yaml
from sklearn import datasets
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import fulmen
from fulmen.cli.main import main
from fulmen.config import validate
from fulmen.experiment.load import Run

PASSES = 40
TABLES = [("breast_cancer", "csv"), ("wine", "parquet"), ("diabetes", "csv")]


def with_texts_and_holes(name: str) -> pd.DataFrame:
    """One of scikit-learn's tables with a numbered column made text, classes named, and every 25th cell empty."""
    loaded: Any = getattr(datasets, f"load_{name}")(as_frame=True)
    table: pd.DataFrame = loaded.frame
    first = table.columns[0]
    table["size"] = pd.cut(table[first], 3, labels=["small", "medium", "large"]).astype(str)
    holes = np.random.default_rng(0).random(table.shape) < 0.04
    table = table.mask(pd.DataFrame(holes, columns=table.columns).assign(target=False))
    if name != "diabetes":
        table["target"] = [f"class {number}" for number in table["target"]]
    return table


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # as many passes as ours, no more
@pytest.mark.parametrize(("name", "ending"), TABLES)
def test_a_run_is_as_good_as_scikit_learns_network(
    name: str, ending: str, tmp_path: Path, train: Callable[..., Run]
) -> None:
    """Within 0.02 on the 40 % of the rows that are held out, in the mean of three seeds.of the network."""
    path = tmp_path / f"{name}.{ending}"
    table = with_texts_and_holes(name)
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    words = ("data=table", f"data.path={path}", "data.target=target", "data.val_size=0", "data.test_size=0.4")
    settings = (
        "model=mlp",
        "model.hidden=[16]",
        "optimizer.lr=0.003",
        "optimizer.weight_decay=0.01",
        "data.batch_size=32",
        "score=train/loss",
    )
    source = validate.check(fulmen.compose([*words, *settings]))
    runs = [train(*words, *settings, f"seed={seed}", max_epochs=PASSES) for seed in range(3)]
    key = "test/r2" if name == "diabetes" else "test/accuracy"
    ours = np.mean([run.metrics[key] for run in runs])

    splits = source.load()
    scaler = StandardScaler().fit(splits["train"].x)
    x, x_test = (scaler.transform(splits[part].x) for part in ("train", "test"))
    y, y_test = (splits[part].y.ravel().astype(float) for part in ("train", "test"))
    if name == "diabetes":
        y, y_test = (y - y.mean()) / y.std(), (y_test - y.mean()) / y.std()
    network = MLPRegressor if name == "diabetes" else MLPClassifier
    common: dict[str, Any] = {
        "hidden_layer_sizes": (16,),
        "batch_size": 32,
        "learning_rate_init": 0.003,
        "max_iter": PASSES,
        "n_iter_no_change": 999,
    }
    theirs = np.mean(
        [network(alpha=0.01, random_state=seed, **common).fit(x, y).score(x_test, y_test) for seed in range(3)]
    )
    assert ours == pytest.approx(theirs, abs=0.02)


@pytest.mark.parametrize(("name", "ending"), TABLES)
def test_a_table_is_learned_used_and_exported(
    name: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New rows come without the target, in another order of columns; onnxruntime predicts the same, of one table."""
    monkeypatch.chdir(tmp_path)
    table = with_texts_and_holes(name)
    new = table.drop(columns="target").iloc[:, ::-1]
    for file, content in ((f"t.{ending}", table), (f"new.{ending}", new)):
        content.to_csv(file, index=False) if ending == "csv" else content.to_parquet(file)
    words = ["data=table", f"data.path=t.{ending}", "data.target=target", "model=deep", "trainer.max_epochs=3"]
    assert main([*words, "run_dir=run", "logger=none", "figures=none", "accelerator=cpu"]) == 0
    assert main(["predict", "run", f"input=new.{ending}", "output=out.npy"]) == 0
    expected, run = np.load("out.npy"), fulmen.load("run")
    assert len(expected) == len(new)
    if name == "wine":
        assert main(["export", "run", "output=net.onnx"]) == 0
        features = run.features(new).astype(np.float32)
        (found,) = onnxruntime.InferenceSession("net.onnx").run(None, {"features": features})
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    else:
        in_order = run.predict_proba if name == "breast_cancer" else run.predict
        np.testing.assert_allclose(in_order(table.drop(columns="target")), expected, rtol=1e-6)


SMALL = "a,b,kind,value\n" + "".join(f"{row % 7},{row % 5},{'xy'[row % 2]},{row / 3}\n" for row in range(60))
HERE = "data=table data.path=here.csv"
BAD_WORDS = {
    "data=table": r"data=table needs a file: add data.path=<your CSV or Parquet file>\.$",
    "data=table data.target=kind": r"data=table needs a file",
    "data=table data.path=her.csv": r"There is no file her.csv; did you mean here.csv\?$",
    HERE: r"data.target is not given: say which column to predict, of a, b, kind, value\.$",
    f"{HERE} data.target=knid": r"data.target is 'knid', but here.csv has no such column; did you mean kind\?",
    f"{HERE} data.target=[value,z]": r"data.target is 'z', but here.csv has no such column",
    f"{HERE} data.target=3": r"data.target is '3', but here.csv has no such column",
    f"{HERE} data.target=[3]": r"data.target is '3', but here.csv has no such column",
    f"{HERE} data.features=a": r"data.features is 'a', but must be a list, as \[a\], or null$",
    f"{HERE} data.leave_out=a": r"data.leave_out is 'a', but must be a list",
    f"{HERE} data.task=classes": r"data.task is 'classes', but must be one of auto, regression, binary, multiclass$",
    f"{HERE} data.val_size=some": r"data.val_size is 'some', but must be a number",
    f"{HERE} data.test_size=1.5": r"data.test_size is 1.5, but must be a share below 1, or a whole number of rows$",
    f"{HERE} data.time=2024": r"data.target is not given",
    f"{HERE} data.separator=1": r"data.separator is 1, but must be a text; put it in quotes, or null$",
    f"{HERE} data.target=kind data.batch_size=0": r"data.batch_size is 0",
    f"{HERE} data.target=kind loss=cross_entropy": r"loss=cross_entropy does not fit data=table, whose task is binary",
    f"{HERE} data.target=value score=val/accuracy": r"score=val/accuracy is not measured .* regression task",
    f"{HERE} data.target=kind model=lenet": r"lenet needs images",
    f"-m {HERE} data.target=kind,z": r"data.target is 'z', but here.csv has no such column",
    "data.path=here.csv": r"there is no key 'data.path'; it belongs to data=arrays, images, table$",
}


@pytest.mark.parametrize("words", BAD_WORDS)
def test_bad_words_get_their_sentence_and_leave_no_folder(
    words: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "here.csv").write_text(SMALL)
    assert re.search(BAD_WORDS[words], refused(*words.split()))


def test_a_run_writes_down_the_words_as_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a file (1).csv").write_text(SMALL)
    words = ["data=table", "data.path=./a file (1).csv", "data.target=[value,b]", "logger=none", "run_dir=run"]
    assert main([*words, "trainer.max_epochs=1", "accelerator=cpu"]) == 0
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["data"]["path"] == "./a file (1).csv" and config["data"]["target"] == ["value", "b"]
    assert config["sizes"] == {"in_shape": [3], "out_features": 2, "task": "regression"}


def test_the_file_is_read_before_torch_is_imported(tmp_path: Path, load_without_torch: Callable[..., None]) -> None:
    """A wrong file is refused at once, not after the seconds that torch takes."""
    (tmp_path / "here.csv").write_text(SMALL)
    load_without_torch(*HERE.split(), "data.target=kind")
