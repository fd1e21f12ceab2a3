"""Trains every experiment of the source lessons over several seeds, and writes docs/reproduction.md.

usage: python scripts/reproduce.py [seeds=10] [data_root=FOLDER] [only=NAME,NAME output=FILE]

Runs go to logs/reproduction/<row>/<seed>, as many at once as there are cores. Those that are complete, and would be
trained in the same way now by the same code, are kept: to go on after a stop, type the same again. Every figure is
measured from such a run, and every verdict computed: whether ours lies where scripts/reproduction.yaml says. An
experiment of which a run fails is not measured, and the others are.
"""

import functools
import hashlib
import os
import platform
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from datetime import date
from multiprocessing import active_children, get_context, parent_process
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import measures
import yaml

import fulmen
from fulmen.cli.arguments import one_of, parse
from fulmen.cli.help import description
from fulmen.config import recorded
from fulmen.config.groups import conf_dir
from fulmen.errors import ConfigurationError, Finished
from fulmen.experiment.build import attempt
from fulmen.experiment.load import Run
from fulmen.runs import folder as folders
from fulmen.runs.recording import environment
from fulmen.runs.signals import Interrupted, raising

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


OF_ANOTHER = "weights of "
SCIKIT_LEARNS = ("all_70000/", "baseline/")
"""How figures begin that are not ours."""
AGREEMENTS = ("coefficients", OF_ANOTHER)
"""How distances begin that no seed may exceed; of others it is the median that may not."""


class Row(NamedTuple):
    """A line of the table: a figure of an experiment, over its seeds."""

    name: str
    wanted: str
    ours: str
    theirs: str
    """scikit-learn's, where it was trained beside ours."""
    in_range: bool | None
    """None: it is shown, and not judged."""


def main(words: Sequence[str]) -> int:
    """Trains, measures and writes the document.

    Returns:
        0 if every figure is in its range, else 1.

    Raises:
        ValueError: a word is wrong, or a figure is asked for that no run has.
    """
    given = parse(words, OPTIONS)
    if given.subjects or ("only" in given.options) != ("output" in given.options):
        raise ConfigurationError("give options alone, and only= with output=, so that the whole document is kept")
    known = yaml.safe_load((HERE / "reproduction.yaml").read_text("utf-8"))
    wanted = {name: known[name] for name in _names(given.options.get("only"), known)}
    seeds = _seeds(given.options.get("seeds", "10"))
    further = [f"data_root={given.options['data_root']}"] if "data_root" in given.options else []
    failed = _train_all(
        wanted | {name: known[name] for row in wanted.values() for name in _others(row)}, seeds, further
    )
    failed = {name: failed[at] for name, row in wanted.items() for at in (*_others(row), name) if at in failed}
    document = Path(given.options.get("output", DOCUMENT))
    results = {name: list(_measure(name, row, seeds)) for name, row in wanted.items() if name not in failed}
    for name in results:
        _keep_picture(name, document.parent / "pictures")
    document.write_text(_document(wanted, results, failed, seeds, document.parent), encoding="utf-8")
    return int(bool(failed) or not all(map(_good, results.values())))


def _names(only: str | None, there: Mapping[str, Any]) -> Sequence[str]:
    return list(there) if only is None else [one_of("only", name, there) for name in only.split(",")]


def _seeds(count: str) -> range:
    if not count.isdecimal() or int(count) < 1:
        raise ConfigurationError(f"seeds is {count!r}, but must be a whole number of 1 or more")
    return range(int(count))


def _others(row: Mapping[str, Any]) -> list[str]:
    """The experiments that a row is compared with."""
    return [name.removeprefix(OF_ANOTHER) for name in row.get("within", {}) if name.startswith(OF_ANOTHER)]


