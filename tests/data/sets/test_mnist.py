"""MNIST from files and from mirrors: a real server on this machine serves a small set of made digits."""

import gzip
import re
from collections.abc import Callable, Iterator
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pooch
import pytest
import requests
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from fulmen.data.sets import mnist
from fulmen.data.sets.mnist import FILES, Mnist
from fulmen.data.source import Source, Split

TRAIN, TEST = 60, 20
"""Digits in the made set."""
SHAPES = dict(zip(FILES, [(TRAIN, 28, 28), (TRAIN,), (TEST, 28, 28), (TEST,)], strict=True))

Made = dict[str, NDArray[np.uint8]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    """The four files' arrays, of random pixels and labels; their checksums take the place of MNIST's."""
    random = np.random.default_rng(0)
    arrays = {
        name: random.integers(0, 256 if len(shape) > 1 else 10, shape, np.uint8) for name, shape in SHAPES.items()
    }
    checksums = {name: (md5(_gzipped(a)).hexdigest(), md5(_idx(a)).hexdigest()) for name, a in arrays.items()}
    monkeypatch.setattr(mnist, "FILES", checksums)
    return arrays


@pytest.fixture
def server(made: Made, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server that behaves, or not, as the first folder of the path says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, behaviour, name = self.path.split("/")
            body = _gzipped(made[name.removesuffix(".gz")])
            self.send_response(404 if behaviour == "missing" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write({"cut": body[: len(body) // 2], "corrupt": body[::-1]}.get(behaviour, body))

        def log_message(self, *_: object) -> None:
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_missing_files_are_downloaded_once(
    made: Made,
    server: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pooch.get_logger(), "handlers", [caplog.handler])
    _assert_holds(made, _small(tmp_path, f"{server}/good/").load())
    assert _files(tmp_path) == sorted(f"mnist/{name}.gz" for name in FILES)
    _assert_holds(made, _small(tmp_path).load())
    assert capfd.readouterr().err == "", "no progress bar where there is no terminal"
    assert caplog.records == []


@pytest.mark.parametrize("behaviour", ["missing", "corrupt", "cut"])
def test_a_failing_mirror_is_followed_by_the_next(made: Made, server: str, tmp_path: Path, behaviour: str) -> None:
    _assert_holds(made, _small(tmp_path, f"{server}/{behaviour}", f"{server}/good").load())
    assert _files(tmp_path) == sorted(f"mnist/{name}.gz" for name in FILES)


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [("missing", "404"), ("corrupt", "does not match the known hash"), ("cut", "IncompleteRead")],
)
def test_without_a_good_mirror_nothing_is_left(server: str, tmp_path: Path, behaviour: str, cause: str) -> None:
    _assert_says_what_to_do(_small(tmp_path, f"{server}/{behaviour}"), cause)
    assert _files(tmp_path) == []


@pytest.mark.usefixtures("made")
def test_without_a_network_the_sentence_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as closed:
        port = closed.server_port
    _assert_says_what_to_do(_small(tmp_path / "new", f"http://127.0.0.1:{port}"), f"port={port}")
    assert not list(tmp_path.iterdir()), "no empty folder either"


def test_an_interrupted_download_leaves_nothing(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Iterator[bytes]:
        yield b"the first bytes"
        assert len(_files(tmp_path)) == 1, "they are in a file by now"
        raise KeyboardInterrupt

    monkeypatch.setattr(requests.Response, "iter_content", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _small(tmp_path, f"{server}/good").load()
    assert _files(tmp_path) == []


def test_without_a_root_downloads_go_to_the_users_cache(
    made: Made, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / project)
    _assert_holds(made, _small(None, f"{server}/good").load())
    assert _files(tmp_path) == sorted(f"fulmen/mnist/{name}.gz" for name in FILES)


@pytest.mark.parametrize("folder", ["", "mnist"])
@pytest.mark.parametrize("zipped", [False, True])
def test_files_at_hand_are_taken(made: Made, tmp_path: Path, folder: str, zipped: bool) -> None:
    """Zipped by another program, too, so that only the unpacked bytes are the published ones."""
    (tmp_path / folder).mkdir(exist_ok=True)
    for name, array in made.items():
        content = gzip.compress(_idx(array), compresslevel=1, mtime=1) if zipped else _idx(array)
        (tmp_path / folder / (f"{name}.gz" if zipped else name)).write_bytes(content)
    _assert_holds(made, _small(tmp_path).load())


def test_a_damaged_file_is_named_with_both_checksums(made: Made, tmp_path: Path) -> None:
    name = "train-labels-idx1-ubyte"
    content = _idx(made[name])[:-1] + b"\xff"
    _write(tmp_path, made)
    (tmp_path / f"{name}.gz").unlink()
    (tmp_path / name).write_bytes(content)
    found, published = md5(content).hexdigest(), mnist.FILES[name][1]
    with pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path / name))} is damaged.* {found}, .* {published}\."):
        _small(tmp_path).load()


@pytest.mark.parametrize("damage", [lambda zipped: zipped[:-20], lambda zipped: b"<html>", lambda zipped: b""])
def test_a_damaged_gzip_is_named(made: Made, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    _write(tmp_path, made)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is damaged"):
        _small(tmp_path).load()


def test_fewer_test_digits_are_a_draw_of_the_seed(made: Made, tmp_path: Path) -> None:
    _write(tmp_path, made)
    every = [row.tobytes() for row in _small(tmp_path).load()["test"].x]
    drawn = {seed: _small(tmp_path, test_size=9, seed=seed).load()["test"].x for seed in (0, 1)}
    for rows in drawn.values():
        assert len({row.tobytes() for row in rows} & set(every)) == 9
    assert not np.array_equal(drawn[0], drawn[1])


def test_files_of_an_absent_test_set_are_not_needed(made: Made, tmp_path: Path) -> None:
    _write(tmp_path, {name: array for name, array in made.items() if name.startswith("train")})
    assert _small(tmp_path, test_size=0).load().keys() == {"train", "val"}


def test_the_real_digits_are_mnists(source: Callable[..., Source]) -> None:
    """How often each digit occurs, and the mean and deviation of pixels that are commonly used to scale MNIST.

    Each of the 5000 digits, with its label, is in the full training set; each split has equal parts of all classes.
    """
    splits = source("mnist", train_size=60_000, val_size=0).load()
    assert_array_equal(np.bincount(splits["train"].y), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    assert_array_equal(np.bincount(splits["test"].y), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009])
    x = splits["train"].x
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)
    sums = np.array([[image.sum(), np.vdot(image, image)] for image in x], np.float64)
    mean, square = sums.mean(0) / 28**2
    assert_allclose([mean, (square - mean**2) ** 0.5], [0.1307, 0.3081], atol=5e-5)

    part = source("mnist_5k").load()
    images = {row.tobytes(): label for row, label in zip(*splits["train"], strict=True)}
    for name, rows in (("train", 400), ("val", 50), ("test", 50)):
        assert_array_equal(np.bincount(part[name].y), [rows] * 10)
        assert all(images[row.tobytes()] == label for row, label in zip(*part[name], strict=True))


def _small(root: Path | None, *mirrors: str, test_size: int = TEST, seed: int = 0) -> Mnist:
    """All of the made set."""
    folder = None if root is None else str(root)
    return Mnist(train_size=40, val_size=20, test_size=test_size, seed=seed, root=folder, mirrors=mirrors)


def _idx(array: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def _gzipped(array: NDArray[np.uint8]) -> bytes:
    return gzip.compress(_idx(array), mtime=0)


def _write(folder: Path, arrays: Made) -> None:
    for name, array in arrays.items():
        (folder / f"{name}.gz").write_bytes(_gzipped(array))


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _assert_holds(made: Made, splits: dict[str, Split]) -> None:
    """Train and validation are the made training set in another order, test is the made test set in order."""
    images, labels, test_images, test_labels = made.values()
    assert_allclose(splits["test"].x[:, 0], test_images / 255, rtol=1e-6)
    assert_array_equal(splits["test"].y, test_labels)
    assert [len(splits[name].y) for name in ("train", "val")] == [40, 20]
    x, y = (np.concatenate(parts) for parts in zip(splits["train"], splits["val"], strict=True))
    assert x.dtype == np.float32
    found = {(image.tobytes(), label) for image, label in zip((x * 255).round().astype(np.uint8), y, strict=True)}
    assert found == {(image.tobytes(), label) for image, label in zip(images, labels, strict=True)}


def _assert_says_what_to_do(source: Mnist, cause: str) -> None:
    with pytest.raises(ValueError, match=re.escape(cause)) as caught:
        source.load()
    what_to_do, _, causes = str(caught.value).partition("For ")
    assert what_to_do.startswith("MNIST is not here") and cause in causes, "what to do comes first"
    for words in (source.mirrors[0], *FILES, "data_root=<that folder>", "data=mnist_5k"):
        assert words in str(caught.value)
