"""Trained networks come back from folders, files and addresses as they were; what is none is refused, and never run."""

import copy
import dataclasses
import json
import pickle
import re
import shutil
import ssl
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lightning.pytorch import LightningModule, Trainer
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris

import fulmen
from fulmen.cli.main import main
from fulmen.config import recorded, validate
from fulmen.config.groups import conf_dir
from fulmen.data.sets.mnist import Mnist
from fulmen.errors import CheckpointError, ConfigurationError
from fulmen.experiment import load
from fulmen.experiment.load import Run
from fulmen.runs import checkpoints
from fulmen.runs.folder import read_config

SETOSA_LEFT_OUT = load_iris().target != 0


@pytest.fixture(scope="module")
def species(tmp_path_factory: pytest.TempPathFactory) -> Run:
    words = [
        "data=iris_species",
        "model=deep",
        "trainer.max_epochs=20",
        "optimizer.lr=0.1",
        "logger=none",
        "figures=none",
    ]
    return fulmen.train(fulmen.compose(words), folder=tmp_path_factory.mktemp("species") / "run", verbose=False)


@pytest.fixture(scope="module")
def petals(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Features and targets are scaled."""
    words = [
        "data=iris_petals",
        "model=deep",
        "trainer.max_epochs=100",
        "optimizer.lr=0.01",
        "logger=none",
        "figures=none",
    ]
    return fulmen.train(fulmen.compose(words), folder=tmp_path_factory.mktemp("petals") / "run", verbose=False)


def by_hand(run: Run, x: Any, words: list[str]) -> Any:
    """The network's output for rows scaled as the training rows are, in NumPy."""
    train = validate.check(fulmen.compose(words)).load()["train"]
    scaled = (x - train.x.mean(0)) / train.x.std(0)
    with torch.no_grad():
        return train, run.model(torch.tensor(scaled).float()).numpy()


def test_a_run_is_printed_on_one_line(species: Run) -> None:
    loss, accuracy = (species.metrics[f"test/{name}"] for name in ("loss", "accuracy"))
    assert repr(species).startswith(f"<run {species.folder}: test/loss {loss:.4g}, test/accuracy {accuracy:.4g}")


@pytest.mark.parametrize("again", [False, True])
def test_classes_of_new_rows(species: Run, again: bool) -> None:
    run = fulmen.load(species.folder) if again else species
    table = load_iris(as_frame=True)
    _, out = by_hand(run, table.data.to_numpy(), ["data=iris_species"])
    names = np.array(["setosa", "versicolor", "virginica"])
    assert_array_equal(run.predict(table.data.to_numpy()), names[out.argmax(1)])
    assert_array_equal(run.predict(table.frame.iloc[:, ::-1]), names[out.argmax(1)], "columns are matched by name")
    assert_allclose(run.predict_proba(table.data), np.exp(out) / np.exp(out).sum(1, keepdims=True), rtol=1e-4)
    assert (run.predict(table.data) == names[table.target]).mean() > 0.9


@pytest.mark.parametrize("again", [False, True])
def test_values_of_new_rows_are_in_the_targets_own_units(petals: Run, again: bool) -> None:
    run = fulmen.load(petals.folder) if again else petals
    x, y = load_iris().data[SETOSA_LEFT_OUT, :2], load_iris().data[SETOSA_LEFT_OUT, 2:]
    train, out = by_hand(run, x, ["data=iris_petals"])
    assert_allclose(run.predict(x), out * train.y.std(0) + train.y.mean(0), rtol=1e-5)
    assert np.abs(run.predict(x) - y).mean() < 0.5, "centimetres"
    with pytest.raises(ValueError, match="values and no probabilities"):
        run.predict_proba(x)


def test_errors_are_measured_in_the_targets_own_units(petals: Run) -> None:
    val = validate.check(fulmen.compose(["data=iris_petals"])).load()["val"]
    found = petals.predict(val.x)
    assert_allclose(petals.metrics["val/mse"], ((found - val.y) ** 2).mean(), rtol=1e-4)
    assert_allclose(petals.metrics["val/mae"], np.abs(found - val.y).mean(), rtol=1e-4)
    assert petals.metrics["val/loss"] != pytest.approx(petals.metrics["val/mse"]), "the loss is of scaled targets"


def test_two_classes_have_two_probabilities(tmp_path: Path) -> None:
    run = fulmen.train(
        fulmen.compose(["data=circles", "trainer.max_epochs=2", "logger=none", "figures=none"]),
        folder=tmp_path / "run",
        verbose=False,
    )
    x = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, -1.0]])
    with torch.no_grad():
        inner = run.model(torch.tensor(x).float()).sigmoid().numpy()[:, 0]
    assert_allclose(run.predict_proba(x), np.stack([1 - inner, inner], 1), rtol=1e-6)
    assert_array_equal(run.predict(x), np.where(inner > 0.5, "inner", "outer"))


