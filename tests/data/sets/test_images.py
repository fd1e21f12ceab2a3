"""Images in folders: read by Pillow, split, changed at random in training, predicted from files."""

import json
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageOps

import fulmen
from fulmen.cli.main import main
from fulmen.data.sets.images import Images
from fulmen.data.tensors import Batch
from fulmen.errors import ConfigurationError
from fulmen.training import augmentations

Make = Callable[..., Images]
OWN = """\
import torch


class Noise(torch.nn.Module):
    def __init__(self, std):
        super().__init__()
        self.std = std

    def forward(self, x):
        return x + self.std * torch.randn_like(x)


class Crop(torch.nn.Module):
    def forward(self, x):
        return x[..., 1:]
"""


def draw(folder: Path, count: int = 20, classes: tuple[str, ...] = ("dark", "light")) -> None:
    """Images of several sizes and kinds, dark and light ones."""
    random = np.random.RandomState(0)
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            values = random.randint(120 * number, 120 * number + 100, (14 + index, 20, 3)).astype(np.uint8)
            kinds = ("RGB", "L", "RGBA", "P")
            Image.fromarray(values).convert(kinds[index % 4]).save(folder / name / f"{index:02}.png")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw(Path("photos"))
    return Path("photos")


@pytest.fixture
def make(source: Callable[..., Images]) -> Make:
    return lambda path, **keys: source("images", path=str(path), **keys)


def test_images_are_what_pillow_reads(folder: Path, make: Make) -> None:
    images = make(folder, size=12)
    splits = images.load()
    assert images.spec.in_shape == (3, 12, 12) and images.spec.target_names == ("dark", "light")
    assert {name: len(split.y) for name, split in splits.items()} == {"train": 28, "val": 6, "test": 6}
    assert all(split.y.mean() == 0.5 for split in splits.values())
    seen = set()
    for name, (x, y) in splits.items():
        for row in range(len(y)):
            file = images.row_name(name, row)
            seen.add(file)
            assert Path(file).parent.name == images.spec.target_names[y[row]]
            with Image.open(file) as image:
                side = min(image.size)
                left, top = (image.width - side) / 2, (image.height - side) / 2
                box = (left, top, left + side, top + side)
                expected = np.asarray(image.convert("RGB").resize((12, 12), Image.Resampling.BICUBIC, box))
            np.testing.assert_allclose(x[row].transpose(1, 2, 0) * 255, expected, atol=1)
    assert len(seen) == 40
    grey = make(folder, channels=1).load()["train"].x
    assert grey.shape == (28, 1, 32, 32) and 0 <= grey.min() < 0.2 and 0.7 < grey.max() <= 1


def test_folders_of_splits_are_kept_and_names_may_repeat(tmp_path: Path, make: Make) -> None:
    draw(tmp_path / "split" / "train", 5, ("a", "b", "c"))
    draw(tmp_path / "split" / "val", 2, ("a", "b", "c"))
    splits = make(tmp_path / "split").load()
    assert [len(splits[name].y) for name in splits] == [15, 6] and [*splits] == ["train", "val"]
    draw(tmp_path / "vehicles", 8, ("car", "train"))
    assert make(tmp_path / "vehicles").spec.target_names == ("car", "train")


def test_sixteen_bits_rotated_photos_and_palettes(tmp_path: Path, make: Make) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    turned = Image.fromarray((ramp >> 8).astype(np.uint8))
    exif = turned.getexif()
    exif[0x0112] = 3  # upside down
    for name in ("deep", "turned"):
        (tmp_path / "p" / name).mkdir(parents=True)
    Image.fromarray(ramp).save(tmp_path / "p" / "deep" / "1.png")
    turned.save(tmp_path / "p" / "turned" / "1.png", exif=exif)
    (tmp_path / "p" / "z").mkdir()
    turned.convert("P").save(tmp_path / "p" / "z" / "1.png", transparency=bytes(9))  # of which Pillow warns
    files, x = make(tmp_path / "p", channels=1, size=64).read(str(tmp_path / "p"))
    assert [Path(file).parent.name for file in files] == ["deep", "turned", "z"]
    np.testing.assert_allclose(x[0, 0], (ramp >> 8) / 255, atol=1 / 255)
    np.testing.assert_allclose(x[1], x[0, :, ::-1, ::-1], atol=1 / 255)


