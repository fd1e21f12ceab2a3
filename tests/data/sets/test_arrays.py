"""Arrays of the user's own: what is made of them, in memory and streamed, and what is refused."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

import fulmen
from fulmen.cli.main import main
from fulmen.config import validate
from fulmen.data import chunks, order, tensors
from fulmen.data.sets import npy_files
from fulmen.data.sets.arrays import Arrays
from fulmen.experiment.load import Run
from fulmen.figures import draw, landscape
from fulmen.training.packs import DataModule

Train = Callable[..., Run]
Arrayed = NDArray[Any]
SIZES = {"train": 300, "val": 90, "test": 70}


def drawn(kind: str, dtype: str = "float32") -> dict[str, Arrayed]:
    """By the names of files."""
    random, found = np.random.default_rng(0), dict[str, Arrayed]()
    for split, rows in SIZES.items():
        x: Arrayed = random.normal(5, 3, (rows, 4))
        score = x @ [1, -1, 0.5, 0] - 3 + random.normal(size=rows)
        y: Arrayed
        if kind == "values":
            y = np.stack([score, x[:, 3] * 100], axis=1)
        else:
            y = np.digitize(score, [0] if kind == "binary" else [-2, 2])
        if kind == "images":
            x = random.integers(0, 256, (rows, 1, 28, 28))
        found |= {f"{split}_x": x.astype("uint8" if kind == "images" else dtype), f"{split}_y": y}
    return found


def save(folder: Path, arrays: dict[str, Arrayed]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / name, values)
    return folder


def arrays(path: object, **keys: Any) -> Arrays:
    defaults: dict[str, Any] = {"task": "auto", "in_memory": "auto"}
    return Arrays(path=None if path is None else str(path), **defaults | keys)


@pytest.mark.parametrize(
    ("y", "task", "expected"),
    [
        (np.arange(300) % 2, "auto", ("binary", 1, ("0", "1"))),
        (np.arange(300) % 2 == 0, "auto", ("binary", 1, ("0", "1"))),
        (np.arange(300).reshape(-1, 1) % 3, "auto", ("multiclass", 3, ("0", "1", "2"))),
        (np.arange(300) % 2, "multiclass", ("multiclass", 2, ("0", "1"))),
        (np.arange(300, dtype="uint8") % 2, "regression", ("regression", 1, ("y",))),
        ((np.arange(300) % 2).astype("float32"), "binary", ("binary", 1, ("0", "1"))),
        (np.arange(300.0), "auto", ("regression", 1, ("y",))),
        (np.arange(300.0) % 2, "auto", ("binary", 1, ("0", "1"))),
        ((np.arange(300.0) % 3)[:, None], "auto", ("multiclass", 3, ("0", "1", "2"))),
        ((np.arange(300) % 20).astype("float16"), "auto", ("multiclass", 20, tuple(map(str, range(20))))),
        (np.arange(300.0) % 21, "auto", ("regression", 1, ("y",))),
        (np.arange(300.0) % 3 / 2, "auto", ("regression", 1, ("y",))),
        (np.arange(300.0) % 2, "regression", ("regression", 1, ("y",))),
        (np.arange(600.0).reshape(300, 2) % 2, "auto", ("regression", 2, ("y1", "y2"))),
        (np.arange(600.0).reshape(300, 2), "auto", ("regression", 2, ("y1", "y2"))),
        (np.arange(600).reshape(300, 2), "regression", ("regression", 2, ("y1", "y2"))),
    ],
)
def test_targets_say_what_is_learned(
    y: Arrayed, task: str, expected: tuple[Any, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = arrays(save(tmp_path, {"train_x": np.ones((300, 2)), "train_y": y}), task=task)
    spec, train = made.spec, made.load()["train"]
    assert (spec.task, spec.out_features, spec.target_names) == expected
    assert spec.in_shape == (2,) and spec.feature_names == ("x1", "x2")
    assert train.y.shape == ((300, spec.out_features) if spec.task == "regression" else (300,))
    assert_array_equal(train.y.ravel(), y.ravel())
    guessed = task == "auto" and spec.task != "regression" and y.dtype.kind == "f"
    said = f"data=arrays: the {len(set(y.ravel()))} whole numbers of train_y.npy are taken for classes; for values add "
    assert capsys.readouterr().err == (f"{said}data.task=regression\n" if guessed else "")


@pytest.mark.parametrize("labels", [(-1.0, 1.0), (1.0, 2.0, 3.0), (1000.0, 20000.0)])
def test_whole_numbers_that_count_no_classes_ask_for_the_task(labels: tuple[float, ...], tmp_path: Path) -> None:
    """As before, a table takes any; here the number of a class is its place among the outputs."""
    y = np.resize(np.array(labels), 300)
    with pytest.raises(ValueError, match=r"data\.task=regression"):
        _ = arrays(save(tmp_path, {"train_x": np.ones((300, 2)), "train_y": y})).spec


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that is done in parts is done in several."""
    monkeypatch.setattr(chunks, "NUMBERS", 100)
    monkeypatch.setattr(tensors, "CHUNK_ROWS", 40)
    for name, value in {"LONGEST": 64, "SHORTEST": 64, "BLOCKS": 8}.items():
        monkeypatch.setattr(order, name, value)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize(
    ("kind", "dtype", "scale", "precision"),
    [
        *(("values", dtype, "both", "32-true") for dtype in ("float16", "float32", "float64", ">f8", "int16")),
        ("values", "float32", "none", "32-true"),
        ("binary", "float32", "both", "32-true"),
        ("multiclass", "float64", "features", "32-true"),
        ("images", "uint8", "channels", "32-true"),
        ("values", "float32", "both", "64-true"),
        ("values", "float64", "none", "64-true"),
        ("images", "uint8", "channels", "64-true"),
    ],
)
def test_streamed_is_what_is_in_memory_to_the_last_bit(
    kind: str, dtype: str, scale: str, precision: str, tmp_path: Path, train: Train
) -> None:
    """Rows, scaling and the record's fingerprint; weights after training; figures."""
    path = save(tmp_path / "arrays", drawn(kind, dtype))
    words = ("data=arrays", f"data.path={path}", f"data.scale={scale}", "data.batch_size=32", "optimizer.lr=0.01")
    held, streamed = (
        train(*words, f"data.in_memory={held}", f"trainer.precision={precision}", max_epochs=3, pack=pack)
        for held, pack in (("true", 3), ("false", 7))
    )
    assert held.metrics == streamed.metrics
    for one, other in zip(held.model.parameters(), streamed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert held.predictor.scaling.plain() == streamed.predictor.scaling.plain()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_are_scaled_by_the_mean_and_deviation_of_all(dtype: str, order: Any, tmp_path: Path) -> None:
    found = drawn("values", "float64")
    found = {name: (np.abs(y) if name.endswith("x") else y).astype(dtype, order=order) for name, y in found.items()}
    found["train_x"][:, 3] = 7
    source = arrays(save(tmp_path, found), in_memory=False, scale="both", task="regression")
    data = DataModule(source, dtype=torch.float64, seed=0, pack=1)
    data.load()
    x, y = found["train_x"].astype(float), found["train_y"].astype(float)
    std = np.where(x.std(0) > 0, x.std(0), 1)
    for name in SIZES:
        batch = data.splits[name].take(slice(None))
        assert_allclose(batch.x, (found[f"{name}_x"] - x.mean(0)) / std, rtol=1e-5, atol=2e-6)
        assert_allclose(batch.y, (found[f"{name}_y"] - y.mean(0)) / y.std(0), rtol=1e-5, atol=2e-6)
    some = torch.tensor([299, 3, 3])
    assert torch.equal(data.splits["train"].take(some).x, data.splits["train"].take(slice(None)).x[some])


def test_whether_rows_stay_in_files_goes_by_their_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, {"train_x": np.ones((100, 3), "uint8"), "train_y": np.arange(100.0)})
    for memory, streams in ((2 * 100 * (3 * 4 + 8), False), (2 * 100 * (3 * 4 + 8) - 1, True)):
        monkeypatch.setattr(npy_files, "memory", lambda memory=memory: memory)
        assert arrays(path).streams is streams
    assert arrays(path, in_memory=False).streams and not arrays(path, in_memory=True).streams


