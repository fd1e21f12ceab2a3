"""Single runs from Python: overrides, classes, arrays and frames in; a table and a figure of the run out."""

import functools
import math
import re
import shutil
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import fulmen
from fulmen.cli.main import main

SHORT = ["trainer.max_epochs=2", "figures=none", "logger=none", "accelerator=cpu", "quiet=true"]
X = np.random.default_rng(0).normal(size=(60, 3))
FRAME = pd.DataFrame(
    {
        "a b": X[:, 0],
        "code": [f"{row % 4:03d}" for row in range(60)],
        "flag": X[:, 1] > 0,
        "the, class": np.where(X[:, 0] > 0, "007", "yes it is"),
    }
)


class Net(nn.Module):
    def __init__(self, in_shape: tuple[int, ...], out_features: int, width: int = 4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(math.prod(in_shape), width), nn.Tanh(), nn.Linear(width, out_features))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x.flatten(1))
        return out


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_overrides_train_as_a_configuration_does() -> None:
    words = ["data=moons", *SHORT]
    run, same = fulmen.train(words, "one"), fulmen.train(fulmen.compose(words), Path("two"))
    assert run.metrics == same.metrics
    pd.testing.assert_frame_equal(run.history, pd.read_csv("one/history.csv"))
    again = fulmen.train(["trainer.max_epochs=1"], rerun="one")
    assert again.history["epoch"].max() == 1 and again.metrics != run.metrics


def test_a_run_shows_as_a_table_and_a_figure() -> None:
    run = fulmen.train(["data=moons", *SHORT], "<run>")
    table = re.findall(r"<t[hd]>(.*?)</t[hd]>", run._repr_html_())
    assert table[:4] == ["", "train", "val", "test"]
    shown = table[table.index("accuracy") + 1 :][:3]
    assert shown == [f"{run.metrics[f'{split}/accuracy']:.4g}" for split in table[1:4]]
    assert "&lt;run&gt;" in run._repr_html_() and "accuracy" in repr(run)
    train, val = run.plot().axes[0].lines
    np.testing.assert_array_equal(train.get_ydata(), run.history["train/loss"])
    np.testing.assert_array_equal(val.get_ydata(), run.history["val/loss"])
    alone = fulmen.load(run.folder / "checkpoints" / "best.ckpt")
    with pytest.raises(ValueError, match="a checkpoint alone has no history"):
        alone.plot()


def test_a_class_learns_arrays_and_is_loaded_resumed_and_repeated() -> None:
    run = fulmen.train(SHORT, "run", model=functools.partial(Net, width=5), data=(X, X @ [1.0, 2.0, 3.0]))
    assert isinstance(run.model, Net) and run.model.layers[0].out_features == 5
    rest, test = train_test_split(X, test_size=9, random_state=0)
    (file,) = Path("logs/data").glob("*/test_x.npy")
    np.testing.assert_array_equal(np.load(file), test)
    np.testing.assert_array_equal(
        np.load(file.with_name("val_x.npy")), train_test_split(rest, test_size=9, random_state=0)[1]
    )
    np.testing.assert_array_equal(fulmen.load("run").predict(X), run.predict(X))
    assert fulmen.resume("run", ["trainer.max_epochs=3"]).history["epoch"].max() == 3
    repeated = fulmen.train(["optimizer.lr=0.1"], "repeated", rerun="run").model
    assert isinstance(repeated, Net) and repeated.layers[0].out_features == 5
    fulmen.load("repeated")
    assert main(["evaluate", "run"]) == 1, "what another process was not given, it has to be told"
    assert main(["evaluate", "run", f"allow_targets={__name__}"]) == 0


