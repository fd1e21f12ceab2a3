"""Draws the requested figures of a finished run, as files and in TensorBoard.

A figure that fails is reported in a warning; the run and the other figures are not affected.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lightning.pytorch.loggers.logger import Logger
from matplotlib.figure import Figure

from fulmen.errors import warn
from fulmen.figures import animation
from fulmen.figures.classification import confusion, mistakes, regions
from fulmen.figures.context import RunContext
from fulmen.figures.data import pairs
from fulmen.figures.network import activations, curves, weights
from fulmen.figures.options import FigureOptions
from fulmen.figures.plots.pixels import pixels, step_of, write_gif, write_png
from fulmen.figures.regression import fit, nodes
from fulmen.runs.files import replacing
from fulmen.training import loggers
from fulmen.training.callbacks.weight_snapshots import LARGEST, WeightSnapshots

FIGURES: Final[Mapping[str, Callable[[RunContext], Figure | None]]] = {
    "fit": fit,
    "nodes": nodes,
    "regions": regions,
    "confusion": confusion,
    "weights": weights,
    "mistakes": mistakes,
    "curves": curves,
    "activations": activations,
    "pairs": pairs,
}
"""The figures by key, which is also the file name. Each function returns None for a run that it does not apply to."""


def draw(
    options: FigureOptions,
    context: RunContext,
    snapshots: WeightSnapshots | None,
    folder: Path,
    boards: Iterable[Logger],
    step: int,
) -> None:
    """Draws into `folder` (created with the first figure) and to `boards`, at `step`, the last step of the run."""
    for name in FIGURES:
        if getattr(options, name):
            with _warn_on_failure(name):
                _draw(name, context, folder, boards, step)
    if snapshots is not None:
        with _warn_on_failure("training"):
            _animate(snapshots, context, folder, boards)


def _draw(name: str, context: RunContext, folder: Path, boards: Iterable[Logger], step: int) -> None:
    path = folder / f"{name}.png"
    if step_of(path) == step:  # already drawn: the run was killed after this figure, and resumed
        return
    figure = FIGURES[name](context)
    if figure is None:
        return
    dots = pixels(figure)
    loggers.show_image(boards, name, dots, step)
    folder.mkdir(exist_ok=True)
    with replacing(path) as file:
        write_png(file, dots, step)


def _animate(snapshots: WeightSnapshots, context: RunContext, folder: Path, boards: Iterable[Logger]) -> None:
    if not animation.can_animate(context):
        return
    if snapshots.is_too_large:
        warn(f"no animation: the network has more than {LARGEST:,} parameters")
        return
    path, states = folder / "training.gif", snapshots.chosen()
    shown, drawn = step_of(path), []
    for step, figure in animation.frames(context, states):
        drawn.append(pixels(figure))
        if step > shown:
            loggers.show_image(boards, "training", drawn[-1], step)
    folder.mkdir(exist_ok=True)
    with replacing(path) as file:
        write_gif(file, drawn, states[-1][0])


@contextmanager
def _warn_on_failure(name: str) -> Iterator[None]:
    """Turns an exception into a one-line warning, and ignores warnings about cosmetic problems."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for example, glyphs missing from a font
            yield
    except Exception as error:  # the run has finished; no figure is worth failing it
        why = " ".join(str(error).split())
        warn(f"figure {name} was not drawn ({type(error).__name__}: {why})")
