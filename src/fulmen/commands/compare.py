"""Shows runs side by side: how they ended, the settings that differ, the final figures, and a picture of their losses.

usage: fulmen compare RUN RUN ... [output=FILE] [all=true]

A RUN is the folder of a run, or that of a sweep, which stands for all the runs in it.

options
  output=FILE   the picture: compare.png unless you say otherwise; .png, .pdf or .svg
  all=true      also the settings that are the same in all of the runs

as in
  fulmen compare logs/sweeps/2026-11-22_11-12-41_ad4e22 output=optimizers.pdf
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from fulmen import tables
from fulmen.commands import arguments
from fulmen.files import save_figure
from fulmen.folders import Record, read, runs_in
from fulmen.settings import Settings, differing, keys, names, settings
from fulmen.words import ConfigurationError

if TYPE_CHECKING:
    from fulmen.figures import Curve

OPTIONS = {"output": "the picture's file", "all": "true or false: whether equal settings are shown, too"}
ENDINGS = (".png", ".pdf", ".svg")
FILE_WIDTH = 1000
"""Letters of a line where no terminal is: nothing needs to be folded in a file."""


def main(words: Sequence[str]) -> int:
    """Runs the command.

    Raises:
        ConfigurationError: there are not two runs to compare, one of them is damaged, or the picture has no place.
    """
    given = arguments.sort(words, OPTIONS)
    everything = arguments.one_of("all", given.options.get("all", "false"), ("true", "false")) == "true"
    output = arguments.output(given, ENDINGS) or Path("compare.png")
    records = [read(folder) for folder in _folders(given.subjects)]
    runs = [settings(record.config) for record in records]
    console = Console()
    if not console.is_terminal:
        console = Console(width=FILE_WIDTH)
    console.print(tables.ends(records))
    _print_settings(console, runs, everything)
    _print_figures(console, records, runs)
    console.print(_draw(records, runs, output), highlight=False, soft_wrap=True, markup=False)
    return 0


def _folders(subjects: Sequence[str]) -> list[Path]:
    """The runs that are meant, each of them once."""
    every = [folder for subject in subjects for folder in runs_in(Path(subject))]
    found = list({folder.resolve(): folder for folder in every}.values())
    if len(found) < 2:
        only = f"{found[0]} is only one" if found else "none is named"
        raise ConfigurationError(f"compare wants two runs or more, and {only}; write fulmen compare RUN RUN")
    return found


def _print_settings(console: Console, runs: Sequence[Settings], everything: bool) -> None:
    different = differing(runs)
    same = [key for key in keys(runs) if key in runs[0] and key not in different]
    if different:
        console.print(*tables.side_by_side("settings that differ", tables.values(runs, different), console.width))
    if everything:
        console.print(*tables.side_by_side("settings that are the same", tables.values(runs, same), console.width))
    elif different:
        console.print(f"{len(same)} other settings are the same; all=true shows them", highlight=False)
    else:
        console.print(f"all {len(same)} settings are the same; all=true shows them", highlight=False)


def _print_figures(console: Console, records: Sequence[Record], runs: Sequence[Settings]) -> None:
    """The final figures; none of the losses is best where they measure different things."""
    metrics = [record.metrics for record in records if record.metrics]
    different = differing([run for run, record in zip(runs, records, strict=True) if record.metrics])
    of_kinds = any(key == "sizes.task" or key.partition(".")[0] == "loss" for key in different)
    losses = {key for run in metrics for key in run if key.endswith("/loss")} if of_kinds else set()
    if metrics:
        rows = tables.finals([record.metrics for record in records], losses)
        console.print(*tables.side_by_side("final figures, * the best", rows, console.width))
    else:
        console.print("none of them has final figures", highlight=False)
    if losses:
        console.print("the losses are of different kinds, so none of them is best", highlight=False)


def _draw(records: Sequence[Record], runs: Sequence[Settings], output: Path) -> str:
    """Saves the picture, and says so."""
    if not any(record.history.get("step") for record in records):
        return "no picture: none of them has come to a row in history.csv"
    from fulmen.figures import curves  # and with it matplotlib

    figure = curves(list(_curves(records, names(runs))))
    try:
        save_figure(figure, output)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write {output}: {error.strerror or error}; name another place with output="
        ) from error
    return f"picture: {output}"


def _curves(records: Sequence[Record], called: Sequence[str]) -> Iterator["Curve"]:
    from fulmen.figures import Curve

    for number, (record, name) in enumerate(zip(records, called, strict=True), start=1):
        step, train, val = (np.array(record.history.get(key, [])) for key in ("step", "train/loss", "val/loss"))
        yield Curve(
            f"{number} {name or record.folder.name}", step, train, val if "val/loss" in record.history else None
        )
