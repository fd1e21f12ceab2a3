"""A sweep from its overrides to its leaderboard, and the resumption of one that was stopped."""

import os
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fulmen.config.project import to_type
from fulmen.errors import ConfigurationError, Finished, command
from fulmen.rules import split_override
from fulmen.runs.files import explain, save_figure
from fulmen.runs.folder import REPORT, read_config
from fulmen.runs.settings import SEEDS
from fulmen.sweeps import curves, leaderboard, record, resume, stacking
from fulmen.sweeps import grid as presets
from fulmen.sweeps import job as gpus
from fulmen.sweeps.execute import run_all
from fulmen.sweeps.grid import grid, records
from fulmen.sweeps.job import Job
from fulmen.sweeps.launchers import BASIC, Launcher, split
from fulmen.sweeps.leaderboard import Board, Importance
from fulmen.sweeps.progress import Progress
from fulmen.sweeps.record import Sweep
from fulmen.sweeps.remarks import remarks, unlike_losses
from fulmen.sweeps.results import Result, failures, read_all, runs
from fulmen.sweeps.search import loop, options
from fulmen.sweeps.search import plan as search
from fulmen.sweeps.sentences import sentences
from fulmen.sweeps.verdict import Verdict, advised_seeds, verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fulmen.figures.plots.bands import Band
    from fulmen.sweeps.search.study import Study

COMPARED = 50
"""Configurations of which all settings are compared."""
SHOWN = 10
"""Rows of the leaderboard that are printed; all are in its files."""


def run(overrides: Sequence[str], config_dir: str | None) -> tuple[Path, list[Result]]:
    """Runs a new sweep, or finishes one that was stopped, as the overrides say.

    Returns, Raises: as `sweep`.
    """
    if any(override.startswith("rerun=") for override in overrides):
        raise ConfigurationError("rerun= is for single runs; leave -m out")
    if any(override.startswith("resume=") for override in overrides):
        return go_on(overrides, config_dir)
    if any(override.startswith("retry=") for override in overrides):
        raise ConfigurationError("retry= goes with -m resume=<folder of a sweep>")
    return sweep(overrides, config_dir)


def sweep(overrides: Sequence[str], config_dir: str | None) -> tuple[Path, list[Result]]:
    """Plans a sweep, runs its jobs, whatever becomes of the others, and ranks them.

    Returns:
        Its folder, and what became of each job.

    Raises:
        ConfigurationError: a job's configuration is wrong; nothing is written then.
        Finished: the study of a search, in a database, has all its runs.
        Interrupted: a signal came; what has run is kept.
    """
    if search.named(overrides):
        return _search(overrides, config_dir)
    about_launcher, typed = split(presets.expanded(overrides, config_dir))
    combinations = grid(typed, config_dir)
    planned = list(records(combinations.jobs, config_dir))
    scores = {found["score"] for found in planned}
    if len(scores) > 1:
        raise ConfigurationError(f"a sweep ranks its runs by one score, and these are {', '.join(sorted(scores))}")
    launcher = Launcher(about_launcher)
    own = None if config_dir is None else str(Path(config_dir).resolve())
    allowed = record.permissions(typed)
    plan = Sweep(
        [*overrides],
        combinations.factors,
        combinations.varying,
        scores.pop(),
        len(planned),
        own,
        allowed,
        directory=os.getcwd(),
    )
    folder = record.write(plan, planned)
    say(f"{runs(len(planned))} over {_over(plan)}")
    if launcher.name == BASIC and (sentence := stacking.hint(planned)) is not None:
        say(sentence)
    say(f"sweep folder: {folder}")
    with record.held(folder):
        return folder, _run(plan, folder, range(len(planned)), launcher, _job(allowed, own, launcher))


def _search(overrides: Sequence[str], config_dir: str | None) -> tuple[Path, list[Result]]:
    """As `sweep`, with jobs that are chosen one after the other."""
    about_launcher, others = split(overrides)
    plan = replace(search.plan(others, config_dir), words=[*overrides])
    launcher = Launcher(about_launcher)
    if sentence := search.nothing_to_do(plan):
        raise Finished(sentence)
    if launcher.inner is not None:
        plan = search.in_batches(plan, overrides)
    folder = record.write(plan, [])
    say(f"{runs(plan.jobs)} to choose from {_over(plan)}")
    say(f"sweep folder: {folder}")
    with record.held(folder):
        job = _job(plan.permissions, plan.config_dir, launcher)
        return folder, _run(plan, folder, range(plan.jobs), launcher, job)