def test_orientations_are_those_of_pillow_whatever_else_the_metadata_hold(tmp_path: Path, make: Make) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    exif = image.getexif()
    for orientation in range(10):
        exif[0x0112] = orientation
        image.save(tmp_path / f"{orientation}.png", exif=exif)
    exif[0x0112], exif[0x010D] = 6, "name"
    image.save(tmp_path / "odd.png", exif=exif)
    content = (tmp_path / "odd.png").read_bytes()
    start = content.index(b"eXIf")
    length = int.from_bytes(content[start - 4 : start])
    chunk = content[start : start + 4 + length].replace(b"\x01\x0d\x00\x02", b"\x01\x00\x00\x02")  # the width as a text
    rest = zlib.crc32(chunk).to_bytes(4) + content[start + 8 + length :]
    (tmp_path / "odd.png").write_bytes(content[:start] + chunk + rest)
    with warnings.catch_warnings(), Image.open(tmp_path / "odd.png") as opened:
        warnings.simplefilter("ignore")
        with pytest.raises(struct.error):
            ImageOps.exif_transpose(opened)
    files, x = make(tmp_path, size=16).read(str(tmp_path))
    for file, found in zip(files[:10], x, strict=False):
        with Image.open(file) as opened:
            upright = ImageOps.exif_transpose(opened)
        np.testing.assert_allclose(found.transpose(1, 2, 0) * 255, np.asarray(upright), atol=1e-3)
    np.testing.assert_array_equal(x[10], x[6])


def test_kinds_of_images_that_are_read_and_those_that_are_refused(tmp_path: Path, make: Make) -> None:
    values = np.linspace(0, 250, 256).reshape(16, 16).astype(np.uint8)
    grey = Image.fromarray(values)
    still = {"rgba.png": "RGBA", "la.png": "LA", "cmyk.tif": "CMYK", "palette.png": "P", "grey.webp": "RGB"}
    for name, mode in still.items():
        grey.convert(mode).save(tmp_path / name, lossless=True)  # of WebP; the others have no such option
    grey.save(tmp_path / "moving.gif", save_all=True, append_images=[grey.rotate(90), grey.rotate(180)])
    images = make(tmp_path, size=16, channels=1)
    files, x = images.read(str(tmp_path))
    assert len(files) == 6
    np.testing.assert_allclose(x[:, 0] * 255, np.broadcast_to(values, (6, 16, 16)), atol=1.01)
    whole = (tmp_path / "rgba.png").read_bytes()
    header = b"IHDR" + (60_000).to_bytes(4) * 2 + bytes((8, 2, 0, 0, 0))
    damaged = {
        "empty.png": (b"", r"\(it is empty\)"),
        "cut.png": (whole[:80], "cannot be read as an image"),
        "text.jpg": (b"no image", "cannot be read as an image: delete or replace it"),
        "bomb.png": (whole[:12] + header + zlib.crc32(header).to_bytes(4) + whole[33:], "more than 178,956,970 pixels"),
    }
    for name, (content, sentence) in damaged.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} .*{sentence}"):
            images.read(str(tmp_path / name))
    Image.fromarray(values.astype(np.float32) / 255).save(tmp_path / "floats.tif")
    with pytest.raises(ValueError, match=r"floats\.tif .*32 bits for each pixel, and must have 8 or 16"):
        images.read(str(tmp_path / "floats.tif"))


def test_changes_follow_from_seed_and_step() -> None:
    x = torch.arange(2 * 3 * 16 * 16.0).view(2, 3, 16, 16) + 1
    rows, y = Batch(x.repeat(20, 1, 1, 1), torch.zeros(40)), torch.zeros(40)
    augment = augmentations.find(["flip", "shift"], rows, seed=3)
    assert augment is not None
    before = torch.get_rng_state()
    one, again, other = (augment(rows, step).x for step in (5, 5, 6))
    assert torch.equal(one, again) and not torch.equal(one, other) and torch.equal(before, torch.get_rng_state())
    flipped, shifted = (augmentations.find([name], rows, seed=3) for name in ("flip", "shift"))
    assert flipped is not None and shifted is not None
    mirrored = [torch.equal(image, row.flip(-1)) for image, row in zip(flipped(rows, 0).x, rows.x, strict=True)]
    same = [torch.equal(image, row) for image, row in zip(flipped(rows, 0).x, rows.x, strict=True)]
    assert all(a != b for a, b in zip(mirrored, same, strict=True)) and 5 < sum(mirrored) < 35
    for image, row in zip(shifted(rows, 0).x, rows.x, strict=True):
        moves = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
        padded = torch.nn.functional.pad(row, (2, 2, 2, 2))
        assert any(torch.equal(image, padded[:, 2 - d : 18 - d, 2 - r : 18 - r]) for d, r in moves)
    assert torch.equal(augment(Batch(rows.x, y), 0).y, y) and augmentations.find([], rows, 0) is None


