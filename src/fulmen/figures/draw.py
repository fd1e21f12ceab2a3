"""Draws what is wanted of a run, when it has ended: figures as files, and the same in TensorBoard.

A figure that fails is said to have failed, and takes nothing with it.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from lightning.pytorch.loggers.logger import Logger
from matplotlib.figure import Figure

from fulmen.errors import warn
from fulmen.figures import animation as films
from fulmen.figures.classification import confusion, mistakes, regions
from fulmen.figures.data import pairs
from fulmen.figures.network import activations, curves, weights
from fulmen.figures.options import FigureOptions
from fulmen.figures.plots.pixels import pixels, step_of, write_gif, write_png
from fulmen.figures.regression import fit, nodes
from fulmen.figures.subject import RunContext
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
"""By their keys, which are the names of their files. Each gives None of a run that it does not fit."""


def draw(
    wanted: FigureOptions,
    subject: RunContext,
    film: WeightSnapshots | None,
    folder: Path,
    boards: Iterable[Logger],
    step: int,
) -> None:
    """Draws into `folder`, made with the first figure, and onto `boards`, at the step that the run ended at."""
    for name in FIGURES:
        if getattr(wanted, name):
            with _failing_alone(name):
                _draw(name, subject, folder, boards, step)
    if film is not None:
        with _failing_alone("training"):
            _animate(film, subject, folder, boards)


def _draw(name: str, subject: RunContext, folder: Path, boards: Iterable[Logger], step: int) -> None:
    path = folder / f"{name}.png"
    if step_of(path) == step:  # by a run that was killed between this and its end
        return
    figure = FIGURES[name](subject)
    if figure is None:
        return
    dots = pixels(figure)
    loggers.show_image(boards, name, dots, step)
    folder.mkdir(exist_ok=True)
    with replacing(path) as file:
        write_png(file, dots, step)


def _animate(film: WeightSnapshots, subject: RunContext, folder: Path, boards: Iterable[Logger]) -> None:
    if not films.moves(subject):
        return
    if film.is_too_large:
        warn(f"no animation: weights are kept of networks with up to {LARGEST:,} parameters, and this is larger")
        return
    path, states = folder / "training.gif", film.chosen()
    shown, drawn = step_of(path), []
    for step, figure in films.frames(subject, states):
        drawn.append(pixels(figure))
        if step > shown:
            loggers.show_image(boards, "training", drawn[-1], step)
    folder.mkdir(exist_ok=True)
    with replacing(path) as file:
        write_gif(file, drawn, states[-1][0])


@contextmanager
def _failing_alone(name: str) -> Iterator[None]:
    """Says in a line why a figure is not there, and keeps quiet about what only looks less well."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # letters that a font lacks, and the like
            yield
    except Exception as error:  # the run is done, and no picture is worth it
        why = " ".join(str(error).split())
        warn(f"the figure {name} was not drawn ({type(error).__name__}: {why})")
