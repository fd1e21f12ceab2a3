"""The settings of several runs: which of them differ, and what to call each run by them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Settings = Mapping[str, Any]
"""Values by dotted keys, such as `optimizer.lr`; by a group's name its choice."""

LABELS: Final = ("name", "tags", "note", "quiet")
"""Keys that are for people alone."""
PLACES: Final = (*LABELS, "run_dir", "tuned", "choices")
"""Keys that are no settings: labels, where a run is, where a value came from; and choices, which come first under the
names of their groups."""
LONGEST: Final = 32
"""Letters of a value that are shown; the end of a path or of a name with dots tells more than its beginning."""
MAPPINGS: Final = ("learning_rates", "data.types")
"""Keys with names of the user's own under them, which may have dots in them."""
TARGET: Final = "._target_"
SEEDS: Final = ("seed", "data.seed")
"""Keys that make another sample and no other configuration."""
SAME_DATA: Final = ("seed", "batch_size", "epochs", "train_size", "root", "mirrors")
"""Keys of a data set whose values leave scores comparable: another draw, another way through it, or from elsewhere."""
PARTS: Final = ("fast_dev_run", "overfit", "limit_batches")
"""Keys of `trainer` that leave rows out, of validation as well."""


def settings(config: Mapping[str, Any]) -> Settings:
    """Returns all settings of a run, given the content of its `config.yaml`."""
    choices = config.get("choices")
    rest = {key: value for key, value in config.items() if key not in PLACES}
    return (choices if isinstance(choices, dict) else {}) | dict(leaves(rest))


def data(config: Mapping[str, Any]) -> Settings:
    """Returns the settings that must be equal for scores to be comparable: those of the data set and of `PARTS`."""
    return (
        {"data": config["choices"]["data"]}
        | {f"trainer.{key}": config["trainer"].get(key) or None for key in PARTS}
        | {f"data.{key}": value for key, value in config["data"].items() if key not in SAME_DATA}
    )


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields every value with its dotted key; a list is one value, and so is what stands under one of `MAPPINGS`."""
    for key, value in config.items():
        if isinstance(value, Mapping) and f"{prefix}{key}" not in MAPPINGS:
            yield from leaves(value, f"{prefix}{key}.")
        elif key != "_partial_":
            yield f"{prefix}{key}", value


def keys(runs: Sequence[Settings]) -> list[str]:
    """Returns every key that one of the runs has."""
    return list(dict.fromkeys(key for run in runs for key in run))


def differing(runs: Sequence[Settings]) -> list[str]:
    """Keys whose values are not the same in all runs; a part's `_target_` only where its choice does not tell."""
    found = [key for key in keys(runs) if len({_value(run, key) for run in runs}) > 1]
    return [key for key in found if not key.endswith(TARGET) or key.removesuffix(TARGET) not in found]


def names(runs: Sequence[Settings]) -> list[str]:
    """Returns a name for each run: the fewest differing settings that tell most runs apart, as they are typed."""
    telling: list[str] = []
    for key in differing(runs):
        if _told_apart(runs, [*telling, key]) > _told_apart(runs, telling):
            telling.append(key)
    return [" ".join(f"{key}={short(run[key])}" for key in telling if key in run) for run in runs]


def _told_apart(runs: Sequence[Settings], by: Sequence[str]) -> int:
    return len({tuple(_value(run, key) for key in by) for run in runs})


def _value(run: Settings, key: str) -> str | None:
    """Returns something to compare by; 1 and 1.0 are the same number, and null is not the same as nothing."""
    value = run.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return repr(value) if key in run else None


def typed(value: object) -> str:
    """Returns a value as it is typed on the command line."""
    words: dict[object, str] = {None: "null", True: "true", False: "false"}
    if isinstance(value, list):
        return f"[{','.join(map(typed, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}: {typed(each)}' for key, each in value.items())}}}"
    return words[value] if value is None or isinstance(value, bool) else str(value)


def short(value: object) -> str:
    """Returns a value as it is typed on the command line, or the end of it."""
    text = typed(value)
    return text if len(text) <= LONGEST else f"…{text[1 - LONGEST :]}"