def go_on(overrides: Sequence[str], config_dir: str | None) -> tuple[Path, list[Result]]:
    """Finishes a sweep that was stopped, in its own folder: jobs that are complete are kept as they are.

    It has the launcher that it began with, unless another is typed.

    Returns, Raises: as `sweep`.
    """
    about_launcher, others = split(overrides)
    about_search, others = options.split(others)
    request = resume.read_request(others)
    plan = search.extended(record.read(request.folder), about_search)
    resume.check_permissions(plan, request)
    launcher = Launcher(about_launcher or split(plan.words)[0])
    own = plan.config_dir if config_dir is None else str(Path(config_dir).resolve())
    with record.held(request.folder):
        if not (pending := resume.pending(plan, request)):
            found = read_all(request.folder, plan.jobs)
            if not leaderboard.is_current(leaderboard.of_sweep(plan, found), request.folder):  # stopped while it drew
                _end(plan, request.folder, None if plan.search is None else search.opened(plan.search, request.folder))
            say(resume.nothing_to_do(request, failures(found)))
            return request.folder, found
        try:
            record.rewrite(plan, request.folder)
        except OSError as error:
            raise _unwritable(error, plan, request.folder) from error
        say(f"{runs(len(pending))} of {plan.jobs} to go, over {_over(plan)}")
        say(f"sweep folder: {request.folder}")
        job = _job(request.permissions, own, launcher)
        return request.folder, _run(plan, request.folder, pending, launcher, job)


def _job(permissions: list[str], config_dir: str | None, launcher: Launcher) -> Job:
    shares_gpus = launcher.workers in gpus.SHARED_OUT_HERE
    return Job(permissions, config_dir, os.getcwd(), os.getpid(), shares_gpus, secrets.token_hex(8))


def _run(plan: Sweep, folder: Path, pending: Sequence[int], launcher: Launcher, job: Job) -> list[Result]:
    """Runs what is pending and ends with the leaderboard, also when a signal stops it."""
    progress = Progress(plan, folder, pending, say)
    study = None if plan.search is None else search.opened(plan.search, folder)
    try:
        with progress.watching():
            if study is None:
                run_all([(folder / str(number)).absolute() for number in pending], launcher, job)
            else:
                plan = loop.run(plan, folder, study, launcher, job, say)
    except OSError as error:
        with suppress(OSError):  # that of the leaderboard is no news
            _end(plan, folder, study, progress.interrupted)
        raise _unwritable(error, plan, folder) from error
    except BaseException:
        with suppress(OSError):
            _end(plan, folder, study, progress.interrupted)
        if launcher.outlived:
            say("jobs already submitted to Slurm keep running; squeue lists them, and scancel cancels them")
        say(f"stopped; resume with: {_go_on_command(plan, folder)}")
        raise
    try:
        return _end(plan, folder, study, progress.interrupted)
    except OSError as error:
        raise _unwritable(error, plan, folder) from error


def _unwritable(error: OSError, plan: Sweep, folder: Path) -> ConfigurationError:
    """Makes a sentence of a full disk, or of a folder that cannot be written to any more."""
    return ConfigurationError(
        f"{explain(error)}; runs that completed are safe in {folder}; once it can be written to again, resume with: "
        f"{_go_on_command(plan, folder)}"
    )


def _end(plan: Sweep, folder: Path, study: "Study | None", interrupted: Collection[int] = frozenset()) -> list[Result]:
    """Writes the leaderboard, and says what has become of the jobs, but of those interrupted that has been said.

    Raises:
        OSError: it cannot be written; all else has been said then.
    """
    found = read_all(folder, plan.jobs)
    board = leaderboard.of_sweep(plan, found)
    unwritten: OSError | None = None
    compared = verdict(board)
    importance = None
    if study is not None:
        with _missed("the importance of keys"):
            importance = study.importance()
    verdict_lines = in_words(plan, board, compared, importance)
    try:
        leaderboard.write(board, compared, verdict_lines, folder, importance)
    except OSError as error:
        unwritten = error
    console = Console() if Console().is_terminal else Console(width=leaderboard.FILE_WIDTH)
    if board.groups:
        console.print(leaderboard.table(board, compared, SHOWN))
    for sentence in verdict_lines:
        say(sentence)
    pruned = sum(result.state == "pruned" for result in found)
    completed = sum(result.done for result in found) - pruned
    say(f"{completed} of {runs(plan.jobs)} completed" + (f", {pruned} pruned" if pruned else ""))
    for result in failures(found):
        if result.state == "interrupted" and result.number in interrupted:
            continue
        overrides = " ".join(plan.own_overrides(result.number))
        say(f"job {result.number}  {overrides}  {result.state}: {result.error}")
        if result.state != "interrupted":  # which is resumed with the sweep
            say(f"  alone: {_rerun_command(plan, result)}")
    if waiting := [result for result in found if not result.over]:
        say(f"{runs(len(waiting))} not begun or not ended")
    if unwritten is not None:
        raise unwritten
    say(f"leaderboard: {folder / 'leaderboard.md'}, .csv and .json")
    metrics = _draw(board, compared, folder, study, importance)
    with _missed("the report"):
        from fulmen.sweeps import report  # and with it matplotlib

        report.write(plan, board, compared, verdict_lines, metrics, folder, folder / REPORT)
        say(f"report:      {folder / REPORT}")
    say(f"see them:    tensorboard --logdir {folder}")
    return found


