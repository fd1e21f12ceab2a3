"""Remarks on a leaderboard: runs lost, repeated or longer, other losses, unasked differences, an edge, seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from fulmen.errors import ConfigurationError, command
from fulmen.rules import split_override
from fulmen.runs.folder import load_status, read_config
from fulmen.runs.settings import SEEDS, TARGET, Settings, differing, settings, short, typed
from fulmen.sweeps.leaderboard import LOST, Board, Group
from fulmen.sweeps.verdict import has_one_meaning
from fulmen.tasks.names import LOSSES

TRAINING: Final = ("optimizer", "scheduler", "trainer", "penalty", "init", "backprop")
"""Groups whose keys are worth a remark where they differ unasked; those of data and model follow from the choice."""
CHOICES: Final = ("data", "data.batch_size", "model", "loss")
"""Further keys that are."""
LENGTH: Final = ("trainer.max_epochs", "trainer.max_steps")
"""Keys that a run may be resumed with."""
TRIED: Final = ("completed", "pruned", "diverged")
"""States of runs that show how good their values are; one that failed, or has not ended, does not."""
MOST_VALUES: Final = 5
"""Values of a key that a remark lists."""


def unlike_losses(board: Board, configs: Sequence[Mapping[str, Any]], subjects: Sequence[str]) -> list[str]:
    """Returns a sentence where the score is a loss, and not the same function in all runs; nothing otherwise.

    Args:
        board: the leaderboard.
        configs: the configurations of a run of each of its configurations, as recorded.
        subjects: the folders that `fulmen leaderboard` ranks these runs by.
    """
    split, _, name = board.score.rpartition("/")
    runs = [settings(config) for config in configs]
    kinds = dict.fromkeys(_loss(run) for run in runs)
    if name != "loss" or len(kinds) < 2:
        return []
    ranked = [row for row in board.rows if board.scored(row)]
    others = [metric for metric in ranked[0].metrics if metric.startswith(f"{split}/") and metric != board.score]
    shared = [metric for metric in others if all(Board(metric, [], [row]).groups for row in ranked)]
    way = "; compare runs with the same loss"
    if shared:
        way = f"; to rank by a metric that they share: {command('leaderboard', *subjects, f'score={shared[0]}')}"
    return [
        f"{board.score} is not the same function in all of these runs ({', '.join(kinds)}), so it ranks nothing{way}"
    ]


def _loss(run: Settings) -> str:
    """Returns the loss of a run, with its keys; `auto` is that of its task."""
    name = run.get("loss")
    if name == "auto":
        name = LOSSES.get(run.get("sizes.task", ""), ("auto",))[0]
    own = [f"{key}={typed(value)}" for key, value in run.items() if key.startswith("loss.") and key != "loss._target_"]
    return " ".join([str(name), *own])


def remarks(board: Board, configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns what to bear in mind: runs lost, repeated or longer, unasked differences, an edge, seeds.

    Args:
        board: the leaderboard.
        configs: the configurations of a run of each of its configurations, as recorded.
    """
    edges = _edges(board) if has_one_meaning(board.score, board.keys) else []
    tasks = [f"the data sets differ, and with them how hard it is to reach a good {board.score}"] * (
        "data" in board.keys
    )
    return [
        *_left_out(board),
        *_repeated(board),
        *_longer(board),
        *tasks,
        *_unasked(board, configs),
        *edges,
        *_of_seeds(board),
    ]


def _longer(board: Board) -> list[str]:
    """Returns which runs were resumed by themselves with another length than their neighbours have."""
    found: dict[str, list[str]] = {}
    for row in filter(board.scored, board.rows):
        resumed = load_status(row.folder).get("resumed") or []
        words = [split_override(word) for each in resumed for word in each.get("overrides") or []]
        changed = {key: value for key, value in words if key in LENGTH and key not in board.keys}
        if changed:
            found.setdefault(" ".join(f"{key}={value}" for key, value in changed.items()), []).append(row.job)
    return [
        f"{'run' if len(jobs) == 1 else 'runs'} {', '.join(jobs)} {'was' if len(jobs) == 1 else 'were'} resumed with "
        f"{words}, and not trained as long as the others with which the score is averaged and compared"
        for words, jobs in found.items()
    ]


def _left_out(board: Board) -> list[str]:
    """Returns which configurations have runs that came to no score: a mean over the others flatters them."""
    keys = [key for key in board.keys if key not in SEEDS]
    states: dict[str, Counter[str]] = {}
    for row in board.rows:
        name = " ".join(f"{key}={short(row.settings[key])}" for key in keys if key in row.settings)
        states.setdefault(name or "the only configuration", Counter())[row.state] += 1
    said = []
    for name, counts in states.items():
        lost = {state: counts[state] for state in LOST if counts[state]}
        which = " and ".join(f"{state} in {count}" for state, count in lost.items())
        if lost and sum(lost.values()) == counts.total():
            said.append(f"{name} {which} of {counts.total()} runs, and so has no score")
        elif lost:
            said.append(f"{name} {which} of {counts.total()} runs, which its mean leaves out")
    return said


