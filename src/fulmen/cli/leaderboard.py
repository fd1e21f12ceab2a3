"""Ranks runs by their score: configurations by the mean over their seeds, with its spread; failures with their cause.

usage: fulmen leaderboard FOLDER ... [score=val/accuracy] [output=FOLDER] [json=true] [option=value ...]

A FOLDER is that of a run, that of a sweep, or one with such folders in it, such as logs/runs. Runs on a part of
their rows (trainer.fast_dev_run, trainer.limit_batches, trainer.overfit) are left out beside others.

options
  score=METRIC    what to rank by, a name in metrics.json; the runs' own score unless you say otherwise
  json=true       print what leaderboard.json holds, and nothing else
  output=FOLDER   where leaderboard.csv, .md, .json and .png go; the folder itself if it is one sweep's, else here

  data=CHOICE     only runs on this data: runs on different data are not ranked together
  name=NAME       only runs of that name; * stands for any letters
  tags=TAG,TAG    only runs with all these tags
  note=WORDS      only runs with these words in their note

as in
  fulmen leaderboard logs/sweeps/2026-11-22_11-12-41_ad4e22
  fulmen leaderboard logs/runs score=test/accuracy output=ranking
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fulmen.cli import arguments
from fulmen.errors import ConfigurationError, command, warn
from fulmen.rules import did_you_mean
from fulmen.runs import folder as folders
from fulmen.runs.files import save_figure
from fulmen.runs.settings import LABELS, PARTS, TARGET, Settings, data, differing, settings, short, typed
from fulmen.sweeps import leaderboard, record, results
from fulmen.sweeps.leaderboard import Board, Row
from fulmen.sweeps.remarks import remarks, unlike_losses
from fulmen.sweeps.sentences import sentences
from fulmen.sweeps.sweep import in_words
from fulmen.sweeps.verdict import verdict

OPTIONS = {
    "score": "what to rank by",
    "output": "the folder of the files",
    "json": "true or false",
    "data": "only runs on this data",
    **arguments.LABELS,
}
UNRANKED = ("run_dir", "experiment", "allow_targets", "trust_checkpoint")
"""Keys that say nothing of how good a run is."""


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Raises:
        ConfigurationError: there are no runs, they have different scores and none is named, or the files have no place.
    """
    given = arguments.parse(argv, OPTIONS)
    as_json = arguments.one_of("json", given.options.get("json", "false"), ("true", "false")) == "true"
    if not given.subjects:
        raise ConfigurationError(f"name folders of runs or sweeps, as in {command('leaderboard', 'logs/runs')}")
    subjects = [Path(subject) for subject in given.subjects]
    score = given.options.get("score")
    plan, importance, configs, left_out = None, None, list[Mapping[str, Any]](), list[str]()
    filters = arguments.labels(given.options)
    filters |= {name: value for name, value in given.options.items() if name == "data"}
    if _is_sweep(subjects) and not filters:
        plan = record.read(subjects[0])
        board = leaderboard.of_sweep(plan, results.read_all(subjects[0], plan.jobs), score)
    else:
        board, configs, left_out = _of_runs(subjects, score, filters)
    if not board.groups:
        there = dict.fromkeys(name for row in board.rows for name in row.metrics)
        numbers = [name for name in there if "/" in name and Board(name, [], [*board.rows]).groups]
        near = (
            did_you_mean(board.score, numbers)
            or f"; there are {', '.join(numbers) or 'no metrics, because none completed'}"
        )
        if board.score in there:
            raise ConfigurationError(f"{board.score} is no number, so it ranks nothing{near}")
        raise ConfigurationError(f"none of the {len(board.rows)} runs has {board.score}{near}")
    output = _output(given, subjects)
    compared = verdict(board)
    if plan is None:
        said = unlike_losses(board, configs, given.subjects) or sentences(compared)
        said += left_out + remarks(board, configs)
    else:
        importance = leaderboard.read_importance(subjects[0])
        said = in_words(plan, board, compared, importance)
    leaderboard.write(board, compared, said, output, importance)
    if as_json:
        print(json.dumps(leaderboard.plain(board, compared, said, importance), indent=2, ensure_ascii=False))
        return int(any(row.state == results.DAMAGED for row in board.rows))
    console = Console() if Console().is_terminal else Console(width=leaderboard.FILE_WIDTH)
    console.print(leaderboard.table(board, compared, len(board.groups)))
    for sentence in said:
        print(sentence)
    for row in board.failures:
        print(f"{row.folder}  {row.state}: {row.error}")
    print(f"files: {output / 'leaderboard.csv'}, .md and .json")
    save_figure(leaderboard.picture(board, compared), output / "leaderboard.png")
    print(f"picture: {output / 'leaderboard.png'}")
    return int(any(row.state == results.DAMAGED for row in board.rows))


def _is_sweep(subjects: Sequence[Path]) -> bool:
    return len(subjects) == 1 and (subjects[0] / folders.SWEEP).is_file()


