"""Weights & Biases, MLflow and Trackio, the libraries themselves, offline: they have of a run what its folder has."""

import json
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from fulmen.cli.main import main
from fulmen.config import validate
from fulmen.experiment import run
from fulmen.runs.folder import read_history
from fulmen.training import tracking

WORDS = ["data=moons", "accelerator=cpu", "trainer.max_epochs=2", "figures=none", "figures.curves=true"]
WANDB = ["logger=wandb", "logger.mode=offline"]


@dataclass
class Tracked:
    """A run as a service has it."""

    config: dict[str, Any] = field(default_factory=dict)
    points: dict[str, dict[int, float]] = field(default_factory=dict)
    """Of every curve and final metric, the value at each step."""
    figures: list[Path] = field(default_factory=list)
    failed: bool | None = None


def wandb(folder: Path) -> list[Tracked]:
    """The parts of a run, as its files have them: Weights & Biases' format, that of LevelDB's logs."""
    proto, parts = import_module("wandb.proto.wandb_internal_pb2"), []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        data, at, content, part = path.read_bytes(), 7, b"", Tracked()
        while at + 7 < len(data):
            if (left := 32768 - at % 32768) < 7:  # a block has no room for another header
                at += left
            size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
            content += data[at + 7 : at + 7 + size]
            at += 7 + size
            if kind in (1, 4):  # whole, or the last piece
                _add(part, proto.Record.FromString(content), path.parent)
                content = b""
        parts.append(part)
    return parts


def _add(part: Tracked, record: Any, folder: Path) -> None:
    config = [*record.config.update, *record.run.config.update]
    part.config |= {each.key: json.loads(each.value_json) for each in config if each.key != "_wandb"}
    row = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
    for name, value in row.items():
        if name.endswith("/filenames"):
            part.figures += [folder / "files" / each for each in value]
        if name == "lr" or name.startswith(("train/", "val/", "final/")):
            part.points.setdefault(name, {})[row["trainer/global_step"]] = value
    if record.HasField("exit"):
        part.failed = record.exit.exit_code != 0


def mlflow(folder: Path) -> list[Tracked]:
    """The run, as MLflow's own client reads its database."""
    client = import_module("mlflow.tracking").MlflowClient(f"sqlite:///{Path('logs/mlflow.db').resolve().as_posix()}")
    there = client.get_run((folder / tracking.ID).read_text().strip())
    points = {name: client.get_metric_history(there.info.run_id, name) for name in there.data.metrics}
    assert all(len(each) == len({point.step for point in each}) for each in points.values()), "nothing stands twice"
    curves = {name: {point.step: point.value for point in each} for name, each in points.items()}
    figures = sorted(Path("logs/mlflow", there.info.run_id).glob("artifacts/images/*.png"))
    return [Tracked(dict(there.data.params), curves, figures, {"FINISHED": False, "FAILED": True}[there.info.status])]


def trackio(folder: Path) -> list[Tracked]:
    """The run, as Trackio's own storage reads it; an alert says that it failed."""
    storage = import_module("trackio.sqlite_storage").SQLiteStorage
    name = (folder / tracking.ID).read_text().strip()
    part = Tracked(failed=[each["title"] for each in storage.get_alerts("fulmen", name)] == ["failed"])
    config = storage.get_run_config("fulmen", name) or {}  # it comes with the first point
    part.config = {key: value for key, value in config.items() if not key.startswith("_")}
    for row in storage.get_logs("fulmen", name):
        for key, value in row.items():
            if isinstance(value, dict):
                part.figures.append(import_module("trackio.utils").MEDIA_DIR / value["file_path"])
            elif key not in ("step", "timestamp"):
                assert row["step"] not in part.points.setdefault(key, {}), "nothing stands twice"
                part.points[key][row["step"]] = value
    return [part]


