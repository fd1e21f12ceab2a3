"""Figures as pixels: rendered once for the file and for TensorBoard, and frame by frame for an animation.

A file stores the step that it shows, so that a resumed run knows what has been drawn already.
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
"""Duration of a frame, and of the last frame."""


def pixels(figure: Figure) -> Pixels:
    """Renders a figure as pixels, [H, W, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    dots: Pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]  # type: ignore[no-untyped-call]
    return np.ascontiguousarray(dots)


def write_png(file: IO[bytes], dots: Pixels, step: int) -> None:
    """Writes a PNG file that records `step`."""
    about = PngInfo()
    about.add_text("comment", str(step))
    Image.fromarray(dots).save(file, "PNG", pnginfo=about)


def write_gif(file: IO[bytes], frames: Sequence[Pixels], step: int) -> None:
    """Writes a looping GIF that records `step`, the step of its last frame."""
    first, *others = [Image.fromarray(dots) for dots in frames]
    durations = [MILLISECONDS] * len(others) + [LAST]
    first.save(file, "GIF", save_all=True, append_images=others, duration=durations, loop=0, comment=str(step).encode())


def step_of(path: Path) -> int:
    """Returns the step recorded in a file; -1 if there is no file."""
    if not path.exists():
        return -1
    with Image.open(path) as image:
        return int(image.info["comment"])
