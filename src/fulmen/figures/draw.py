"""Draws the requested figures of a finished run, as files and in TensorBoard.

A figure that fails is reported in a warning; the run and the other figures are not affected.
"""

import importlib
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from lightning.pytorch.loggers.logger import Logger
from matplotlib.figure import Figure

from fulmen.errors import command, one_line, warn
from fulmen.figures import animation
from fulmen.figures.classification import confusion, mistakes, regions
from fulmen.figures.context import RunContext
from fulmen.figures.data import pairs
from fulmen.figures.network import activations, curves, weights
from fulmen.figures.options import FigureOptions
from fulmen.figures.plots.letters import letters
from fulmen.figures.plots.pixels import pixels, step_of, write_gif, write_png
from fulmen.figures.regression import fit, nodes, predictions
from fulmen.rules import type_of, wrong_part
from fulmen.runs.files import explain, replacing
from fulmen.training import loggers
from fulmen.training.callbacks.weight_snapshots import LARGEST, WeightSnapshots


def _from_file(name: str) -> Callable[[RunContext], Figure | None]:
    """Returns the function called `name` in the file of that name, which is imported when it is called."""

    def draw_it(context: RunContext) -> Figure | None:
        found: Figure | None = getattr(importlib.import_module(f"fulmen.figures.{name}"), name)(context)
        return found

    return draw_it


DrawFigure = Callable[[RunContext], Figure | None]
FIGURES: Final[Mapping[str, DrawFigure]] = {
    "fit": fit,
    "predictions": predictions,
    "nodes": nodes,
    "regions": regions,
    "confusion": confusion,
    "weights": weights,
    "mistakes": mistakes,
    "curves": curves,
    "activations": activations,
    "pairs": pairs,
    **{name: _from_file(name) for name in ("inside", "landscape", "calibration", "importance")},
}
"""The figures by key, which is also the file name. Each function returns None for a run that it does not apply to."""
ANIMATION: Final = "training"
"""The file name of the animation."""


def draw(
    options: FigureOptions,
    context: RunContext,
    folder: Path,
    boards: Iterable[Logger],
    step: int,
) -> list[str]:
    """Draws into `folder` (created with the first figure) and to `boards`, at `step`, the last step of the run.

    Returns:
        The figures that could not be written, for example because the disk is full.
    """
    unwritten: dict[str, str] = {}
    figures = {name: draw for name, draw in FIGURES.items() if getattr(options, name)}
    figures |= _own(options, {*figures, ANIMATION})
    wanted = list(figures)
    with letters([*context.spec.feature_names, *context.spec.target_names] if wanted else []):
        for name in [*wanted, ANIMATION] if options.animation and context.snapshots is not None else wanted:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # for example, glyphs missing from a font
                    if name == ANIMATION:
                        assert context.snapshots is not None
                        _animate(context.snapshots, context, folder, boards)
                    else:
                        _draw(name, figures[name], context, folder, boards, step)
            except OSError as error:
                unwritten[name] = explain(error)
            except Exception as error:  # the run has finished; no figure is worth failing it
                warn(f"figure {name} was not drawn: {one_line(error)}")
    if unwritten:
        why = next(iter(unwritten.values()))
        warn(
            f"these figures could not be written: {', '.join(unwritten)} ({why}); "
            f"{command(f'resume={folder.parent}')} draws them once there is room"
        )
    return [*unwritten]


def _own(options: FigureOptions, taken: Collection[str]) -> dict[str, DrawFigure]:
    """Returns the user's own figures, each by the name of its function; where that is taken, a number follows it."""
    found = dict[str, DrawFigure]()
    for draw in options.own:
        name = getattr(getattr(draw, "func", draw), "__name__", "own")
        names = (name, *(f"{name}_{number}" for number in range(2, len(options.own) + 2)))
        found[next(each for each in names if each not in (*taken, *found))] = draw
    return found


def _draw(
    name: str, draw_it: DrawFigure, context: RunContext, folder: Path, boards: Iterable[Logger], step: int
) -> None:
    path = folder / f"{name}.png"
    if step_of(path) == step:  # already drawn: the run was killed after this figure, and resumed
        return
    figure = draw_it(context)
    if figure is None:
        return
    if not isinstance(figure, Figure):
        raise wrong_part("figure", name, f"returned {type_of(figure)}")
    dots = pixels(figure)
    folder.mkdir(exist_ok=True)
    with replacing(path) as file:
        write_png(file, dots, step)
        file.flush()  # fails on a full disk, where TensorBoard's own thread would fail, too
        loggers.show_image(boards, name, dots, step)


def _animate(snapshots: WeightSnapshots, context: RunContext, folder: Path, boards: Iterable[Logger]) -> None:
    if not animation.can_animate(context):
        return
    if snapshots.is_too_large:
        warn(f"no animation: the network has more than {LARGEST:,} parameters")
        return
    path, states = folder / f"{ANIMATION}.gif", snapshots.chosen()
    shown = step_of(path)
    frames = {step: pixels(figure) for step, figure in animation.frames(context, states)}
    folder.mkdir(exist_ok=True)
    with replacing(path) as file:
        write_gif(file, [*frames.values()], states[-1][0])
        file.flush()
        for step, dots in frames.items():
            if step > shown:
                loggers.show_image(boards, ANIMATION, dots, step)
