"""`-m`: a run for every combination of the values that the words list.

All jobs are composed and checked before the first one starts, so a typo in the last of them costs nothing, and what
runs is the configuration as it was when the sweep was typed.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console

from fulmen import preflight
from fulmen.composition import compose
from fulmen.experiment import attempt, record_refusal, train
from fulmen.names import stamp
from fulmen.words import ConfigurationError, check_choice, expand, read, search_path

SWEEPS = Path("logs/sweeps")


def sweep(words: Sequence[str], config_dir: str | None) -> int:
    """Runs every job in a folder of its own, whatever becomes of the others.

    Returns:
        0 if every job completed, else 1.

    Raises:
        ConfigurationError: a job's configuration is wrong; nothing is written then.
    """
    jobs = plan(words, config_dir)
    folder = SWEEPS / stamp()
    varying = [word for word in words if read(word).is_sweep_override()]
    console = Console()
    console.print(f"{len(jobs)} jobs over {', '.join(varying) or 'one configuration'}", highlight=False, soft_wrap=True)
    console.print(f"sweep folder: {folder}", highlight=False, soft_wrap=True)
    codes = []
    for number, config in enumerate(jobs):
        job = folder / str(number)
        own_words = _own_words(config, varying)
        run = functools.partial(_run, config, own_words)
        code, message = attempt(run, job, debug=config.trainer.debug)
        if code and not job.exists():
            record_refusal(message, config, job)
        line = f"job {number}  {own_words}  {message or _score(job, config.score)}"
        console.print(line, highlight=False, soft_wrap=True, markup=False)
        codes.append(code)
    console.print(f"{codes.count(0)} of {len(jobs)} jobs completed", highlight=False)
    console.print(f"see them: tensorboard --logdir {folder}", highlight=False, soft_wrap=True)
    return int(any(codes))


def _run(config: DictConfig, name: str, folder: Path) -> None:
    train(config, folder=folder, name=name, verbose=False)


def plan(words: Sequence[str], config_dir: str | None) -> list[DictConfig]:
    """The checked configuration of every job."""
    folders = search_path(config_dir)
    overrides = [read(word) for word in words]
    for override in overrides:
        if not override.is_sweep_override():
            check_choice(override, folders)
    jobs = [_compose(job, config_dir) for job in expand(overrides, folders)]
    if any(config.run_dir is not None for config in jobs):
        raise ConfigurationError(f"run_dir is for single runs, and those of a sweep go to {SWEEPS}; leave it out")
    for config in jobs:
        preflight.check(config)
        if config.trainer.devices > 1:
            raise ConfigurationError("trainer.devices is for single runs; the runs of a sweep have one device each")
    return jobs


def _compose(words: Sequence[str], config_dir: str | None) -> DictConfig:
    """The configuration of a job, which draws no figures unless a word is about them: they would take longest."""
    if any(read(word).key_or_group.partition(".")[0] == "figures" for word in words):
        return compose(words, config_dir)
    config = compose([*words, "figures=none"], config_dir)
    config.overrides = list(words)
    return config


def _own_words(config: DictConfig, varying: Sequence[str]) -> str:
    """What tells a job from the others."""
    keys = {word.partition("=")[0] for word in varying}
    return " ".join(word for word in config.overrides if word.partition("=")[0] in keys)


def _score(folder: Path, score: str) -> str:
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    return f"{score} {metrics[score]:.4g}" if score in metrics else ""