def configurations(board: Board) -> list[dict[str, Any]]:
    """Reads the configuration of a run of each of a leaderboard's configurations."""
    configs = []
    for group in board.groups[:COMPARED]:
        with suppress(ConfigurationError):  # a damaged one is listed as that
            configs.append(read_config(group.rows[0].folder))
    return configs


def in_words(plan: Sweep, board: Board, compared: Verdict, importance: Importance | None) -> list[str]:
    """Returns the verdict in sentences, the command for more seeds where those would help, and which keys matter."""
    configs = configurations(board)
    places = [str(row.folder.parent) for row in board.rows[:1]]
    if unlike := unlike_losses(board, configs, places):
        return unlike + remarks(board, configs)
    said = sentences(compared)
    count = advised_seeds(compared)
    if count is not None and plan.search is None:
        seeds = f"{board.seed}=range({count})"
        words = {split_override(word)[0]: word for word in plan.words} | {board.seed: seeds}
        hopeless = _hopeless(plan, board)
        for key, values in hopeless.items():
            words[key] = f"{key}={','.join(value for value in plan.varying[key] if value not in values)}"
        own = [] if plan.config_dir is None else ["--config-dir", plan.config_dir]
        without = "".join(f", without {key}={','.join(values)}" for key, values in hopeless.items())
        typed = to_type([*own, "-m", *words.values()], Path.cwd())
        said.append(f"for more seeds{without}: {command(*typed)}")
    if importance is not None and importance.score == board.score:
        said.append(str(importance))
    return said + remarks(board, configs)


def _hopeless(plan: Sweep, board: Board) -> dict[str, list[str]]:
    """Returns the values of keys with which every run failed or diverged, and would with other seeds."""
    found: dict[str, list[str]] = {}
    for key in (key for key in plan.varying if key not in SEEDS):
        for value in dict.fromkeys(plan.varying[key]):
            if all(row.state in leaderboard.LOST for row in board.rows if row.settings.get(key) == value):
                found.setdefault(key, []).append(value)
    return found


def _draw(
    board: Board, compared: Verdict, folder: Path, study: "Study | None", importance: Importance | None
) -> dict[str, list["Band"]]:
    """Draws what there is to see, each picture of which can be missed, and returns the curves."""
    wanted: dict[str, Callable[[], Figure | None]] = {}
    drawn = []
    with _missed():
        wanted |= {} if study is None else loop.pictures(study, importance)
    metrics: dict[str, list[Band]] = {}
    with _missed():
        metrics = curves.of_board(board)
        if metrics:
            curves.write_events(metrics, folder)
    wanted |= {"curves": lambda: curves.picture(metrics)} if metrics else {}
    wanted |= {"leaderboard": lambda: leaderboard.picture(board, compared)} if board.groups else {}
    for name, picture in wanted.items():
        with _missed():
            if (figure := picture()) is not None:
                save_figure(figure, folder / f"{name}.png")
                drawn.append(str(folder / f"{name}.png"))
    if drawn:
        say(f"pictures:    {', '.join(drawn)}")
    return metrics


@contextmanager
def _missed(what: str = "a picture") -> Iterator[None]:
    """Lets a picture that cannot be drawn cost no other one, nor what is in words."""
    try:
        yield
    except Exception as error:  # of the disk, of matplotlib or of Optuna
        say(f"{what} is missing: {type(error).__name__}: {' '.join(str(error).split())}")


def _rerun_command(plan: Sweep, result: Result) -> str:
    own = [] if plan.config_dir is None else ["--config-dir", plan.config_dir]
    return command(*to_type([*own, f"rerun={result.folder}", *plan.permissions], result.folder))


def _go_on_command(plan: Sweep, folder: Path) -> str:
    return command(*to_type(["-m", f"resume={folder}", *plan.permissions], folder))


def _over(plan: Sweep) -> str:
    """Returns the keys that vary, with their values."""
    factors = []
    for key, values in plan.varying.items():
        few = values if len(values) <= SHOWN else [*values[:2], "...", values[-1]]
        factors.append(f"{key}={','.join(few)}")
    return " × ".join(factors) if factors else "one configuration"


def say(line: str) -> None:
    """Prints a line as it is."""
    print(line, flush=True)