def test_memory_is_what_the_container_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npy_files, "LIMIT", tmp_path / "memory.max")
    machine = npy_files.memory()
    assert machine >= 2**28
    for said, expected in (("max\n", machine), ("4096\n", 4096), (f"{2**60}\n", machine)):
        npy_files.LIMIT.write_text(said)
        assert npy_files.memory() == expected


@pytest.mark.parametrize(("kind", "in_memory"), [("values", "true"), ("binary", "false")])
def test_a_run_is_used_and_exported(
    kind: str, in_memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(landscape, "GRID", 3)
    monkeypatch.setattr(draw, "pixels", lambda _: np.zeros((480, 640, 3), np.uint8))
    found = drawn(kind)
    save(Path("here"), found)
    words = ["data=arrays", "data.path=here", f"data.in_memory={in_memory}", "trainer.max_epochs=2"]
    words += ["figures=all", "figures.animation=false"] if kind == "binary" else ["figures=none", "logger=none"]
    assert main([*words, "run_dir=run", "accelerator=cpu", "model=shallow"]) == 0
    assert main(["evaluate", "run", "output=own.json"]) == 0
    run = fulmen.load("run")
    assert all(run.metrics[name] == value for name, value in _json("own.json").items())
    capsys.readouterr()
    assert main(["predict", "run", "input=here/test_x.npy", "output=out.npy"]) == 0
    assert_allclose(np.load("out.npy"), run.predictor.scores(found["test_x"]))
    if kind == "binary":
        assert main(["export", "run"]) == 0

    other = drawn(kind)
    save(Path("there"), {name: other[name] for name in ("test_x", "test_y")})
    assert main(["evaluate", "run", "data.path=there", "output=other.json"]) == 0
    assert _json("other.json") == {name: value for name, value in _json("own.json").items() if "test/" in name}
    (tmp_path / "here" / "train_x.npy").unlink()
    assert main(["predict", "run", "input=here/test_x.npy", "output=again.npy"]) == 0
    assert_array_equal(np.load("again.npy"), np.load("out.npy"))
    assert main(["evaluate", "run", "split=all", "data.path=there"]) == (0 if in_memory == "true" else 1)


def _json(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    return found


def test_a_resumed_run_ends_as_an_undisturbed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save(Path("here"), drawn("values"))
    words = ["data=arrays", "data.path=here", "data.in_memory=false", "logger=none", "figures=none", "accelerator=cpu"]
    assert main([*words, "trainer.max_epochs=4", "run_dir=whole", "weights=last"]) == 0
    assert main([*words, "trainer.max_epochs=2", "run_dir=parts", "weights=last"]) == 0
    assert main(["resume=parts", "trainer.max_epochs=4"]) == 0
    assert fulmen.load("parts").metrics == fulmen.load("whole").metrics


Changes = dict[str, Arrayed | None]
GOOD: Changes = {
    "train_x": np.ones((9, 2)),
    "train_y": np.arange(9.0),
    "val_x": np.ones((4, 2)),
    "val_y": np.arange(4.0),
}
OF_CLASSES: Changes = GOOD | {"train_y": np.arange(9) % 3, "val_y": np.arange(4) % 3}
NAN, INF = np.ones((9, 2)), np.arange(9.0)
NAN[7, 1], INF[3] = np.nan, np.inf
BAD: dict[str, tuple[Changes, str, str]] = {
    "rows differ": (
        GOOD | {"val_y": np.arange(3.0)},
        "",
        r"val_x.npy has 4 rows, but val_y.npy has 3: both must have the same",
    ),
    "no targets": (
        GOOD | {"val_y": None},
        "",
        r"There is no val_y.npy in here; did you mean val_x.npy\? It holds train_",
    ),
    "nothing to learn from": (
        GOOD | {"train_x": None},
        "",
        r"There is no train_x.npy in here; did you mean train_y.npy",
    ),
    "objects": (
        GOOD | {"train_y": np.array([None] * 9)},
        "",
        r"train_y.npy is damaged.* objects cannot be memory-mapped: save",
    ),
    "texts": (GOOD | {"train_y": np.array(["a"] * 9)}, "", r"train_y.npy has dtype <U1: use real numbers"),
    "complex numbers": (
        GOOD | {"train_x": np.ones((9, 2)) * 1j},
        "",
        r"train_x.npy has dtype complex128",
    ),
    "no rows": (
        GOOD | {"val_x": np.ones((0, 2)), "val_y": np.ones(0)},
        "",
        r"val_x.npy (has shape|is damaged, empty)",
    ),
    "a row alone": (
        GOOD | {"train_x": np.ones(9)},
        "",
        r"train_x.npy has shape \(9,\): it must be \[rows, features\]",
    ),
    "another width": (
        GOOD | {"val_x": np.ones((4, 3))},
        "",
        r"val_x.npy has rows of shape \(3,\), but train_x.npy of",
    ),
    "other targets": (GOOD | {"val_y": np.ones((4, 3))}, "", r"val_y.npy has 3 targets, but train_y.npy has 1\."),
    "targets in a block": (
        GOOD | {"train_y": np.ones((9, 1, 1))},
        "",
        r"train_y.npy has shape \(9, 1, 1\): regression targets",
    ),
    "no number": (GOOD | {"train_x": NAN}, "", r"train_x.npy has nan in row 7: every value must be a finite number\."),
    "an infinite target": (
        GOOD | {"train_y": INF},
        "",
        r"train_y.npy has inf in row 3: every value must be a finite number\.",
    ),
    "a negative class": (
        OF_CLASSES | {"train_y": np.arange(9) - 1},
        "",
        r"The targets contain -1, but class labels .* 0",
    ),
    "large numbers": (
        OF_CLASSES | {"train_y": np.arange(9) * 9000},
        "",
        r"The targets contain 18000, .* data.task=regression",
    ),
    "a fraction": (
        GOOD | {"train_y": np.arange(9) / 2},
        "data.task=multiclass",
        r"The targets contain 0.5, but class labels must",
    ),
    "a class left out": (
        OF_CLASSES | {"train_y": np.arange(9) % 3 + 1},
        "",
        r"classes up to 3 but no row of class 0: number",
    ),
    "one class": (
        OF_CLASSES | {"train_y": np.zeros(9, int)},
        "",
        r"train_y.npy has class 0 in every row: there is nothing",
    ),
    "too many": (
        OF_CLASSES,
        "data.task=binary",
        r"data.task is binary, and train_y.npy has 3 classes: there must be 2\.",
    ),
    "one-hot": (
        OF_CLASSES | {"train_y": np.eye(9, dtype=int)},
        "",
        r"train_y.npy has shape \(9, 9\): class labels must",
    ),
    "an unknown class": (
        OF_CLASSES | {"val_y": np.arange(4)},
        "",
        r"val_y.npy has class 3, but the largest class in train_y.npy",
    ),
    "another task": (GOOD, "data.task=classes", r"data.task is 'classes', but must be one of auto, regression, binary"),
    "another word": (GOOD, "data.in_memory=yes", r"data.in_memory is 'yes', but must be one of auto, true, false"),
    "a full batch": (
        GOOD,
        "data.in_memory=false data.batch_size=full",
        r"data.batch_size=full needs all rows in memory",
    ),
    "a baseline": (
        GOOD,
        "data.in_memory=false baseline=sklearn model=linear",
        r"use data.in_memory=true or baseline=none",
    ),
    "nothing held out": ({"train_x": GOOD["train_x"], "train_y": GOOD["train_y"]}, "", r"use score=train/loss"),
    "another folder": (GOOD, "data.path=hare", r"There is no folder hare; did you mean here\?$"),
    "a file": (GOOD, "data.path=here/train_x.npy", r"train_x.npy is a file: give data.path=<the folder"),
    "no folder": (GOOD, "data.path=null", r"data=arrays needs a folder: add data.path=<one with train_x.npy and"),
    "images for a table": (GOOD, "model=lenet", r"lenet needs images"),
}


def there(arrays: Changes) -> dict[str, Arrayed]:
    return {name: values for name, values in arrays.items() if values is not None}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_gets_its_sentence_and_leaves_no_folder(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given, words, sentence = BAD[case]
    monkeypatch.chdir(tmp_path)
    save(Path("here"), there(given))
    chosen = [] if "data.path" in words else ["data.path=here"]
    assert main(["data=arrays", *chosen, *words.split(), "accelerator=cpu", "logger=none"]) == 1
    said = capsys.readouterr().err.strip()
    assert re.search(sentence, said), said
    assert said.startswith("fulmen: ") and "\n" not in said, "one sentence, no traceback"
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize("content", [b"", b"not an array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    save(tmp_path, there(GOOD))
    (tmp_path / "train_x.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"train_x.npy is damaged, empty or not written by numpy.save"):
        arrays(tmp_path).load()


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    save(tmp_path, there(GOOD))
    content = (tmp_path / "train_x.npy").read_bytes()
    (tmp_path / "train_x.npy").write_bytes(content[:-8])
    with pytest.raises(ValueError, match=r"train_x.npy is damaged"):
        arrays(tmp_path).load()


def test_sizes_are_known_without_torch(tmp_path: Path, load_without_torch: Callable[..., None]) -> None:
    save(tmp_path, there(OF_CLASSES))
    load_without_torch("data=arrays", f"data.path={tmp_path}")
    assert validate.check(fulmen.compose(["data=arrays", f"data.path={tmp_path}"])).spec.task == "multiclass"


MEASURE = """
import pathlib, resource, sys
import fulmen

def peak(folder):
    words = ["data=arrays", f"data.path={folder}", "data.batch_size=16384", "trainer.max_epochs=1", "accelerator=cpu"]
    fulmen.train(fulmen.compose(words), folder=pathlib.Path(folder, "run"), verbose=False)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

few = peak("few")
print(peak("many") - few)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no getrusage")
@pytest.mark.parametrize("task", ["regression", "binary"])
def test_a_run_takes_half_as_much_memory_again_as_its_rows(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    """Of 4 million; beside those it takes some megabytes that do not grow with them, for the order and a pack."""
    random = np.random.default_rng(0)
    for folder, rows in (("few", 10_000), ("many", 4_000_000)):
        x = random.standard_normal((rows, 2), np.float32)
        y = x[:, 0] if task == "regression" else (x[:, 0] > 0).astype(np.int64)
        save(tmp_path / folder, {"train_x": x, "train_y": y, "val_x": x[:1000], "val_y": y[:1000]})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "measure.py").write_text(MEASURE)
    done = forked(program=tmp_path / "measure.py")
    assert done.wait(200) == 0, done.stderr
    assert int(done.stdout.split()[-1]) <= 1.5 * 4_000_000 * (2 + 1) * 4 + 30 * 2**20


def test_a_damaged_file_is_an_array_or_refused_in_a_sentence(tmp_path: Path) -> None:
    """Bytes of the header changed, put in and taken away; and archives of several arrays."""
    random, path = np.random.default_rng(0), tmp_path / "train_x.npy"
    np.save(tmp_path / "one.npy", np.ones((9, 3)))
    np.savez(tmp_path / "several.npz", a=np.ones(3))
    for trial in range(150):
        damaged = bytearray((tmp_path / ("several.npz" if trial % 4 == 3 else "one.npy")).read_bytes())
        at, value = int(random.integers(128)), int(random.choice([*b"0123456789,'(){}"]))
        match trial % 5:
            case 0:
                damaged[at] ^= 1 << int(random.integers(8))
            case 1:
                damaged[at] = value
            case 2:
                damaged.insert(at, value)
            case 3:
                del damaged[at]
            case 4:
                del damaged[at:]
        path.write_bytes(damaged)
        said = f"{path}: a sentence"
        try:
            npy_files.mapped(path)
        except ValueError as error:
            said = str(error)
        assert str(path) in said and "\n" not in said
