"""Draws what many seeds show that one does not: trains hundreds of runs as one stack, and makes a picture of them.

usage: python scripts/seeds.py PICTURE [option=value ...]

pictures
  regions            the decision regions of 100 seeds
  rates              accuracy over 20 learning rates, with its spread over 25 seeds

options
  seeds=NUMBER       other than that
  output=FOLDER      where seeds_<picture>.png goes; by default docs/pictures

It says how long it took.
"""

import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray
from PIL import Image

import fulmen
from fulmen.cli import arguments
from fulmen.config.allowlist import make
from fulmen.errors import ConfigurationError

DOCS = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SEEDS = {"regions": 100, "rates": 25}
STACKED = ("hydra/launcher=vectorized", "trainer.threads=1")
REGIONS = (
    "data=moons",
    "data.train_size=100",
    "data.noise=0.2",
    "model=mlp",
    "model.hidden=[10]",
    "optimizer.lr=0.03",
    "trainer.max_epochs=100",
)
RATES = ("data=sine_boundary", "data.train_size=320", "trainer.max_steps=1000")
TRIED = np.logspace(-4, 1, 20)
"""Learning rates."""
BLUE, ORANGE = "#0072B2", "#D55E00"
"""Told apart by the colour-blind, too."""
COLORS = LinearSegmentedColormap.from_list("classes", ["#8fc1e3", "#f7f7f7", "#f4b183"])
SIDE = 161
"""Points of a side of the grid on which networks are asked."""


def main(words: Sequence[str]) -> int:
    """The command."""
    if not {"--help", "-h"}.isdisjoint(words):
        print(__doc__, end="")
        return 0
    began = time.perf_counter()
    try:
        picture, seeds, output = options(words)
    except ConfigurationError as error:
        print(f"seeds: {error}", file=sys.stderr)
        return 1
    figure = Figure((8, 5.2), layout="constrained")
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        runs = {"regions": regions, "rates": rates}[picture](figure.subplots(), seeds)
    path = output / f"seeds_{picture}.png"
    figure.savefig(path, dpi=130)
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)  # a third of the bytes
    seconds, computing = time.perf_counter() - began, time.process_time()
    print(f"{path}: {runs} runs, trained and drawn in {seconds:.1f} s, {computing:.1f} s of them computing")
    return 0


def options(words: Sequence[str]) -> tuple[str, int, Path]:
    """Returns the picture, the number of seeds, and the folder of the picture.

    Raises:
        ConfigurationError: a word is none of these.
    """
    given = arguments.parse(words, {"seeds": "a number", "output": "a folder"})
    if len(given.subjects) != 1:
        raise ConfigurationError(f"name one picture, {' or '.join(SEEDS)}; --help shows more")
    picture = arguments.one_of("picture", given.subjects[0], tuple(SEEDS))
    seeds = given.options.get("seeds", str(SEEDS[picture]))
    if not seeds.isdecimal() or int(seeds) < 2:
        raise ConfigurationError(f"seeds is '{seeds}'; it must be a number, at least 2")
    return picture, int(seeds), arguments.folder("output", given.options.get("output", str(DOCS)))


def regions(axes: Axes, seeds: int) -> int:
    """Draws the mean probability of networks that differ in their seeds, the boundary of each, and the rows."""
    found = fulmen.sweep([*STACKED, f"seed=range({seeds})", *REGIONS])
    x, y = make(fulmen.compose(list(REGIONS)).data).load()["train"]
    low, high = x.min(0) - 0.6, x.max(0) + 0.6
    across, up = (np.linspace(*ends, SIDE) for ends in zip(low, high, strict=True))
    grid = np.stack(np.meshgrid(across, up), 2).reshape(-1, 2)
    shares = [_share(fulmen.load(folder).predict_proba(grid)) for folder in found.frame["folder"]]
    axes.contourf(across, up, np.mean(shares, 0), np.linspace(0, 1, 41), cmap=COLORS)
    for share in shares:
        axes.contour(across, up, share, [0.5], colors="black", linewidths=0.5, alpha=0.3)
    for value, color, marker in ((0, BLUE, "o"), (1, ORANGE, "^")):
        own = x[np.asarray(y).ravel() == value]
        axes.scatter(
            own[:, 0], own[:, 1], s=28, color=color, marker=marker, edgecolors="white", linewidths=0.7, zorder=3
        )
    _title(axes, f"One network, {seeds} seeds", "each one's boundary, and their mean probability")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    return len(shares)


def _share(probabilities: NDArray[np.floating]) -> NDArray[np.floating]:
    """Returns the probability of the second class, [SIDE, SIDE]."""
    return probabilities[:, -1].reshape(SIDE, SIDE)


def rates(axes: Axes, seeds: int) -> int:
    """Draws accuracy on test rows over the learning rate: the mean, and the 10th to 90th percentile over seeds."""
    tried = ",".join(f"{rate:.6g}" for rate in TRIED)
    found = fulmen.sweep([*STACKED, f"seed=range({seeds})", f"optimizer.lr={tried}", *RATES]).frame
    groups: Any = found.groupby("optimizer.lr")["test/accuracy"]
    low, mean, high = groups.quantile(0.1), groups.mean(), groups.quantile(0.9)
    axes.fill_between(mean.index, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(mean.index, mean, "o-", color=BLUE, markersize=4)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.yaxis.set_major_formatter(PercentFormatter(1, 0))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.tick_params(axis="x", which="minor", length=0)
    _title(axes, f"Accuracy on test rows, {len(found)} runs", f"mean, and 10th to 90th percentile of {seeds} seeds")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    return len(found)


def _title(axes: Axes, what: str, how: str) -> None:
    axes.set_title(what, loc="left", fontweight="bold")
    axes.set_title(how, loc="right", fontsize="medium", color="0.35")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
