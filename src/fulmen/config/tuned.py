"""Where a rate or a batch size came from: `tuned=FOLDER` names what `fulmen tune` found, and is checked against it."""

import json
from collections.abc import Mapping
from typing import Any, Final

from omegaconf import DictConfig, OmegaConf

from fulmen.errors import ConfigurationError, warn
from fulmen.runs.files import expand_home, explain
from fulmen.runs.settings import PARTS, SEEDS, TARGET, settings, short

FILE = "tune.json"
GROUPS = ("data", "model", "optimizer")
"""Groups whose choices a value was found for."""
BASIS: Final[Mapping[str, tuple[str, ...]]] = {
    "optimizer.lr": (
        *GROUPS, "scheduler", "loss", "penalty", "init", "score", "weights", "freeze", "learning_rates", "start_from",
        *(f"trainer.{key}" for key in ("max_epochs", "max_steps", "precision", "gradient_clip", "accumulate", *PARTS)),
    ),
    "data.batch_size": ("model", "optimizer", "penalty", "backprop", "trainer.precision", "trainer.accelerator"),
}  # fmt: skip
"""What a value depends on: groups with all their keys, and further keys."""
ELSEWHERE: Final = (*SEEDS, "data.root", "data.mirrors")
"""Keys of these groups that it does not depend on."""


def basis(key: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings that a value for `key` depends on, given a configuration in plain values."""
    parts = BASIS[key]
    return {
        name: value
        for name, value in settings(config).items()
        if name not in (key, *ELSEWHERE)
        and not name.endswith(TARGET)
        and any(f"{name}.".startswith(f"{part}.") for part in parts)
    }


def warn_if_changed(config: DictConfig) -> None:
    """Warns of settings other than those that the value was found with, which has been checked."""
    if config.tuned is None:
        return
    found = json.loads((expand_home(str(config.tuned)) / FILE).read_text("utf-8"))
    plain: Any = OmegaConf.to_container(config, resolve=True)
    then, now = found.get("settings"), basis(found["key"], plain) if found["key"] in BASIS else {}
    if not isinstance(then, dict):  # written before they were recorded
        return
    changed = [
        f"{key} is {short(value)} and was {short(then[key])}"
        for key, value in now.items()
        if key in then and then[key] != value and "${oc.env:" not in str(then[key])
    ]
    if changed:
        said = f"{found['key']}={found['value']} in {config.tuned} was found with other settings: {', '.join(changed)}"
        warn(f"{said}; it may not be the best for this run, and fulmen tune would find out")


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
        section, name = key.split(".")
        used = config[section].get(name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = explain(error) if isinstance(error, OSError) else f"{file} is damaged"
        raise ConfigurationError(
            f"tuned={tuned} is no folder of a result of fulmen tune ({why}); name such a folder, or leave tuned= out"
        ) from error
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
