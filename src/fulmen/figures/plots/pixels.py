"""Figures as dots: drawn once, for a file and for TensorBoard, and one after the other for an animation.

A file keeps the step that it shows, so that a run that goes on knows what it has shown already.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

Pixels = NDArray[np.uint8]
"""[H, W, 3]: red, green, blue."""
MILLISECONDS, LAST = 250, 2000
"""For which a frame stands, and the last one."""


def pixels(figure: Figure) -> Pixels:
    """A figure's dots, [H, W, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    dots: Pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(dots)


def write_png(file: IO[bytes], dots: Pixels, step: int) -> None:
    """Writes a figure that shows `step`."""
    about = PngInfo()
    about.add_text("comment", str(step))
    Image.fromarray(dots).save(file, "PNG", pnginfo=about)


def write_gif(file: IO[bytes], frames: Sequence[Pixels], step: int) -> None:
    """Writes an animation that ends at `step` and then begins again."""
    first, *others = [Image.fromarray(dots) for dots in frames]
    durations = [MILLISECONDS] * len(others) + [LAST]
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0, comment=str(step).encode())


def step_of(path: Path) -> int:
    """The step that a file shows; -1 where it is not there."""
    if not path.exists():
        return -1
    with Image.open(path) as image:
        return int(image.info["comment"])