def _train_all(wanted: Mapping[str, Any], seeds: Sequence[int], further: Sequence[str]) -> dict[str, str]:
    """Trains what is not there yet, in processes of one thread each, and returns why experiments failed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    failed: dict[str, str] = {}
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), _begin) as pool:
        try:
            jobs = _submit(
                pool, [(name, s, _words(name, row, s, further)) for name, row in wanted.items() for s in seeds]
            )
            for number, job in enumerate(as_completed(jobs), start=1):
                name, seed = jobs[job]
                code, said = _result(job)
                if code:
                    failed.setdefault(name, f"seed {seed}: {said}")
                print(f"{number} of {len(jobs)}: {f'{name}, seed {seed}, failed: ' if code else ''}{said}", flush=True)
        except BaseException:  # the pool would wait for what it has begun; half a run is trained anew
            for process in active_children():
                process.kill()
            raise
    return failed


def _begin() -> None:
    """Of each process that trains: it remembers the code it has read, and ends with the one that started it."""
    _sources()
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _submit(
    pool: ProcessPoolExecutor, jobs: Sequence[tuple[str, int, list[str]]]
) -> dict[Future[tuple[int, str]], tuple[str, int]]:
    """Has the pool begin; its processes start deaf to Ctrl-C, which a terminal sends to them, too."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return {pool.submit(_train, *job): job[:2] for job in jobs}
    finally:
        signal.signal(signal.SIGINT, before)


def _result(job: Future[tuple[int, str]]) -> tuple[int, str]:
    try:
        return job.result()
    except BrokenProcessPool:
        return 1, "a process was killed; type the same again"


def _words(name: str, row: Mapping[str, Any], seed: int, further: Sequence[str]) -> list[str]:
    """The command line of a row's run. One seed has figures."""
    words = [f"experiment={row.get('experiment', name)}", *row.get("words", ()), f"seed={seed}", "logger=none"]
    figures = ["figures=default", "figures.weights=true"] if seed == 0 else ["figures=none"]
    return [*words, *figures, *(["baseline=sklearn"] if row.get("sklearn") else []), *further]


def _train(name: str, seed: int, words: Sequence[str]) -> tuple[int, str]:
    """Trains one run, unless it is there already as it would be trained now.

    Returns:
        0 and what was done, or else an exit code and why it failed: an exception might not survive the way back.
    """
    folder = RUNS / name / str(seed)
    try:
        code, said = attempt(functools.partial(_train_anew, words=words), folder)
    except Interrupted as stop:
        return stop.exit_code, str(stop)
    return code, said or str(folder)


def _train_anew(folder: Path, words: Sequence[str]) -> None:
    config, trained_by, sources = fulmen.compose(words), folder.with_suffix(".sources"), _sources()
    if folders.is_locked(folder):
        raise ConfigurationError(f"{folder} is held by another process")
    if trained_by.exists() and trained_by.read_text("utf-8") == sources and _is_done(folder, config):
        raise Finished(f"{folder} is kept")
    trained_by.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    fulmen.train(config, folder=folder, verbose=False)
    trained_by.write_text(sources, encoding="utf-8")