def test_digits_of_new_images(tmp_path: Path) -> None:
    """Grey values from 0 to 255, as image files have them, or from 0 to 1."""
    words = [
        "data=mnist_5k",
        "model=lenet",
        "trainer.max_epochs=1",
        "logger=none",
        "figures=none",
        "data.train_size=500",
    ]
    run = fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False)
    images = validate.check(fulmen.compose(words)).load()["test"].x[:20]
    grey = (images * 255).round().astype(np.uint8)
    expected = run.predict(images)
    assert_array_equal(run.predict(grey[:, 0]), expected)
    assert_array_equal(run.predict(grey.reshape(20, 784)), expected)


@pytest.mark.parametrize("precision", ["64-true", "bf16-true", "bf16-mixed"])
def test_a_network_computes_as_it_was_trained_to(precision: str, tmp_path: Path) -> None:
    words = [
        "data=moons",
        "trainer.max_epochs=1",
        "logger=none",
        "figures=none",
        f"trainer.precision={precision}",
        "accelerator=cpu",
    ]
    run = fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False)
    again, x = fulmen.load(run.folder), np.random.RandomState(0).rand(9, 2)
    assert_array_equal(again.predict_proba(x), run.predict_proba(x))
    assert all(a.dtype == b.dtype for a, b in zip(run.model.parameters(), again.model.parameters(), strict=True))


def test_a_run_comes_back_with_its_figures_and_folder(species: Run) -> None:
    again = fulmen.load(str(species.folder))
    assert again.metrics == species.metrics and again.folder == species.folder
    for name, value in species.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value)


def test_figures_are_those_of_the_weights(species: Run) -> None:
    assert fulmen.load(species.folder, weights="best").metrics == species.metrics
    assert fulmen.load(species.folder, weights="last").metrics == {}, "these were not measured"


def test_rows_may_be_lists(species: Run) -> None:
    rows = load_iris().data[:3]
    assert_array_equal(species.predict(rows.tolist()), species.predict(rows))
    assert_array_equal(species.predict_proba(torch.tensor(rows)), species.predict_proba(rows))


def test_large_targets_that_differ_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Single precision has 8 digits: what is measured must not pass through 100,000,000."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    x = random.normal(size=200)
    pd.DataFrame({"x": x, "y": 1e8 + x + 0.1 * random.normal(size=200)}).to_csv("t.csv", index=False)
    words = ["data=table", "data.path=t.csv", "data.target=y", "model=linear", "optimizer.lr=0.05", "logger=none"]
    run = fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False)
    test = validate.check(fulmen.compose(words)).load()["test"]
    error = run.predict(test.x) - test.y
    assert 0.05 < np.abs(error).mean() < 0.2
    assert_allclose(run.metrics["test/mae"], np.abs(error).mean(), rtol=1e-3)
    assert_allclose(run.metrics["test/mse"], (error**2).mean(), rtol=1e-3)
    assert_allclose(run.metrics["test/r2"], 1 - (error**2).mean() / test.y.var(), rtol=1e-4)


def test_loading_leaves_torchs_random_numbers_alone(species: Run) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fulmen.load(species.folder)
    assert torch.equal(torch.rand(3), expected)


