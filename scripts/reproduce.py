"""Trains every experiment of the source lessons over several seeds, and writes docs/reproduction.md.

usage: python scripts/reproduce.py [seeds=10] [data_root=FOLDER] [only=NAME,NAME output=FILE]

Runs go to logs/reproduction/<row>/<seed>, as many at once as there are cores. Those that are complete, and would be
trained in the same way now, are kept: to go on after a stop, type the same again. Every figure is measured from such a
run, and every verdict computed: whether the median of ours lies where scripts/reproduction.yaml says.
"""

import os
import platform
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import measures
import yaml

import fulmen
from fulmen import folders, recorded
from fulmen.commands.arguments import one_of, sort
from fulmen.help import description
from fulmen.predictor import Run
from fulmen.runs import environment
from fulmen.words import ConfigurationError, conf_dir

HERE = Path(__file__).parent
DOCUMENT = HERE.parent / "docs" / "reproduction.md"
RUNS = Path("logs/reproduction")
OPTIONS = {
    "seeds": "how many",
    "data_root": "the folder with MNIST's files",
    "only": "names of experiments",
    "output": "the document, where only= is given",
}
PICTURES = ("regions", "fit", "weights", "curves")
"""Figures of a run, of which the first that it has is shown."""


class Row(NamedTuple):
    """A line of the table: a figure of an experiment, over its seeds."""

    name: str
    wanted: str
    ours: list[float]
    theirs: list[float]
    """scikit-learn's, where it was trained beside ours."""
    in_range: bool


def main(words: Sequence[str]) -> int:
    """Trains, measures and writes the document.

    Returns:
        0 if every figure is in its range, else 1.

    Raises:
        ValueError: a word is wrong, or a figure is asked for that no run has.
    """
    given = sort(words, OPTIONS)
    if given.subjects or ("only" in given.options) != ("output" in given.options):
        raise ConfigurationError("give options alone, and only= with output=, so that the whole document is kept")
    wanted = yaml.safe_load((HERE / "reproduction.yaml").read_text("utf-8"))
    wanted = {name: wanted[name] for name in _names(given.options.get("only"), wanted)}
    seeds = _seeds(given.options.get("seeds", "10"))
    further = [f"data_root={given.options['data_root']}"] if "data_root" in given.options else []
    _train_all(wanted, seeds, further)
    document = Path(given.options.get("output", DOCUMENT))
    results = {name: list(_measure(name, row, seeds)) for name, row in wanted.items()}
    for name in wanted:
        _keep_picture(name, document.parent / "pictures")
    document.write_text(_document(wanted, results, seeds, document.parent), encoding="utf-8")
    return int(not all(map(_good, results.values())))


def _names(only: str | None, there: Mapping[str, Any]) -> Sequence[str]:
    return list(there) if only is None else [one_of("only", name, there) for name in only.split(",")]


def _seeds(count: str) -> range:
    if not count.isdecimal() or int(count) < 1:
        raise ConfigurationError(f"seeds is {count!r}, and must be a whole number of 1 or more")
    return range(int(count))


def _train_all(wanted: Mapping[str, Any], seeds: Sequence[int], further: Sequence[str]) -> None:
    """Trains what is not there yet, in processes of one thread each."""
    os.environ["OMP_NUM_THREADS"] = "1"
    jobs = [(name, seed, _words(name, row, seed, further)) for name, row in wanted.items() for seed in seeds]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        for number, done in enumerate(pool.map(_train, *zip(*jobs, strict=True)), start=1):
            print(f"{number} of {len(jobs)}: {done}", flush=True)


def _words(name: str, row: Mapping[str, Any], seed: int, further: Sequence[str]) -> list[str]:
    """The command line of a row's run. One seed has figures."""
    words = [f"experiment={row.get('experiment', name)}", *row.get("words", ()), f"seed={seed}", "logger=none"]
    figures = ["figures=default", "figures.weights=true"] if seed == 0 else ["figures=none"]
    return [*words, *figures, *(["baseline=sklearn"] if row.get("sklearn") else []), *further]


def _train(name: str, seed: int, words: Sequence[str]) -> str:
    """Trains one run, unless it is there already as it would be trained now."""
    folder, config = RUNS / name / str(seed), fulmen.compose(words)
    if _is_done(folder, config):
        return f"{folder} is kept"
    shutil.rmtree(folder, ignore_errors=True)
    fulmen.train(config, folder=folder, verbose=False)
    return str(folder)


def _is_done(folder: Path, config: Any) -> bool:
    noted = folders.noted(folder)
    if noted.get("state") != "completed" or noted.get("versions") != environment()["versions"]:
        return False
    try:
        return recorded.is_repeated(folder, config) and bool(folders.read(folder).metrics)
    except ConfigurationError:
        return False


