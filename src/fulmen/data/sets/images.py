"""Your own images: a folder with a folder of files for each class, read by Pillow.

Images are cropped around the middle to a square and resized. If there are folders `train`, `val` and `test` with the
classes in them, those are the splits; else the images are split at random, with equal shares of each class.

Shapes: N images of C channels, S by S pixels.
"""

import dataclasses
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fulmen.data.new_rows import pixels
from fulmen.data.sets.npy_files import memory
from fulmen.data.source import SPLITS, DataSpec, Source, Split
from fulmen.data.tables.splitting import Sizes, share_or_count
from fulmen.rules import Rule, listed, whole

if TYPE_CHECKING:
    import pandas as pd

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""Pillow reads nothing else, whatever a file is called: for some formats it starts other programs."""
ORIENTATION = 0x0112
"""The EXIF tag that says how the camera was held."""
TURNS: Mapping[Any, str] = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""How an image is turned upright, by its orientation, in Pillow's words."""


@dataclass(kw_only=True)
class Images(Source):
    """Images in a folder, with their classes."""

    path: str | None
    """Path of the folder."""
    size: int
    """Height and width, in pixels."""
    channels: Literal[1, 3]
    """3: red, green and blue; 1: grey."""
    augment: Sequence[Any]
    """How training images are changed at random in each step: names, or torch modules of one's own."""
    val_size: float
    """A fraction below 1, or a number of images; 0: no such split. Of a folder with splits: as they are."""
    test_size: float
    """The same for the test split."""

    rules: ClassVar[Mapping[str, Rule]] = {"size": whole(1), "val_size": share_or_count, "test_size": share_or_count}

    @property
    def augmentations(self) -> Sequence[Any]:
        return self.augment

    @cached_property
    def spec(self) -> DataSpec:
        """The spec, whose classes are the names of the folders."""
        names = tuple(sorted({name for files in self._files.values() for _, name in files}))
        if len(names) == 1:
            raise ValueError(f"{self.path} has images of one class, {names[0]}: there is nothing to tell apart.")
        is_binary = len(names) == 2
        out_features = 1 if is_binary else len(names)
        return DataSpec(self._shape, out_features, "binary" if is_binary else "multiclass", (), names)

    def load(self) -> dict[str, Split]:
        """Reads the images.

        Raises:
            ValueError: a file is no image, a class was not learned, or the images do not fit into memory.
        """
        names = self.spec.target_names
        needed = 4 * sum(map(len, self._files.values())) * int(np.prod(self._shape))
        if 2 * needed > memory():
            raise ValueError(
                f"The images need {needed / 2**30:.1f} GiB, more than half of the memory: take a smaller data.size."
            )
        splits = {}
        for split, files in self._files.items():
            if unknown := sorted({name for _, name in files} - {*names}):
                raise ValueError(
                    f"The class {unknown[0]!r} in {self.path} was not learned; those were {listed(names)}."
                )
            splits[split] = Split(
                self._pixels([file for file, _ in files]), np.array([names.index(n) for _, n in files])
            )
        return splits

    def row_name(self, split: str, row: int) -> str:
        files = self._files.get(split) or [file for part in self._files.values() for file in part]
        return str(files[row][0])

    def state_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self.spec)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores the output of `state_dict`; the folder is then not needed."""
        self.spec = DataSpec.of(state)

    def encode(self, rows: "pd.DataFrame | NDArray[Any]") -> NDArray[np.floating]:
        """Encodes new images as [N, C, S, S]: numbers (integers from 0 to 255, others from 0 to 1), or paths.

        Raises:
            ValueError: numbers have another shape or range; or as `read`, for a path.
        """
        if isinstance(rows, np.ndarray) and rows.size and all(isinstance(each, (str, Path)) for each in rows.flat):
            return np.concatenate([self.read(str(path))[1] for path in rows.flat])
        return pixels(rows, self._shape)

    def read(self, path: str) -> tuple[list[str], NDArray[np.float32]]:
        """Reads new images: a file, or all that are in a folder; returns their paths and pixels [N, C, S, S].

        Raises:
            ValueError: there are none, or a file is no image.
        """
        place = Path(path).expanduser()
        files = _images(place) if place.is_dir() else [place]
        if not files:
            raise ValueError(f"{place} has no images: their names must end in {', '.join(ENDINGS)}.")
        return list(map(str, files)), self._pixels(files)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.channels, self.size, self.size

    @cached_property
    def _files(self) -> dict[str, list[tuple[Path, str]]]:
        """The files of each split, with their classes."""
        if self.path is None:
            raise ValueError("data=images needs a folder: add data.path=<one with a folder of images for each class>.")
        folder = Path(self.path).expanduser()
        if not folder.is_dir():
            raise ValueError(f"There is no folder {folder}; paths start from {Path.cwd()}.")
        if any(each.is_dir() for each in folder.glob("train/*")):  # else `train` may be a class
            return {name: _classes(folder / name) for name in SPLITS if (folder / name).is_dir()}
        files = _classes(folder)
        names, y = np.unique([name for _, name in files], return_inverse=True)
        parts = Sizes(self.val_size, self.test_size, self.seed).balanced(y, list(map(str, names)))
        return {name: [files[index] for index in part] for name, part in parts.items()}

    def _pixels(self, files: Sequence[Path]) -> NDArray[np.float32]:
        """Reads files as [N, C, S, S], from 0 to 1."""
        found = np.empty((len(files), *self._shape), np.float32)
        with warnings.catch_warnings(), ThreadPoolExecutor() as pool:  # Pillow decodes without holding Python's lock
            warnings.simplefilter("ignore")  # of transparency that is dropped, of sizes
            for index, values in enumerate(pool.map(self._read, files)):
                found[index] = values
        return found

    def _read(self, file: Path) -> NDArray[np.float32]:
        from PIL import Image, ImageOps, UnidentifiedImageError

        mode = "L" if self.channels == 1 else "RGB"
        try:
            with Image.open(file, formats=FORMATS) as opened:
                opened.draft(mode, (2 * self.size, 2 * self.size))  # of a large JPEG, only a part is decoded
                opened.load()  # some formats have their metadata behind the pixels
                turn = TURNS.get(opened.getexif().get(ORIENTATION))  # ImageOps.exif_transpose fails on odd metadata
                image = opened if turn is None else opened.transpose(Image.Transpose[turn])
                if image.mode in ("I", "F"):  # which Pillow would cut off at 255
                    raise ValueError("it has 32 bits for each pixel, and must have 8 or 16")
                if image.mode.startswith("I;16"):  # likewise
                    image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
                image = ImageOps.fit(image.convert(mode), (self.size, self.size))
        except FileNotFoundError as error:
            raise ValueError(f"there is no file {file}") from error
        except Image.DecompressionBombError as error:
            limit = 2 * (Image.MAX_IMAGE_PIXELS or 0)
            raise ValueError(f"{file} has more than {limit:,} pixels: delete it, or make it smaller.") from error
        except Exception as error:  # of a damaged file, Pillow raises whatever that leads to
            is_said = isinstance(error, (OSError, ValueError)) and not isinstance(error, UnidentifiedImageError)
            said = " ".join((getattr(error, "strerror", None) or str(error)).split()) if is_said else ""
            why = f" ({said})" if said else "" if file.stat().st_size else " (it is empty)"
            raise ValueError(f"{file} cannot be read as an image{why}: delete or replace it.") from error
        values = np.asarray(image, np.float32) / np.float32(255)  # [S, S] or [S, S, C]
        return values[None] if values.ndim == 2 else values.transpose(2, 0, 1)


def _images(folder: Path) -> list[Path]:
    """Returns all image files in a folder and those below it, in order; not those of hidden folders."""
    found, seen = list[Path](), set[str]()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in seen:  # links may go round in circles
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith((".", "__MACOSX"))]
        found += [Path(place, name) for name in names if Path(name).suffix.lower() in ENDINGS and name[0] != "."]
    return sorted(file for file in found if file.is_file())


def _classes(folder: Path) -> list[tuple[Path, str]]:
    """Returns the images in the folders of a folder, each with its class.

    Raises:
        ValueError: there are none.
    """
    found = [(file, file.relative_to(folder).parts[0]) for file in _images(folder)]
    if not found:
        raise ValueError(f"{folder} has no images: their names must end in {', '.join(ENDINGS)}.")
    loose = next((file for file, name in found if file == folder / name), None)
    if loose is not None:
        raise ValueError(f"{loose} is in no folder of a class: each image must be in one, as in {folder}/cats/1.png.")
    return found