def flat(config: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """A configuration as MLflow's parameters, which are text of at most 250 letters."""
    found = dict[str, str]()
    for key, value in config.items():
        if isinstance(value, dict):
            found |= flat(value, f"{above}{key}/")
        elif value != []:
            found[above + key] = str(value)[:250]
    return found


def assert_has_all(part: Tracked, folder: Path) -> None:
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert part.config in (config, flat(config))
    columns = {name: column for name, column in read_history(folder).items() if name not in ("epoch", "seconds")}
    steps = list(map(int, columns.pop("step")))
    curves = {name: dict(zip(steps, column, strict=True)) for name, column in columns.items()}
    assert {name: each for name, each in part.points.items() if not name.startswith("final/")} == curves
    metrics = json.loads((folder / "metrics.json").read_text())
    final = {name.removeprefix("final/"): each for name, each in part.points.items() if name.startswith("final/")}
    assert {name: each[steps[-1] + 1] for name, each in final.items()} == {
        name: value for name, value in metrics.items() if isinstance(value, float)
    }
    with Image.open(part.figures[-1]) as shown, Image.open(folder / "figures" / "curves.png") as drawn:
        assert np.array_equal(np.asarray(shown.convert("RGB")), np.asarray(drawn.convert("RGB")))
    assert part.failed is False


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables, empty: it takes seconds to make them, in whichever run needs them first."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("mlflow.tracking").MlflowClient(f"sqlite:///{path.as_posix()}").search_experiments()
    return path


@pytest.fixture(autouse=True)
def _offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    if "[mlflow]" in request.node.name:
        Path("logs").mkdir()
        shutil.copy(request.getfixturevalue("database"), "logs")


READ = {"wandb": (WANDB, wandb), "mlflow": (["logger=mlflow"], mlflow), "trackio": (["logger=trackio"], trackio)}


@pytest.mark.parametrize("library", READ)
def test_a_run_is_there_with_all_that_its_folder_has_and_so_is_a_resumed_one(library: str) -> None:
    logger, read = READ[library]
    folder = Path("run")
    assert main([*WORDS, *logger, "run_dir=run"]) == 0
    assert_has_all(read(folder)[0], folder)
    known = (folder / tracking.ID).read_text()
    assert main(["resume=run", "trainer.max_epochs=3"]) == 0
    assert (folder / tracking.ID).read_text() == known
    part = read(folder)[-1]
    if library == "mlflow":  # a parameter of a run cannot change there, nor need it
        part.config["trainer/max_epochs"] = "3"
    assert_has_all(part, folder)


@pytest.mark.parametrize("library", READ)
def test_so_is_each_run_of_a_stacked_sweep_and_one_that_diverged_is_failed(library: str) -> None:
    logger, read = READ[library]
    words = ["-m", "hydra/launcher=vectorized", "optimizer=sgd", "optimizer.lr=0.01,1e38"]
    assert main([*words, *WORDS, *logger]) == 1
    (sweep,) = Path("logs/sweeps").iterdir()
    assert_has_all(read(sweep / "0")[0], sweep / "0")
    (diverged,) = read(sweep / "1")
    assert diverged.failed and (diverged.config or library == "trackio")


@pytest.mark.parametrize("library", READ)
def test_runs_in_one_process_are_runs_of_their_own_even_after_one_that_failed(library: str) -> None:
    logger, read = READ[library]
    assert main(["-m", "optimizer=sgd", "optimizer.lr=1e38,0.01", *WORDS, *logger]) == 1
    (sweep,) = Path("logs/sweeps").iterdir()
    assert [part.failed for part in read(sweep / "0")] == [True]
    assert_has_all(read(sweep / "1")[0], sweep / "1")


@pytest.mark.parametrize("library", READ)
def test_a_run_that_fails_after_its_last_step_is_failed(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("the disk is gone")

    monkeypatch.setattr(run, "check_round_trip", fail)
    logger, read = READ[library]
    assert main([*WORDS, *logger, "run_dir=run"]) == 1
    assert [part.failed for part in read(Path("run"))] == [True]


@pytest.mark.parametrize("library", READ)
def test_a_missing_library_is_named_with_the_command(
    library: str, refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validate, "find_spec", lambda _: None)
    for sweep in [], ["-m", "seed=0,1"]:
        said = refused(*sweep, *WORDS, *READ[library][0])
        assert said.endswith(f"logger={library} is not installed; it comes with: pip install 'fulmen[{library}]'")


def test_a_mode_that_there_is_not_is_refused(refused: Callable[..., str]) -> None:
    assert "logger.mode is 'ofline', but must be one of online, offline, disabled, null" in refused(
        *WORDS, "logger=wandb", "logger.mode=ofline"
    )


def test_a_project_without_a_name_is_refused(refused: Callable[..., str]) -> None:
    assert "logger.project is null, but must be a text" in refused(*WORDS, "logger=trackio", "logger.project=null")