@functools.cache
def _sources() -> str:
    """A fingerprint of the code that trains, as it was when this process began."""
    package = Path(fulmen.__file__).parent
    files = {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*.py")}
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()


def _is_done(folder: Path, config: Any) -> bool:
    noted = folders.load_status(folder)
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
        values = [measures.figure(figure, run) for run in runs]
        range_ = f"{low:.7g}" if low == high else f"{low:.7g} to {high:.7g}"
        yield Row(figure, range_, *_columns(figure, values, runs), low <= median(values) <= high)
    for figure, most in wanted.get("within", {}).items():
        apart = [measures.apart(figure, run) for run in runs]
        shown = [measures.figure(figure, run) for run in runs] if figure in runs[0].metrics else apart
        farthest = max(apart) if figure.startswith(AGREEMENTS) else median(apart)
        yield Row(figure, _at_most(figure, most), *_columns(figure, shown, runs), farthest <= most)
    if "shapes" in wanted:
        found = [[list(parameter.shape) for parameter in run.model.parameters()] for run in runs]
        same = all(shapes == wanted["shapes"] for shapes in found)
        yield Row("shapes", _shapes(wanted["shapes"]), _shapes(found[0]), "", same)
    for figure, beside in wanted.get("shown", {}).items():
        yield Row(figure, beside, *_columns(figure, [measures.figure(figure, run) for run in runs], runs), None)


def _at_most(figure: str, most: float) -> str:
    of = "" if figure.startswith(OF_ANOTHER) else " from scikit-learn's"
    return f"{'every seed' if figure.startswith(AGREEMENTS) else 'median'} at most {most:g}{of}"


def _shapes(shapes: Sequence[Sequence[int]]) -> str:
    return " and ".join(str(list(shape)) for shape in shapes)


def _columns(figure: str, values: Sequence[float], runs: Sequence[Run]) -> tuple[str, str]:
    """What stands under ours and under scikit-learn's."""
    shown = f"{median(values):.4g} ({min(values):.4g} to {max(values):.4g})"
    if figure.startswith(SCIKIT_LEARNS):
        return "", shown
    found = [measures.theirs(figure, run) for run in runs]
    theirs = [value for value in found if value is not None]
    return shown, f"{median(theirs):.4g}" if theirs else ""


def _good(rows: Sequence[Row]) -> bool:
    return all(row.in_range is not False for row in rows)


def _keep_picture(name: str, folder: Path) -> None:
    """The first seed's picture of what was learned, or else of how the loss went."""
    files = [RUNS / name / "0" / "figures" / f"{picture}.png" for picture in PICTURES]
    for file in [file for file in files if file.exists()][:1]:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / f"{name}.png")


def _document(
    wanted: Mapping[str, Any],
    results: Mapping[str, Sequence[Row]],
    failed: Mapping[str, str],
    seeds: Sequence[int],
    folder: Path,
) -> str:
    """The whole of docs/reproduction.md."""
    good = [name for name, rows in results.items() if _good(rows)]
    lines = [*_head(list(results), seeds), f"**{len(good)} of {len(wanted)} are in range.**", ""]
    for notebook in dict.fromkeys(row["notebook"] for row in wanted.values()):
        lines += [f"## Lesson {notebook}", ""]
        for name in (name for name in wanted if wanted[name]["notebook"] == notebook):
            lines += _section(name, wanted[name])
            lines += (
                [f"**not measured: {failed[name]}**", ""] if name in failed else _table(name, results[name], folder)
            )
    return "\n".join([*lines, (HERE / "defects.md").read_text("utf-8").rstrip(), ""])


def _head(wanted: Sequence[str], seeds: Sequence[int]) -> list[str]:
    noted = [folders.load_status(RUNS / name / str(seed)) for name in wanted for seed in seeds]
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
        (HERE / "reading.md").read_text("utf-8"),
    ]


def _section(name: str, row: Mapping[str, Any]) -> list[str]:
    experiment = row.get("experiment", name)
    recipe = description(conf_dir() / "experiment" / f"{experiment}.yaml")
    published = f" The lesson prints: {row['published']}." if "published" in row else ""
    measured = f" Measured elsewhere: {row['measured']}." if "measured" in row else ""
    words = " ".join([f"experiment={experiment}", *row.get("words", ())])
    return [f"### `{words}`", "", f"{recipe}.{published}{measured}", ""]


def _table(name: str, rows: Sequence[Row], folder: Path) -> list[str]:
    lines = ["| figure | range | ours: median (least to most) | scikit-learn: median | verdict |", "| --- " * 5 + "|"]
    verdicts = {True: "in range", False: "**out of range**", None: "not judged"}
    lines += [f"| {r.name} | {r.wanted} | {r.ours} | {r.theirs} | {verdicts[r.in_range]} |" for r in rows]
    picture = folder / "pictures" / f"{name}.png"
    return [*lines, *(["", f"![{name}](pictures/{name}.png)"] if picture.exists() else []), ""]


if __name__ == "__main__":
    try:
        with raising():
            sys.exit(main(sys.argv[1:]))
    except ValueError as error:
        sys.exit(f"reproduce: {error}")
    except Interrupted as stop:
        print(f"reproduce: {stop}; to go on, type the same again", file=sys.stderr)
        sys.exit(stop.exit_code)