def test_a_class_of_a_notebook_is_loaded_elsewhere_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = "from torch import nn\n\n\nclass Own(nn.Linear):\n    def __init__(self, in_shape, out_features):\n"
    source += "        super().__init__(*in_shape, out_features)\n"
    notebook = sys.modules["__main__"]
    exec(source, there := {"__name__": "__main__"})
    monkeypatch.setattr(notebook, "Own", there["Own"], raising=False)
    run = fulmen.train(SHORT, "run", model=there["Own"], data=(X[:, :1], X[:, 0]))
    shutil.copytree("run", "copied")  # as another process finds it, which was given no class
    monkeypatch.delattr(notebook, "Own")
    with pytest.raises(ValueError, match=r"put the class in a file, own\.py, write `from own import Own` in") as said:
        fulmen.load("copied")
    assert "['__main__', 'own'] (in a list of overrides: 'allow_targets=[__main__,own]')" in str(said.value)
    assert main(["evaluate", "copied", "allow_targets=[__main__]"]) == 1
    assert "in place of it, and train again; then add allow_targets=[own]\n" in capsys.readouterr().err
    (tmp_path / "own.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(notebook, "Own", import_module("own").Own, raising=False)
    found = fulmen.load("copied", allow_targets=["__main__", "own"])
    np.testing.assert_array_equal(found.predict(X[:, :1]), run.predict(X[:, :1]))
    with pytest.raises(ValueError, match="lives in own and not in __main__"):
        fulmen.load("copied", allow_targets=["__main__"])


def test_a_run_is_found_from_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fulmen.train([*SHORT, "run_dir=runs/one", "quiet=false"], data=(X, X[:, 0]))
    loaded = fulmen.load("runs/one")
    assert "run folder: runs/one\n" in capsys.readouterr().out
    (tmp_path / "elsewhere").mkdir()
    for each in (run, loaded):
        monkeypatch.chdir(tmp_path)
        assert repr(each).startswith(f"<run {Path('runs/one')}: ")
        assert "<code>runs/one</code>" in each._repr_html_()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert len(each.history) > 0
        assert fulmen.load(each.folder).metrics == run.metrics
        assert str(tmp_path) in repr(each)
    monkeypatch.chdir(tmp_path)
    fulmen.resume(run.folder, ["trainer.max_epochs=4"])
    assert "run folder: runs/one\n" in capsys.readouterr().out


def test_classes_that_are_whole_numbers_are_predicted_as_such() -> None:
    y = (X[:, 0] > 0).astype(int)
    run = fulmen.train([*SHORT, "model=linear", "optimizer.lr=0.5", "trainer.max_epochs=20"], data=(X, y))
    assert run.predict(X).dtype == y.dtype and (run.predict(X) == y).mean() > 0.8
    assert "predict" not in dir(fulmen) and {"train", "sweep", "load"} <= {*dir(fulmen)}


@pytest.mark.parametrize(
    "labels",
    [
        pd.Series(["1", "2"] * 30),
        pd.Series(["1", "2"] * 30, dtype="category"),
        pd.Series(["1", "2"] * 30, dtype="object"),
        pd.Series([True, False] * 30),
        pd.Series([1.5, 2.5] * 30),
        pd.Series([3, 7] * 30, dtype="category"),
    ],
    ids=lambda labels: f"{labels.dtype} {labels[0]!r}",
)
def test_labels_keep_the_type_that_they_were_given_in(labels: "pd.Series[Any]") -> None:
    words = [*SHORT, "model=linear", "data.task=binary"]
    run = fulmen.train(words, "run", data=pd.DataFrame(X, columns=list("abc")).assign(y=labels), target="y")
    rows = pd.DataFrame(X, columns=list("abc"))
    found = run.predict(rows).tolist()
    assert {*map(type, found)} == {type(labels.tolist()[0])} and {*found} <= {*labels}
    assert fulmen.load("run").predict(rows).tolist() == found
    rows.to_csv("rows.csv", index=False)
    assert main(["predict", "run", "input=rows.csv", "output=found.csv"]) == 0
    assert pd.read_csv("found.csv", dtype=str)["prediction"].tolist() == [*map(str, found)]


def test_whole_numbers_of_a_csv_file_stay_whole_numbers() -> None:
    pd.DataFrame(X, columns=list("abc")).assign(y=["1", "2"] * 30).to_csv("rows.csv", index=False)
    words = [*SHORT, "model=linear", "data=table", "data.path=rows.csv", "data.target=y"]
    assert fulmen.train(words).predict(X).dtype == int
    assert {*fulmen.train([*words, "data.types={y: text}"]).predict(X)} <= {"1", "2"}


def test_targets_may_be_named_by_pandas_own_index() -> None:
    """Of whole numbers, its names are NumPy's."""
    frame = pd.DataFrame(X).set_axis(pd.Index(np.arange(3)), axis=1)
    targets: list[tuple[Any, tuple[str, ...]]] = [(frame.columns[-1], ("2",)), (frame.columns[1:], ("1", "2"))]
    for target, names in (*targets, (np.str_("1"), ("1",))):
        run = fulmen.train(SHORT, data=frame, target=target)
        assert run.predictor.spec.target_names == names


def test_texts_of_a_frame_stay_texts() -> None:
    run = fulmen.train([*SHORT, "model=linear"], data=FRAME, target="the, class")
    assert set(run.predict(FRAME)) <= {"007", "yes it is"}
    assert [name for name in run.predictor.spec.feature_names if "code" in name] == [f"code={i:03d}" for i in range(4)]
    shuffled = FRAME.sample(frac=1, random_state=0)  # whose index is no longer in order
    pair = fulmen.train([*SHORT, "model=linear"], data=(shuffled[["a b", "code"]], shuffled["the, class"]))
    newest = max(Path("logs/data").glob("*.csv"), key=lambda path: path.stat().st_mtime_ns)
    assert (pair.folder / "metrics.json").exists()
    columns = pd.read_csv(newest, dtype=str)
    assert columns["code"].tolist() == shuffled["code"].tolist()
    assert columns["the, class"].tolist() == shuffled["the, class"].tolist()


@pytest.mark.parametrize("names", [[0, 1, 2], [" a ", "b\u00a0c", "d\ne"]])
def test_a_frame_is_predicted_whatever_its_columns_are_called(names: list[Any]) -> None:
    frame = pd.DataFrame(X, columns=names)
    run = fulmen.train([*SHORT, "model=linear"], data=(frame, X[:, 0] > 0))
    np.testing.assert_array_equal(run.predict(frame), run.predict(X))


def test_new_rows_that_cannot_be_read_are_refused_in_a_sentence() -> None:
    run = fulmen.train([*SHORT, "model=linear"], data=FRAME, target="flag")
    rows = FRAME.drop(columns="flag")
    wrong = {
        "array of object, not numbers: give a DataFrame with a b, code, the, class": rows.to_dict("records"),
        "two columns with the name 'code'": pd.concat([rows, rows[["code"]]], axis=1),
        r"'code' holds '\[1\]': it must hold texts": rows.assign(code=pd.Series([[1]] * 60)),
        "no column 'a b'; the columns are": pd.concat({"k": rows}, axis=1),
        "no column 'a b'; did you mean A b": rows.rename(columns=str.capitalize),
    }
    for sentence, new in wrong.items():
        with pytest.raises(ValueError, match=sentence):
            run.predict(new)
    found = run.predict(rows.rename(columns=lambda name: f" {name}").iloc[:, ::-1])
    np.testing.assert_array_equal(found, run.predict(rows))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fulmen.train("data=moons"), r"a list of overrides is needed, not one text; give \['data=moons'\]"),
        (lambda: fulmen.train([1]), "overrides are texts"),  # type: ignore[list-item]
        (lambda: fulmen.train(["seed=0,1"]), "fulmen.sweep runs them all"),
        (lambda: fulmen.train(model=Net((1,), 1), data=(X, X)), "takes a class"),
        (lambda: fulmen.train(["data.path=x"], data=(X, X)), "data.path=x and data= are two of a kind"),
        (lambda: fulmen.train(["model=deep"], model=Net), "model=deep and model= are two of a kind"),
        (lambda: fulmen.train(model=type("Outer.Net", (Net,), {})), "defined inside of something"),
        (lambda: fulmen.train(model=functools.partial(Net, width=np.float64)), "can be recorded"),  # type: ignore[arg-type]
        (lambda: fulmen.train(fulmen.compose(), model=Net), "go with a list of overrides"),
        (lambda: fulmen.train(data=X), "takes a frame, or features and targets"),
        (lambda: fulmen.train(data=FRAME), "add target=, one of its columns: a b, code, flag"),
        (
            lambda: fulmen.train(data=(X, X[:5, 0])),
            "as many rows of features as of targets, at least 3, and has 60 and 5",
        ),
        (lambda: fulmen.train(data=(X, 1)), "has 60 and one number"),
        (lambda: fulmen.train(data=(X, ["a"] * 60)), "give texts in a pandas DataFrame"),
        (lambda: fulmen.train(data=(X, X[:, 0]), target="y"), "has its own targets"),
        (lambda: fulmen.train(data=(np.where(X[7] == X, np.nan, X), X[:, 0])), "^x has nan in row 7, but every value"),
        (lambda: fulmen.train(data=(X, [1] * 9 + [-np.inf] * 51)), "^y has -inf in row 9, but every value"),
        (lambda: fulmen.train(target="y"), "which is not given"),
        (
            lambda: fulmen.train(data=(FRAME, FRAME["code"])),
            r"its target among its features, the column 'code'; give x.drop\(columns='code'\) instead of x",
        ),
        (lambda: fulmen.train(data=(FRAME, FRAME["code"].to_numpy())), "its target among its features"),
        (lambda: fulmen.train(data=(FRAME, FRAME["code"].rename("of its own"))), "its target among its features"),
        (lambda: fulmen.train(data=(FRAME[["flag"]], FRAME["code"][::-1])), r"different orders; give y.loc\[x.index\]"),
        (lambda: fulmen.train(data=FRAME, target="cod"), "target='cod' is no column of data=; did you mean code?"),
        (lambda: fulmen.train(data=FRAME.assign(**{" code": 1}), target="flag"), "two columns with the name 'code'"),
        (lambda: fulmen.train(data=FRAME.assign(raw=b"a"), target="flag"), "the column 'raw' of data= holds bytes"),
    ],
)
def test_what_cannot_be_trained_is_refused(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        call()
    assert not Path("logs").exists()


def test_advice_is_in_the_words_of_whoever_asks(capsys: pytest.CaptureFixture[str]) -> None:
    fulmen.train(["data=moons", *SHORT], "run")
    with pytest.raises(ValueError, match=re.escape("use fulmen.resume('run') with a larger")):
        fulmen.resume("run")
    assert main(["resume", "run"]) == 0
    assert "use fulmen resume=run with a larger" in capsys.readouterr().out