def test_best_and_last_weights(tmp_path: Path) -> None:
    words = [
        "data=moons",
        "trainer.max_epochs=12",
        "optimizer.lr=0.5",
        "seed=1",
        "data.noise=0.4",
        "logger=none",
        "figures=none",
    ]
    run = fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False)
    best, last = (fulmen.load(run.folder, weights=which) for which in ("best", "last"))
    assert_array_equal(best.predict_proba(np.eye(2)), run.predict_proba(np.eye(2)))
    assert not np.array_equal(best.predict_proba(np.eye(2)), last.predict_proba(np.eye(2)))
    alone = fulmen.load(run.folder / "checkpoints" / "last.ckpt")
    assert_array_equal(alone.predict_proba(np.eye(2)), last.predict_proba(np.eye(2)))
    assert alone.metrics == {}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where a server on this machine gives the files of `tmp_path`."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_checkpoint_by_its_address(species: Run, tmp_path: Path, address: str) -> None:
    (tmp_path / "a.ckpt").write_bytes((species.folder / "checkpoints" / "best.ckpt").read_bytes())
    x = load_iris().data
    assert_array_equal(fulmen.load(f"{address}/a.ckpt").predict_proba(x), species.predict_proba(x))
    with pytest.raises(ValueError, match=r"/none\.ckpt could not be downloaded: 404"):
        fulmen.load(f"{address}/none.ckpt")


