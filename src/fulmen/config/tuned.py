"""Where a rate or a batch size came from: `tuned=FOLDER` names what `fulmen tune` found, and is checked against it."""

import json
from collections.abc import Mapping
from typing import Any

from fulmen.errors import ConfigurationError
from fulmen.runs.files import expand_home, explain

FILE = "tune.json"
GROUPS = ("data", "model", "optimizer")
"""Groups whose choices a value was found for."""


def check(config: Mapping[Any, Any]) -> None:
    """Checks that the value a new run uses is the one that was found, and was found for what it trains.

    Args:
        config: of the run; its `tuned` is the folder that `fulmen tune` wrote, or None.

    Raises:
        ConfigurationError: the folder holds no result of `fulmen tune`, another value is used, or it was found for
            another data set, model or optimizer.
    """
    tuned = config["tuned"]
    if tuned is None:
        return
    file = expand_home(str(tuned)) / FILE
    try:
        found = json.loads(file.read_text("utf-8"))
        key, value, choices = str(found["key"]), found["value"], dict(found["choices"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = explain(error) if isinstance(error, OSError) else f"{file} is damaged"
        raise ConfigurationError(
            f"tuned={tuned} is no folder of a result of fulmen tune ({why}); name such a folder, or leave tuned= out"
        ) from error
    section, _, name = key.partition(".")
    used = config.get(section, {}).get(name)
    if used != value:
        raise ConfigurationError(
            f"{key} is {used}, but {tuned} recommends {value}; take {key}={value}, or leave tuned= out"
        )
    for group in GROUPS:
        if config["choices"].get(group) != choices.get(group):
            raise ConfigurationError(
                f"{tuned} recommends {key}={value} for {group}={choices.get(group)}, but this run has "
                f"{group}={config['choices'].get(group)}; tune again, or leave tuned= out"
            )