def _measure(name: str, wanted: Mapping[str, Any], seeds: Sequence[int]) -> Iterator[Row]:
    """The figures of an experiment, each over its seeds."""
    runs = [fulmen.load(RUNS / name / str(seed)) for seed in seeds]
    for figure, expected in wanted.get("figures", {}).items():
        low, high = (expected[0], expected[-1]) if isinstance(expected, list) else (expected, expected)
        ours = [measures.figure(figure, run) for run in runs]
        range_ = f"{low:.7g}" if low == high else f"{low:.7g} to {high:.7g}"
        yield Row(figure, range_, ours, _theirs(figure, runs), low <= median(ours) <= high)
    for figure, most in wanted.get("within", {}).items():
        apart = [measures.apart(figure, run) for run in runs]
        shown = [measures.figure(figure, run) for run in runs] if figure in runs[0].metrics else apart
        yield Row(figure, _at_most(figure, most), shown, _theirs(figure, runs), median(apart) <= most)


def _at_most(figure: str, most: float) -> str:
    return f"at most {most:g}" + ("" if figure.startswith("weights of ") else " from scikit-learn's")


def _theirs(figure: str, runs: Sequence[Run]) -> list[float]:
    found = [measures.theirs(figure, run) for run in runs]
    return [value for value in found if value is not None]


def _good(rows: Sequence[Row]) -> bool:
    return all(row.in_range for row in rows)


def _keep_picture(name: str, folder: Path) -> None:
    """The first seed's picture of what was learned, or else of how the loss went."""
    files = [RUNS / name / "0" / "figures" / f"{picture}.png" for picture in PICTURES]
    for file in [file for file in files if file.exists()][:1]:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / f"{name}.png")


def _document(
    wanted: Mapping[str, Any], results: Mapping[str, Sequence[Row]], seeds: Sequence[int], folder: Path
) -> str:
    """The whole of docs/reproduction.md."""
    good = [name for name, rows in results.items() if _good(rows)]
    lines = [*_head(wanted, seeds), f"**{len(good)} of {len(results)} are in range.**", ""]
    for notebook in dict.fromkeys(row["notebook"] for row in wanted.values()):
        lines += [f"## Lesson {notebook}", ""]
        for name in (name for name in wanted if wanted[name]["notebook"] == notebook):
            lines += _section(name, wanted[name], results[name], folder)
    return "\n".join([*lines, (HERE / "defects.md").read_text("utf-8").rstrip(), ""])


def _head(wanted: Mapping[str, Any], seeds: Sequence[int]) -> list[str]:
    noted = [folders.noted(RUNS / name / str(seed)) for name in wanted for seed in seeds]
    commits = ", ".join(sorted({str(run["commit"])[:10] + (" (changed)" if run["dirty"] else "") for run in noted}))
    used = ", ".join(f"{library} {number}" for library, number in environment()["versions"].items())
    minutes = sum(run["seconds"] for run in noted) / 60
    return [
        "# The lessons, reproduced",
        "",
        f"Written by `python scripts/reproduce.py` on {date.today()}: {len(seeds)} seeds of each experiment,",
        f"{minutes:.0f} minutes of training in all, on one thread each of {os.cpu_count()} cores",
        f"({platform.system()} {platform.machine()}); {used}; commit {commits}.",
        "",
        "*In range* means that the median of ours lies between the 5th and the 95th percentile of 40 seeds of a plain,",
        "correct loop in PyTorch with the same recipe. scikit-learn's figures are those of its counterpart",
        "(`baseline=sklearn`) on the same rows. Figures are named as in a run's `metrics.json`; `objective` is the",
        "training loss of the last passes with the penalty in it, `w0` and `bias` are a linear model's, `p(0,0)` the",
        "probability of class 1 at a point, `coefficients` and `weights` are the largest difference of one,",
        "`all_70000` is scikit-learn's figure on digits drawn from training and test set alike.",
        "",
    ]


def _section(name: str, row: Mapping[str, Any], figures: Sequence[Row], folder: Path) -> list[str]:
    experiment = row.get("experiment", name)
    recipe = description(conf_dir() / "experiment" / f"{experiment}.yaml")
    published = f" The lesson prints: {row['published']}." if "published" in row else ""
    words = " ".join([f"experiment={experiment}", *row.get("words", ())])
    lines = [f"### `{words}`", "", f"{recipe}.{published}", ""]
    lines += ["| figure | range | ours: median (least to most) | scikit-learn: median | verdict |", "| --- " * 5 + "|"]
    lines += [_line(figure) for figure in figures]
    picture = folder / "pictures" / f"{name}.png"
    return [*lines, *(["", f"![{name}](pictures/{name}.png)"] if picture.exists() else []), ""]


def _line(row: Row) -> str:
    ours = f"{median(row.ours):.4g} ({min(row.ours):.4g} to {max(row.ours):.4g})"
    theirs = f"{median(row.theirs):.4g}" if row.theirs else ""
    verdict = "in range" if row.in_range else "**out of range**"
    return f"| {row.name} | {row.wanted} | {ours} | {theirs} | {verdict} |"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"reproduce: {error}")