def _of_runs(
    subjects: Sequence[Path], score: str | None, filters: Mapping[str, str]
) -> tuple[Board, list[Mapping[str, Any]], list[str]]:
    """Returns the leaderboard of any runs, their configurations, of which it has what differs, and who is left out.

    Args:
        subjects: folders.
        score: what to rank by.
        filters: labels and data that the runs must have.
    """
    places = list({path.resolve(): path for subject in subjects for path in _runs_in(subject)}.values())
    configs: list[Mapping[str, Any]] = []
    damaged = []
    for path in places:
        try:
            configs.append(folders.read_config(path))
        except ConfigurationError as error:
            damaged.append(Row(path.name, results.DAMAGED, {}, {}, path, str(error)))
    if not configs:
        raise ConfigurationError(damaged[0].error)
    broken = {row.folder for row in damaged}
    pairs = zip((path for path in places if path not in broken), configs, strict=True)
    kept = [
        (path, config)
        for path, config in pairs
        if arguments.is_labelled(config, filters) and filters.get("data", of := config["choices"]["data"]) == of
    ]
    if not kept:
        words = " ".join(f"{name}={value}" for name, value in filters.items())
        raise ConfigurationError(f"none of the {len(configs)} runs has {words}")
    kept, left_out = _whole(kept)
    places, configs = [path for path, _ in kept], [config for _, config in kept]
    _check_same_data(places, configs)
    scores = sorted({config["score"] for config in configs})
    if score is None and len(scores) > 1:
        raise ConfigurationError(f"these runs have different scores ({', '.join(scores)}); name one with score=")
    values = [{key: value for key, value in settings(config).items() if key not in UNRANKED} for config in configs]
    keys = [key for key in differing(values) if not key.endswith(TARGET) and not _decided(values, key)]
    rows = []
    for path, config, run in zip(places, configs, values, strict=True):
        found = results.read(path)
        varying = {key: typed(run[key]) for key in keys if key in run}
        labels = {name: typed(config[name]).strip("[]") for name in LABELS if name != "quiet" and config.get(name)}
        rows.append(Row(path.name, found.state, varying, found.metrics, path, found.error, labels))
    return Board(score or scores[0], keys, [*rows, *damaged]), configs, left_out


Found = list[tuple[Path, Mapping[str, Any]]]


def _whole(runs: Found) -> tuple[Found, list[str]]:
    """Leaves out the runs on a part of their rows, where others have all of them; says so in a sentence."""
    parts = [[f"trainer.{key}" for key in PARTS if config["trainer"].get(key)] for _, config in runs]
    if all(parts) or not any(parts):
        return runs, []
    keys, count = dict.fromkeys(key for found in parts for key in found), sum(map(bool, parts))
    which, them = (f"{results.runs(count)} on a part of the rows", "it" if count == 1 else "them")
    said = f"{which} ({', '.join(keys)}) {'is' if count == 1 else 'are'} left out; to rank {them}, name {them} alone"
    return [run for run, found in zip(runs, parts, strict=True) if not found], [said]


def _check_same_data(places: Sequence[Path], configs: Sequence[Mapping[str, Any]]) -> None:
    """Checks that all runs learn from the same data, if maybe from other draws of it.

    Raises:
        ConfigurationError: they do not; their scores cannot be compared.
    """
    runs = [*map(data, configs)]
    for key in differing(runs):
        found = Counter(short(run[key]) for run in runs if key in run)
        counts = ", ".join(f"{key}={value} in {count}" for value, count in found.items())
        way_out = f"add data={runs[0]['data']}" if key == "data" else "name folders of runs on the same data"
        raise ConfigurationError(f"scores on different data cannot be compared ({counts}); {way_out}")
    first: dict[str, tuple[str, Path]] = {}
    for path, config in zip(places, configs, strict=True):
        mark = folders.load_status(path).get("fingerprint", "")
        known, other = first.setdefault(repr((config["data"], config["trainer"]["precision"])), (mark, path))
        if known != mark:  # of other machines the last bits may differ, so that this is no reason to refuse
            warn(f"the training rows of {other} and {path} are not the same; their scores may not be comparable")
            return


def _decided(runs: Sequence[Settings], key: str) -> bool:
    """Returns whether a key only follows from the choice in its group, as a rate does from an optimizer's default."""
    group = key.partition(".")[0].replace("sizes", "data")  # the sizes follow from the data set
    values: dict[str, set[str]] = {}
    for run in runs:
        values.setdefault(repr(run.get(group)), set()).add(repr(run.get(key)))  # a list has no hash
    return group != key and len(values) > 1 and all(len(found) == 1 for found in values.values())


def _runs_in(folder: Path) -> Iterator[Path]:
    """Yields the run that a folder is, or those in it, up to two levels down."""
    if folders.was_run(folder):
        yield folder
        return
    names = ("status.json", "config.yaml")
    found = {path.parent for name in names for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{name}")}
    if not (runs := [path for path in sorted(found) if folders.was_run(path)]):
        raise ConfigurationError(folders.absent(folder))
    yield from runs


def _output(given: arguments.Arguments, subjects: Sequence[Path]) -> Path:
    if "output" not in given.options:
        return subjects[0] if _is_sweep(subjects) else Path()
    return arguments.folder("output", given.options["output"])