def test_a_folder_trains_resumes_evaluates_and_predicts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("own_changes.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    allow = "allow_targets=[own_changes]"
    words = ["data=images", "data.path=photos", "data.size=16", "model=lenet", "data.batch_size=8", "weights=last"]
    words += ["figures=none", "logger=none", "accelerator=cpu", allow, "quiet=true"]
    augment = "data.augment=[flip,shift,{_target_: own_changes.Noise, std: 0.1}]"
    for name, more in {"whole": [augment, "trainer.pack=3"], "part": [augment, "trainer.max_epochs=1"]}.items():
        assert main([*words, "trainer.max_epochs=3", *more, f"run_dir={name}"]) == 0
    assert "compile" not in capsys.readouterr().err
    assert main([*words, "data.augment=[flip]", "trainer.compile=true", "trainer.max_epochs=1", "run_dir=slow"]) == 0
    assert "not possible here: training rows are changed at random" in capsys.readouterr().err
    assert main([*words, "trainer.max_epochs=3", "run_dir=plain"]) == 0
    assert main(["resume=part", "trainer.max_epochs=3", allow]) == 0
    figures = [json.loads(Path(name, "metrics.json").read_text()) for name in ("whole", "part", "plain")]
    losses = [pd.read_csv(Path(name, "history.csv"))["train/loss"].tolist() for name in ("whole", "part", "plain")]
    assert figures[0] == figures[1] and losses[0] == losses[1] != losses[2]
    assert main(["evaluate", "whole", "split=test", allow]) == 0
    assert json.loads(capsys.readouterr().out)["test/loss"] == pytest.approx(figures[0]["test/loss"], rel=1e-5)
    assert main(["evaluate", "plain", "data.augment=[{_target_: own_changes.Crop}]"]) == 1
    assert "allow_targets=[own_changes]" in capsys.readouterr().err
    draw(Path("new"), 3)
    assert main(["evaluate", "plain", "data.path=new"]) == 0
    assert "all/accuracy" in json.loads(capsys.readouterr().out)
    assert main(["predict", "plain", "input=new", "output=out.csv"]) == 0
    assert capsys.readouterr().out == "out.csv: predictions of 6 rows\n"
    found = pd.read_csv("out.csv")
    assert found["file"].tolist() == [f"new/{name}/{index:02}.png" for name in ("dark", "light") for index in range(3)]
    assert main(["predict", "plain", "input=new/dark/01.png"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("new/dark/01.png,")
    run = fulmen.load("plain")
    by_path = [run.predict_proba(each) for each in ("new", Path("new"), [Path(name) for name in found["file"]])]
    for scores in (*by_path, run.predict_proba([*found["file"]])):
        np.testing.assert_allclose(scores, found[["probability_dark", "probability_light"]], rtol=1e-6)
    with pytest.raises(ValueError, match=r"there is no file new/dark/9\.png"):
        run.predict(["new/dark/01.png", "new/dark/9.png"])


def test_wrong_images_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
) -> None:
    Path("own_changes.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = ["data=images", "data.path=photos", "model=linear", "figures=none", "logger=none", "trainer.max_epochs=1"]
    assert "data=images needs a folder: add data.path=" in refused("data=images")
    assert "There is no folder" in refused("data=images", "data.path=nowhere")
    assert "data.size is 0, but must be a whole number" in refused(*words, "data.size=0")
    assert "data.channels is 2, but must be one of 1, 3" in refused(*words, "data.channels=2")
    assert "data.augment is 'flip', but must be a list" in refused(*words, "data.augment=flip")
    assert "data.augment has 'flop'; did you mean flip?" in refused(*words, "data.augment=[flop]")
    own = "data.augment=[{_target_: own_changes.Crop}]"
    assert "allow_targets=[own_changes]" in refused(*words, own)
    assert "augment Crop makes a tensor [2, 3, 32, 31]" in refused(*words, own, "allow_targets=[own_changes]")
    (folder / "dark" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    assert "broken.jpg cannot be read as an image" in refused(*words)
    (folder / "dark" / "broken.jpg").write_bytes(b"P6 2 2 255\n" + bytes(12))  # of another format
    assert "broken.jpg cannot be read as an image" in refused(*words)
    (folder / "dark" / "broken.jpg").rename(folder / "loose.jpg")
    assert "loose.jpg is in no folder of a class" in refused(*words)
    (folder / "loose.jpg").unlink()
    Path("empty").mkdir()
    assert "empty has no images: their names must end in" in refused("data=images", "data.path=empty")
    draw(Path("one"), 4, ("dark",))
    assert "has images of one class, dark" in refused("data=images", "data.path=one", "data.val_size=0")


def test_a_name_that_is_none_is_refused() -> None:
    rows = Batch(torch.zeros(2, 3, 8, 8), torch.zeros(2))
    with pytest.raises(ConfigurationError, match="or one of your own"):
        augmentations.find([3], rows, 0)