def test_a_checkpoint_alone_does_not_choose_where_data_comes_from(
    species: Run, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's folder is the user's own record; a file may come from anybody."""
    monkeypatch.setenv("FULMEN_DATA", str(tmp_path / "mine"))
    run = Path(shutil.copytree(species.folder, tmp_path / "run"))
    path = run / "checkpoints" / "best.ckpt"
    configured(path, species, of="mnist", data={"root": str(tmp_path / "theirs"), "mirrors": [address]})
    alone, typed = load.read(path), fulmen.compose(["data=mnist"])
    assert isinstance(alone.source, Mnist)
    assert (alone.source.root, alone.source.mirrors) == (str(tmp_path / "mine"), list(typed.data.mirrors))
    assert (alone.config.data.root, alone.config.data.mirrors) == (alone.source.root, alone.source.mirrors)
    words = [f"data.mirrors=[{address}]", "data_root=elsewhere"]
    data = recorded.with_data(alone.config, words).data
    assert (data.root, data.mirrors) == ("elsewhere", [address]), "what is typed counts"
    for trained in (load.read(run), load.read(path, trust_checkpoint=True)):
        assert isinstance(trained.source, Mnist) and trained.source.mirrors == [address]


def test_a_checkpoint_of_a_table_alone_asks_for_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    load_iris(as_frame=True).frame.to_csv("t.csv", index=False)
    words = ["data=table", "data.path=t.csv", "data.target=target", "trainer.max_epochs=1", "run_dir=run"]
    assert main([*words, "logger=none", "figures=none"]) == 0
    shutil.copy("run/checkpoints/best.ckpt", "alone.ckpt")
    assert main(["evaluate", "run"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "alone.ckpt"]) == 1
    assert "data=table needs a file: add data.path=" in capsys.readouterr().err
    assert main(["evaluate", "alone.ckpt", "data.path=t.csv"]) == 0
    assert main(["predict", "alone.ckpt", "input=t.csv"]) == 0


def test_the_users_own_data_set_takes_no_address_from_a_checkpoint(
    species: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "myset.py").write_text(
        "from dataclasses import dataclass\nfrom fulmen.data.sets.iris import IrisSpecies\n\n"
        "@dataclass(kw_only=True)\nclass Mine(IrisSpecies):\n    url: str\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path, data = tmp_path / "a.ckpt", {"_target_": "myset.Mine", "url": "https://example.org/rows"}
    configured(path, species, data=data)
    with pytest.raises(ValueError, match=r"data\.url is 'https://example\.org/rows', an address that its author chose"):
        load.read(path, allow_targets=["myset"])
    configured(path, species, data=data | {"url": "rows/x.csv"})
    assert load.read(path, allow_targets=["myset"]).config.data.url == "rows/x.csv"


@pytest.fixture
def requests_seen(address: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that the server is asked for."""
    seen: list[str] = []
    before = SimpleHTTPRequestHandler.do_GET

    def get(self: SimpleHTTPRequestHandler) -> None:
        seen.append(self.path)
        before(self)

    monkeypatch.setattr(SimpleHTTPRequestHandler, "do_GET", get)
    return seen


def test_a_trusted_checkpoint_is_not_taken_over_plain_http(
    species: Run, tmp_path: Path, address: str, requests_seen: list[str]
) -> None:
    """Anyone on the way could change the code that it may run."""
    shutil.copy(species.folder / "checkpoints" / "best.ckpt", tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"/a\.ckpt is not served over https all the way.* take an https:// address"):
        fulmen.load(f"{address}/a.ckpt", trust_checkpoint=True)
    assert not requests_seen
    fulmen.load(f"{address}/a.ckpt")
    assert requests_seen == ["/a.ckpt"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_redirect_from_https_to_plain_http_is_not_trusted(
    species: Run, tmp_path: Path, address: str, requests_seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(species.folder / "checkpoints" / "best.ckpt", tmp_path / "a.ckpt")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *options, *names, *files], check=True, capture_output=True)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", f"{address}{self.path}")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirect)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        secure = f"https://127.0.0.1:{server.server_port}/a.ckpt"
        with pytest.raises(ValueError, match="is not served over https all the way"):
            fulmen.load(secure, trust_checkpoint=True)
        assert not requests_seen
        assert fulmen.load(secure).metrics == {}, "without trust it is data only"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_download_has_a_limit(species: Run, tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(species.folder / "checkpoints" / "best.ckpt", tmp_path / "a.ckpt")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(checkpoints, "LARGEST_DOWNLOAD", 2**10)
    with pytest.raises(ValueError, match=r"/a\.ckpt is larger than .* GiB, the most that is downloaded"):
        fulmen.load(f"{address}/a.ckpt")
    assert not list((tmp_path / "temporary").iterdir())


class Payload:
    """Would make a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_checkpoint_reads_nothing_from_the_environment(
    species: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It could send it to an address that it names."""
    monkeypatch.setenv("MY_SECRET", "hunter2")
    monkeypatch.chdir(tmp_path)
    content = torch.load(species.folder / "checkpoints" / "best.ckpt", weights_only=True)
    content["metadata"]["config"]["data"] |= {"seed": "${${x}:MY_SECRET}"}
    content["metadata"]["config"]["x"] = "oc.env"
    torch.save(content, "evil.ckpt")
    assert main(["evaluate", "evil.ckpt"]) == 1
    said = capsys.readouterr().err
    assert "reads MY_SECRET from the environment" in said and "hunter2" not in said
    shutil.copytree(species.folder, "run")
    config = Path("run/config.yaml")
    config.write_text(config.read_text().replace("data_root: ", "data_root: ${oc.env:MY_SECRET} # "))
    for word in ("resume=run", "rerun=run"):
        assert main([word, *(["trainer.max_epochs=50"] if "resume" in word else [])]) == 1
        said = capsys.readouterr().err
        assert "reads MY_SECRET from the environment" in said and "hunter2" not in said


def test_a_network_loads_wherever_its_run_was_logged(
    species: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's address may be a variable of the environment, which here is another one, or none."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://nowhere")
    content = torch.load(species.folder / "checkpoints" / "best.ckpt", weights_only=True)
    content["metadata"]["config"]["logger"] = yaml.safe_load((conf_dir() / "logger" / "mlflow.yaml").read_text())
    torch.save(content, tmp_path / "alone.ckpt")
    shutil.copytree(species.folder, tmp_path / "run")
    config = read_config(tmp_path / "run")
    config["logger"] = content["metadata"]["config"]["logger"]
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    rows = species.predictor.spec.feature_names
    for where in ("alone.ckpt", "run"):
        found = fulmen.load(tmp_path / where).predict_proba(np.ones((2, len(rows))))
        assert found.tolist() == species.predict_proba(np.ones((2, len(rows)))).tolist()


@pytest.fixture(params=["torch", "bare pickle", "torch's old form"])
def evil(request: pytest.FixtureRequest, species: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a run, `run` in the working directory, whose checkpoints would make the file `ran`."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(species.folder, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        content = torch.load(path, weights_only=True) | {"extra": Payload(tmp_path / "ran")}
        if request.param == "bare pickle":
            path.write_bytes(pickle.dumps({"extra": Payload(tmp_path / "ran")}))
        else:
            torch.save(content, path, _use_new_zipfile_serialization=request.param == "torch")
    return tmp_path / "run"


WHERES = ("run", "run/checkpoints/last.ckpt", "ADDRESS/run/checkpoints/best.ckpt")
ENTRY_POINTS = [
    "resume=run trainer.max_epochs=50",
    *(f"evaluate {where}" for where in WHERES),
    *(f"predict {where} input=rows.csv" for where in WHERES),
    *(f"export {where}" for where in WHERES),
]


@pytest.mark.parametrize("evil", ["torch"], indirect=True)
@pytest.mark.parametrize("words", ENTRY_POINTS)
def test_a_checkpoint_with_a_payload_is_refused_and_not_run(
    words: str, evil: Path, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    load_iris(as_frame=True).data.to_csv("rows.csv", index=False)
    assert main(words.replace("ADDRESS", address).split()) == 1
    said = capsys.readouterr().err
    assert "if you trust whoever made it, add trust_checkpoint=true" in said and said.count("\n") == 1, said
    assert not Path("ran").exists()


MARKED: list[object] = []


def mark(*_: object, **__: object) -> None:
    """Would be run by Lightning before 2.6.6."""
    MARKED.append(True)


def test_an_instantiator_in_a_checkpoint_is_not_called(species: Run, tmp_path: Path) -> None:
    """GHSA-qqmf-gpg7-g8gw: Lightning imported and called what a checkpoint's `_instantiator` names."""
    run = Path(shutil.copytree(species.folder, tmp_path / "run"))
    named = f"{__name__}.mark"
    for path in (run / "checkpoints").iterdir():
        content = torch.load(path, weights_only=True)
        parameters = {"_instantiator": named, "_class_path": named, "_target_": named}
        content |= {"_instantiator": named, "hyper_parameters": parameters, "hparams_name": "kwargs"}
        content |= {"datamodule_hyper_parameters": parameters, "datamodule_hparams_name": "kwargs"}
        torch.save(content, path)
    x = load_iris().data
    assert_array_equal(fulmen.load(run).predict(x), species.predict(x))
    fulmen.resume(run, ["trainer.max_epochs=21"])
    assert json.loads((run / "status.json").read_text())["state"] == "completed" and not MARKED


def test_a_payload_is_not_run_from_python(evil: Path) -> None:
    with pytest.raises(ValueError, match="trust_checkpoint=true"):
        fulmen.load(evil)
    with pytest.raises(ValueError, match="trust_checkpoint=true"):
        fulmen.resume(evil, ["trainer.max_epochs=50"])
    assert not Path("ran").exists()


def test_who_trusts_a_checkpoint_gets_it(evil: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["evaluate", "run", "trust_checkpoint=true"])
    assert Path("ran").exists(), "it is the user's word"
    assert code == 0 or "is no checkpoint" in capsys.readouterr().err  # torch reads no bare pickles


class Foreign(LightningModule):
    """Somebody else's module."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def foreign(path: Path) -> None:
    trainer = Trainer(logger=False, enable_checkpointing=False, max_epochs=0, enable_progress_bar=False)
    trainer.strategy.connect(Foreign())
    trainer.save_checkpoint(path)


def altered(path: Path, run: Run, **changes: Any) -> None:
    content = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    torch.save(content | {"metadata": content["metadata"] | changes}, path)


def of_target(target: str) -> Callable[[Path, Run], None]:
    def write(path: Path, run: Run) -> None:
        content = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
        config = content["metadata"]["config"]
        config["model"]["_target_"], config["allow_targets"] = target, ["os", "torch"]
        torch.save(content, path)

    return write


def configured(path: Path, run: Run, of: str | None = None, **changes: dict[str, Any]) -> None:
    """Writes a checkpoint with other keys of its configuration, or of the default one with the data `of`."""
    content = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    config = content["metadata"]["config"]
    if of is not None:
        config["data"] = recorded.plain(fulmen.compose([f"data={of}"]))["data"]
    for group, keys in changes.items():
        config[group] |= keys
    torch.save(content, path)


def repeating(path: Path, run: Run, hidden: int) -> None:
    """Writes a checkpoint of a network with a wide layer whose weights all are one number in memory."""
    content = torch.load(run.folder / "checkpoints" / "best.ckpt", weights_only=True)
    content["metadata"]["config"]["model"] |= {"hidden": [hidden]}
    shapes = [(hidden, 4), (hidden,), (3, hidden), (3,)]
    names = list(content["state_dict"])[:4]
    content["state_dict"] = {name: torch.zeros(()).expand(shape) for name, shape in zip(names, shapes, strict=True)}
    torch.save(content, path)


BAD: dict[str, tuple[Callable[[Path, Run], object], str]] = {
    "none": (lambda path, run: None, r"there is no checkpoint .*a\.ckpt"),
    "empty": (lambda path, run: path.touch(), r"a\.ckpt is no checkpoint, or a damaged one"),
    "text": (lambda path, run: path.write_text("hello"), r"a\.ckpt is no checkpoint, or a damaged one"),
    "torn": (
        lambda path, run: path.write_bytes((run.folder / "checkpoints" / "best.ckpt").read_bytes()[:1500]),
        r"a\.ckpt is no checkpoint, or a damaged one",
    ),
    "flipped": (
        lambda path, run: path.write_bytes(
            (run.folder / "checkpoints" / "best.ckpt").read_bytes().replace(b"metadata", b"metadatb")
        ),
        r"a\.ckpt is no checkpoint, or a damaged one",
    ),
    "a tensor": (lambda path, run: torch.save(torch.ones(3), path), r"is no checkpoint: it holds a Tensor"),
    "weights alone": (lambda path, run: torch.save(run.model.state_dict(), path), r"does not say what network"),
    "a foreign module": (lambda path, run: foreign(path), r"does not say what network it is of"),
    "no configuration": (lambda path, run: altered(path, run, config={}), r"does not say what network"),
    "no scaling": (lambda path, run: altered(path, run, scaling=None), r"does not say what network"),
    "other sizes": (
        lambda path, run: altered(
            path,
            run,
            spec=dataclasses.asdict(run.predictor.spec) | {"out_features": 9, "target_names": (*"abcdefghi",)},
        ),
        r"cannot be made from what it says \(ValueError: its layers\.\S+ has the shape \[3, 20\], not \[9, 20\]\)",
    ),
    "too many rows": (
        lambda path, run: configured(path, run, data={"train_size": 10**9}, of="moons"),
        r"cannot be made from what it says .ConfigurationError: data.train_size is 1000000000, but must be a whole",
    ),
    "a network larger than the file": (
        lambda path, run: configured(path, run, model={"hidden": [10**6, 10**7]}),
        r"cannot be made from what it says \(ValueError: its layers\.\S+ has the shape \[20, 4\], not \[1000000, 4\]\)",
    ),
    "weights that repeat one number": (
        lambda path, run: repeating(path, run, hidden=10**9),
        r"cannot be made from what it says \(ValueError: it has more numbers than the file holds\)",
    ),
    "os.system": (of_target("os.system"), r"names os.system, which is none of Fulmen's parts"),
    "torch.load": (of_target("torch.load"), r"names torch.load, which is none of Fulmen's parts"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_checkpoint_is_refused_in_a_sentence(case: str, species: Run, tmp_path: Path) -> None:
    make, sentence = BAD[case]
    make(tmp_path / "a.ckpt", species)
    with pytest.raises(ValueError, match=sentence) as caught:
        fulmen.load(tmp_path / "a.ckpt")
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_refused_or_loads_as_it_was(species: Run, tmp_path: Path) -> None:
    """Bits flipped, most of them in the index at the end, and truncations."""
    random, path, x = np.random.default_rng(0), tmp_path / "a.ckpt", load_iris().data[:9]
    whole, expected = (species.folder / "checkpoints" / "best.ckpt").read_bytes(), species.predict_proba(x)
    for trial in range(150):
        damaged = bytearray(whole)
        if trial % 4 == 0:
            del damaged[random.integers(len(damaged)) :]
        else:
            lowest = len(damaged) - 1500 if trial % 4 == 1 else 0
            damaged[random.integers(lowest, len(damaged))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        with suppress(CheckpointError):
            assert_array_equal(fulmen.load(path).predict_proba(x), expected)


WRONG: list[Any] = [None, True, -1, 10**30, float("nan"), "", "${x}", "${", [], {}, {"a": 1}, {None: 3}, b"x", (0,)]


def test_wrong_values_in_a_checkpoint_are_refused_or_do_no_harm(petals: Run, tmp_path: Path) -> None:
    """Every fourth value of its configuration, and all others, replaced by values of another kind, or taken away."""
    content = torch.load(petals.folder / "checkpoints" / "best.ckpt", weights_only=True)
    random, path, x = np.random.default_rng(0), tmp_path / "a.ckpt", load_iris().data[:9, :2]

    def places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        for key in node if isinstance(node, dict) else ():
            yield (*above, key)
            yield from places(node[key], (*above, key))

    found = list(places(content["metadata"]))
    rest = [place for place in found if place[0] != "config"]
    for place in [*[place for place in found if place[0] == "config"][::4], *rest, *rest, *rest]:
        changed = copy.deepcopy(content)
        node = changed["metadata"]
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = WRONG[random.integers(len(WRONG))]
        if random.random() < 0.2:
            del node[place[-1]]
        torch.save(changed, path)
        with suppress(CheckpointError, ConfigurationError):
            assert fulmen.load(path).predict(x).shape == (9, 2), place


@pytest.mark.parametrize(
    ("where", "weights", "sentence"),
    [
        ("nowhere", None, r"there is no folder .*nowhere"),
        (".", None, r"there is no run in"),
        ("run", "worst", r"weights is 'worst', but must be one of best, last"),
        ("empty", None, r"has no best.ckpt and no last.ckpt yet"),
    ],
)
def test_what_is_no_run_is_refused_in_a_sentence(
    where: str, weights: str | None, sentence: str, species: Run, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.yaml").write_bytes((species.folder / "config.yaml").read_bytes())
    with pytest.raises(ValueError, match=sentence):
        fulmen.load(tmp_path / where, weights=weights)


BAD_ROWS: dict[str, tuple[Any, str]] = {
    "a missing column": (
        load_iris(as_frame=True).data.rename(columns={"petal width (cm)": "petal widht (cm)"}),
        r"no column 'petal width \(cm\)'; did you mean petal widht \(cm\)\?",
    ),
    "text": (
        load_iris(as_frame=True).data.astype(object).replace({"petal width (cm)": {0.2: "thin"}}),
        r"Column 'petal width \(cm\)' holds 'thin' in row 1",
    ),
    "a hole": (load_iris(as_frame=True).data.replace(0.2, np.nan), r"is empty in row"),
    "too narrow": (np.ones((5, 3)), r"have the shape \(3,\), and must have \(4,\)"),
    "not finite": (np.full((2, 4), np.inf), r"has inf at index"),
    "objects": (np.array([["a"] * 4]), r"values of type <U1"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_bad_rows_are_refused_in_a_sentence(case: str, species: Run) -> None:
    rows, sentence = BAD_ROWS[case]
    with pytest.raises(ValueError, match=sentence):
        species.predict(rows)


def test_the_users_own_network_needs_the_users_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "mynet.py").write_text(
        "import torch\n"
        "class Mine(torch.nn.Linear):\n"
        "    def __init__(self, in_shape, out_features):\n"
        "        super().__init__(in_shape[0], out_features)\n"
    )
    (tmp_path / "own" / "model" / "mine.yaml").write_text("# mine\n_target_: mynet.Mine\n_partial_: true\n")
    words = ["--config-dir", "own", "allow_targets=[mynet]", "model=mine", "run_dir=run", "logger=none", "figures=none"]
    assert main([*words, "trainer.max_epochs=1", "data=moons"]) == 0
    with pytest.raises(ValueError, match=re.escape("add allow_targets=['mynet']")):
        fulmen.load("run")
    assert fulmen.load("run", allow_targets=["mynet"]).predict(np.eye(2)).shape == (2,)
    assert main(["--config-dir", "own", "evaluate", "run"]) == 1
    assert main(["--config-dir", "own", "evaluate", "run", "allow_targets=[mynet]"]) == 0
    assert main(["--config-dir", "own", "resume=run", "trainer.max_epochs=2"]) == 1
    assert main(["--config-dir", "own", "resume=run", "trainer.max_epochs=2", "allow_targets=[mynet]"]) == 0
    assert main(["--config-dir", "own", "rerun=run", "allow_targets=[mynet]"]) == 0


def test_rows_of_a_table_keep_their_order(species: Run) -> None:
    table = load_iris(as_frame=True).data
    shuffled = table.sample(frac=1, random_state=0)
    expected = pd.DataFrame(species.predict_proba(table), index=table.index).loc[shuffled.index].to_numpy()
    assert_allclose(species.predict_proba(shuffled), expected, rtol=1e-6)
