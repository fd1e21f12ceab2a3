"""What a run leaves behind: its folder, whose files are what the README and the dashboard promise."""

import csv
import json
import math
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any
from urllib.request import Request, urlopen

import pytest
import torch
import yaml
from filelock import FileLock
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout

import fulmen
from fulmen.cli.main import main
from fulmen.errors import Diverged
from fulmen.experiment.load import Run
from fulmen.runs.recording import claim

WORDS = ("model=deep", "data=circles", "trainer.max_epochs=3", "seed=7")
REGRESSION = ("data=wiggle", "trainer.max_epochs=2", "logger=none", "figures=none")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fulmen.train(fulmen.compose(WORDS), folder=tmp_path_factory.mktemp("run") / "run", verbose=False)


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_folder_holds_what_the_contract_names(run: Run) -> None:
    names = {path.name for path in run.folder.iterdir()}
    assert names == {
        "config.yaml",
        "status.json",
        "metrics.json",
        "history.csv",
        "checkpoints",
        "tensorboard",
        "figures",
    }
    assert {path.name for path in (run.folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert {path.name for path in (run.folder / "figures").iterdir()} == {"regions.png", "confusion.png", "curves.png"}


def test_status_says_how_it_went(run: Run) -> None:
    status = read(run.folder / "status.json")
    assert status["state"] == "completed" and status["error"] is None and status["traceback"] is None
    assert status["overrides"] == list(WORDS)
    assert (status["seed"], status["steps"], status["device"], status["threads"]) == (7, 30, "cpu", 1)
    assert status["started"] < status["ended"] and status["seconds"] > 0
    assert status["versions"]["torch"] == torch.__version__ and status["host"]
    assert {"commit", "dirty"} <= status.keys()


def test_config_has_sizes_and_composes_again(run: Run) -> None:
    config = yaml.safe_load((run.folder / "config.yaml").read_text("utf-8"))
    assert config["sizes"] == {"in_shape": [2], "out_features": 1, "task": "binary"}
    assert config["trainer"]["max_epochs"] == 3 and config["choices"]["model"] == "deep"
    assert config["experiment"] is None and "overrides" not in config


def test_metrics_are_those_of_the_returned_model(run: Run) -> None:
    metrics = read(run.folder / "metrics.json")
    assert metrics == run.metrics and metrics["parameters"] == 501
    from fulmen.config import validate

    split = validate.check(fulmen.compose(WORDS)).load()["test"]
    with torch.no_grad():
        probability = run.model(torch.from_numpy(split.x).float()).sigmoid().numpy()[:, 0]
    assert metrics["test/accuracy"] == pytest.approx(((probability >= 0.5) == split.y).mean())
    table = metrics["test/confusion_matrix"]
    assert table[1][1] == ((probability > 0.5) & (split.y == 1)).sum() and sum(map(sum, table)) == len(split.y)


def test_history_has_a_row_for_each_pass_of_a_short_run(run: Run) -> None:
    with (run.folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:6] == ["step", "epoch", "seconds", "lr", "train/loss", "val/loss"]
    assert "val/accuracy" in rows[0]
    assert [row["step"] for row in rows] == ["10", "20", "30"] and [row["epoch"] for row in rows] == [
        "1.0",
        "2.0",
        "3.0",
    ]
    assert float(rows[0]["seconds"]) < float(rows[-1]["seconds"])


def test_checkpoints_are_plain_tensors_and_values(run: Run) -> None:
    for name in ("best.ckpt", "last.ckpt"):
        checkpoint = torch.load(run.folder / "checkpoints" / name, weights_only=True)
        assert checkpoint["state_dict"].keys() == {f"net.{key}" for key in run.model.state_dict()}


def test_tensorboard_has_curves_graph_and_final_figures(run: Run) -> None:
    board = EventAccumulator(str(next((run.folder / "tensorboard").iterdir()))).Reload()
    scalars = board.Tags()["scalars"]
    assert {"train/loss", "val/loss", "val/accuracy", "lr", "final/test/accuracy"} <= set(scalars)
    assert "hp_metric" not in scalars
    assert [event.step for event in board.Scalars("val/loss")] == [10, 20, 30]
    assert board.Scalars("final/test/accuracy")[0].value == pytest.approx(run.metrics["test/accuracy"])
    assert board.Tags()["graph"]


def test_the_dashboard_calls_a_run_by_what_it_trains(run: Run, train: Callable[..., Run]) -> None:
    assert [path.name for path in (run.folder / "tensorboard").iterdir()] == ["circles deep adam"]
    experiment = train("experiment=sine_boundary_adam", "logger=tensorboard", max_epochs=1)
    assert [path.name for path in (experiment.folder / "tensorboard").iterdir()] == ["experiment=sine_boundary_adam"]


def test_charts_are_the_same_without_validation_rows(train: Callable[..., Run]) -> None:
    """TensorBoard shows a chart once if all runs agree on it."""
    layouts = []
    for words in ((), ("data.val_size=0", "score=train/loss")):
        run = train("logger=tensorboard", *words, max_epochs=1)
        board = EventAccumulator(str(next((run.folder / "tensorboard").iterdir()))).Reload()
        (event,) = board.Tensors("custom_scalars__config__")
        layouts.append(Layout.FromString(event.tensor_proto.string_val[0]))
    with_validation, without = ({chart.title: chart for chart in layout.category[0].chart} for layout in layouts)
    assert list(with_validation) == ["loss", "accuracy", "f1", "auroc"] and without["loss"] == with_validation["loss"]


@pytest.fixture(scope="module")
def board(run: Run) -> Iterator[Callable[[str, dict[str, Any]], Any]]:
    """Asks a real TensorBoard that shows the run, and one of another task."""
    words = ["data=wiggle", "optimizer=sgd", "trainer.max_epochs=1", "figures=none"]
    fulmen.train(fulmen.compose(words), folder=run.folder.with_name("other"), verbose=False)
    words = ["--logdir", str(run.folder.parent), "--port", "0", "--host", "127.0.0.1"]
    server = subprocess.Popen([sys.executable, "-m", "tensorboard.main", *words], stderr=subprocess.PIPE, text=True)
    assert server.stderr is not None
    address = next(match[0] for line in server.stderr if (match := re.search(r"http://\S+", line)))

    def ask(path: str, body: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        request = Request(f"{address}data/plugin/{path}", json.dumps(body).encode(), headers)
        for _ in range(100):
            with urlopen(request) as answer:
                content = json.loads(answer.read())
            if "final/test/accuracy" in str(content) and "final/test/r2" in str(content):
                return content
            time.sleep(0.1)  # it reads the files in a thread of its own
        raise AssertionError(f"TensorBoard shows nothing under {path}")

    yield ask
    server.terminate()
    server.wait()
    server.stderr.close()


def test_hparams_have_the_columns_of_every_task_and_what_differs_first(
    board: Callable[[str, dict[str, Any]], Any],
) -> None:
    shown = board("hparams/experiment", {})
    assert {"final/test/accuracy", "final/test/r2"} <= {info["name"]["tag"] for info in shown["metricInfos"]}
    differing = [info["name"] for info in shown["hparamInfos"] if info.get("differs")]
    assert set(differing) == {"data", "model", "optimizer", "trainer.max_epochs [passes]"}
    assert [info["name"] for info in shown["hparamInfos"]][: len(differing)] == differing
    kinds = {info["name"]: info["type"] for info in shown["hparamInfos"]}
    assert {kinds[name] for name in ("seed", "trainer.max_epochs [passes]")} == {"DATA_TYPE_FLOAT64"}


def test_hparams_show_the_run_with_its_final_figures(run: Run, board: Callable[[str, dict[str, Any]], Any]) -> None:
    metrics = [info["name"] for info in board("hparams/experiment", {})["metricInfos"]]
    asked = {"colParams": [{"metric": name} for name in metrics], "allowedStatuses": ["STATUS_SUCCESS"], "sliceSize": 9}
    groups = board("hparams/session_groups", asked)["sessionGroups"]
    (group,) = (group for group in groups if group["hparams"]["data"] == "circles")
    assert group["name"] == "run/tensorboard/circles deep adam"
    assert (group["hparams"]["model"], group["hparams"]["seed"]) == ("deep", 7)
    figures = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
    assert figures["final/test/accuracy"] == pytest.approx(run.metrics["test/accuracy"])
    assert "hp_metric" not in figures


def test_regression_has_its_metrics(tmp_path: Path) -> None:
    metrics = fulmen.train(fulmen.compose(REGRESSION), folder=tmp_path / "run", verbose=False).metrics
    for split in ("train", "val", "test"):
        assert all(math.isfinite(metrics[f"{split}/{name}"]) for name in ("loss", "mse", "mae", "r2"))


def test_absent_splits_have_no_figures(tmp_path: Path) -> None:
    config = fulmen.compose(["data=iris_petals", "trainer.max_epochs=1", "logger=none", "figures=none"])
    metrics = fulmen.train(config, folder=tmp_path / "run", verbose=False).metrics
    assert "val/loss" in metrics and not [name for name in metrics if name.startswith("test/")]


def test_a_run_without_validation_rows_trains_on_its_training_loss(tmp_path: Path) -> None:
    words = ["data.val_size=0", "score=train/loss", "trainer.max_epochs=2", "logger=none", "figures=none"]
    config = fulmen.compose(words)
    metrics = fulmen.train(config, folder=tmp_path / "run", verbose=False).metrics
    assert not [name for name in metrics if name.startswith("val/")]
    assert "val/loss" not in (tmp_path / "run" / "history.csv").read_text()


def test_divergence_is_recorded_and_has_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=regression_1d", "model=linear", "optimizer=sgd", "optimizer.lr=1e6", "logger=none"]
    assert main([*words, "run_dir=run"]) == 3
    assert "try a smaller optimizer.lr" in capsys.readouterr().err
    status = read(tmp_path / "run" / "status.json")
    assert status["state"] == "diverged" and " at step " in status["error"] and "Diverged" in status["traceback"]
    assert status["steps"] > 0 and status["device"] == "cpu"
    assert not (tmp_path / "run" / "metrics.json").exists()
    with pytest.raises(Diverged):
        fulmen.train(fulmen.compose(words), folder=tmp_path / "again", verbose=False)


def test_debugging_names_the_operation_that_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=regression_1d", "optimizer=sgd", "optimizer.lr=1e30", "trainer=debug", "logger=none", "run_dir=run"]
    with pytest.warns(UserWarning, match="Anomaly|Error detected"):
        assert main([*words, "trainer.max_epochs=20"]) == 3
    assert re.search(r"the gradient of \w+Backward0 became nan at step \d", capsys.readouterr().err)
    assert read(tmp_path / "run" / "status.json")["state"] == "diverged"


OWN_NETWORKS = {
    "Narrow": (
        "super().__init__(nn.Linear(2, 3))",
        r"Narrow \(own_Narrow.py:2\) returns \(3, 3\) for 3 rows, .* needs \(3, 1\)",
    ),
    "Pair": ("super().__init__(nn.LSTM(2, 1))", r"Pair \(own_Pair.py:2\) returns a tuple for 3 rows"),
    "Empty": ("super().__init__(nn.Tanh())", r"Empty has no parameters, so there is nothing to train"),
    "Wide": (
        "super().__init__(nn.Linear(3, 1))",
        r"Wide cannot take .* \(2,\), here 3: in 0 \(Linear\) raises RuntimeError: mat1",
    ),
}


@pytest.mark.parametrize("name", OWN_NETWORKS)
def test_a_network_of_ones_own_that_does_not_fit_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line, sentence = OWN_NETWORKS[name]
    (tmp_path / "own" / "model").mkdir(parents=True)
    code = f"class {name}(nn.Sequential):\n    def __init__(self, in_shape, out_features):\n        {line}\n"
    (tmp_path / "own" / f"own_{name}.py").write_text(f"from torch import nn\n{code}")
    (tmp_path / "own" / "model" / "own.yaml").write_text(f"# own\n_target_: own_{name}.{name}\n_partial_: true\n")
    assert main(["--config-dir", "own", f"allow_targets=own_{name}", "model=own", "run_dir=run"]) == 1
    assert re.search(sentence, capsys.readouterr().err)
    assert not (tmp_path / "run").exists()


def test_a_failure_is_recorded_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own" / "model"
    own.mkdir(parents=True)
    (tmp_path / "own" / "breaks.py").write_text(
        "import torch\n"
        "from pathlib import Path\n"
        "class Breaks(torch.nn.Linear):\n"
        "    def __init__(self, in_shape, out_features):\n"
        "        super().__init__(in_shape[0], out_features)\n"
        "    def forward(self, x):\n"
        "        if self.training and (Path('run').exists() or Path('other').exists()):\n"
        "            raise RuntimeError('the fuse blew')\n"
        "        return super().forward(x)\n"
    )
    (own / "breaks.yaml").write_text("# breaks\n_target_: breaks.Breaks\n_partial_: true\n")
    words = ["--config-dir", "own", "allow_targets=[breaks]", "model=breaks", "run_dir=run", "logger=none"]
    assert main(words) == 1
    said = capsys.readouterr().err
    line = f"({tmp_path / 'own' / 'breaks.py'}, line 8)"
    assert said == f"fulmen: RuntimeError: the fuse blew {line}; the traceback is in {Path('run/status.json')}\n"
    status = read(tmp_path / "run" / "status.json")
    assert status["state"] == "failed" and "in forward" in status["traceback"]
    assert status["steps"] == 0 and status["device"] == "cpu"
    assert main([*words[:-2], "run_dir=other", "logger=none", "trainer=debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_folder_is_refused_when_another_run_came_first_and_has_ended(tmp_path: Path) -> None:
    """Between two looks: at what is in the folder, and at whether it is held."""
    other = FileLock(tmp_path / ".lock", thread_local=False)
    other.acquire()

    def end() -> None:
        (tmp_path / "status.json").write_text("{}")
        other.release()

    Timer(0.05, end).start()
    with pytest.raises(FileExistsError, match="is not empty"), claim(tmp_path, goes_on=False):
        pytest.fail("its files would be overwritten")
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]


def test_literal_environment_values_are_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FULMEN_DATA", "s3cret")
    few = ["data=mnist_5k", "data.train_size=100", "trainer.max_steps=2", "figures=none"]
    config = fulmen.compose([*few, "score=val/${oc.env:WHAT,loss}"])
    fulmen.train(config, folder=tmp_path / "run", verbose=False)
    texts = [path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert not [text for text in texts if b"s3cret" in text]
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert written["data_root"] == "${oc.env:FULMEN_DATA,null}" and written["score"] == "val/${oc.env:WHAT,loss}"