def _repeated(board: Board) -> list[str]:
    """Returns how many runs have the configuration and the seeds of another, as after a typo in a list of values."""
    count = sum(
        len(group.rows) - len({tuple(map(row.settings.get, SEEDS)) for row in group.rows}) for group in board.groups
    )
    which, count_as = ("1 run repeats", "counts as") if count == 1 else (f"{count} runs repeat", "count as")
    return [f"{which} another's configuration and seed, and {count_as} one with it"] if count else []


def _unasked(board: Board, configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns which keys of the training differ along with those that vary, as a rate does with its optimizer."""
    runs = [settings(config) for config in configs]
    asked = [key for key in board.keys if key not in SEEDS and all(key in run for run in runs)]
    said = []
    for key in differing(runs):
        group = key.partition(".")[0]
        is_telling = group in (*asked, *TRAINING) or key in CHOICES
        if (
            not is_telling
            or key in (*board.keys, *SEEDS)
            or key.endswith(TARGET)
            or any(key not in run for run in runs)
        ):
            continue
        # Runs that share a value of the key that decides it share this one's. Where no key does, all of them are named.
        decisive = [one for one in asked if _pairs(runs, one, key) == _pairs(runs, one, one)]
        by = [group] if group in decisive else decisive[:1] or asked
        pairs = ((typed(run[key]), " ".join(f"{one}={short(run[one])}" for one in by)) for run in runs)
        each = [f"{value} with {choice}" if choice else value for value, choice in dict.fromkeys(pairs)]
        listed = ", ".join(each[:MOST_VALUES]) + (", ..." if len(each) > MOST_VALUES else "")
        said.append(f"{key} differs as well, although you did not vary it: {listed}")
    return said


def _pairs(runs: Sequence[Settings], one: str, other: str) -> int:
    """Returns how many different pairs of values two keys have."""
    return len({(typed(run[one]), typed(run[other])) for run in runs})


def _edges(board: Board) -> list[str]:
    said = []
    tried = [row for row in board.rows if row.state in TRIED]
    for key in (key for key in board.keys if key not in SEEDS and board.groups):
        try:
            values = sorted({float(row.settings[key]) for row in board.rows})
            few = len({float(row.settings[key]) for row in tried}) <= 2
            best, *ties = {float(group.settings[key]) for group in board.groups if group.mean == board.groups[0].mean}
        except (KeyError, ValueError):  # no numbers, or not of all
            continue
        # Only where some other value was tried with all else equal: among any runs, much may differ along with it.
        others = [{name for name, _ in board.groups[0].settings.items() ^ row.settings.items()} for row in tried]
        is_compared = any(key in names and names <= {key, *SEEDS} for names in others)
        at_end = best in (values[0], values[-1]) and not best == values[0] == 0  # nothing is smaller than no penalty
        if not few and at_end and is_compared and not ties:
            which, way = ("smallest", "smaller") if best == values[0] else ("largest", "larger")
            said.append(
                f"the best {key}, {board.groups[0].settings[key]}, is the {which} that was tried; try {way} ones"
            )
    return said


def _of_seeds(board: Board) -> list[str]:
    group = max(board.groups, key=lambda group: len(group.by_seed), default=None)
    if group is None or len(group.by_seed) < 2:
        return []
    values = {key: {row.settings.get(key) for row in group.rows} for key in SEEDS}
    (other,) = {*SEEDS} - {board.seed}
    if len({tuple(map(row.settings.get, SEEDS)) for row in group.rows}) > len(values[board.seed]):
        return [
            f"{board.seed} and {other} both vary: the score of each {board.seed} is the mean over up to "
            f"{len(values[other])} values of {other}, because runs that share one are not independent"
        ]
    if len(values["seed"]) == 1:
        return ["data.seed varies the draw of the data, but first weights and batches are the same, which seed varies"]
    if len(values["data.seed"]) == 1 and not _data_follows(group, board.seed):
        return ["seeds vary first weights and batches, but not the draw of the data, which data.seed varies"]
    return ["seeds vary first weights, batches and the draw of the data"]


def _data_follows(group: Group, seed: str) -> bool:
    """Returns whether data.seed is another in two runs of a configuration, as with data.seed=${seed}."""
    folders = {row.settings.get(seed): row.folder for row in group.rows}
    with suppress(ConfigurationError):  # a damaged one is listed as that
        return len({settings(read_config(folder)).get("data.seed") for folder in [*folders.values()][:2]}) > 1
    return False
