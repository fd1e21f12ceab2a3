"""From a configuration to a run: Hydra makes the parts, and the straight line in `run.py` gets them by name."""

import functools
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.resolvers import oc

from fulmen import preflight, targets
from fulmen.data.source import Source
from fulmen.names import stamp

if TYPE_CHECKING:
    from fulmen.run import Run

PARTS = ("model", "optimizer", "scheduler", "loss", "penalty", "init", "logger")
RUNS = Path("logs/runs")
FAILED, DIVERGED = 1, 3


def train(config: DictConfig, *, folder: Path | None = None, verbose: bool = True) -> "Run":
    """Trains what a configuration describes, and records it.

    Args:
        config: from `fulmen.compose`.
        folder: the run's; by default the configuration's `run_dir`, or a new one under `logs/runs`.
        verbose: whether to print configuration, progress and figures.

    Raises:
        ValueError: a value is wrong, parts do not fit each other or the machine, or the data cannot be had; nothing is
            written then.
        FileExistsError: the folder is not empty.
        fulmen.learner.Diverged: the loss is no longer finite.
    """
    targets.check(config, typed=config.overrides)
    source = preflight.check(config)
    folder = folder or new_folder(config)
    from fulmen.run import train as train_parts  # and with it torch and Lightning: seconds

    return train_parts(
        **{part: _make(config[part]) for part in PARTS},
        source=source,
        options=_make(config.trainer),
        seed=config.seed,
        score=config.score,
        weights=config.weights,
        folder=folder,
        config=record(config, source),
        facts={"overrides": list(config.overrides)},
        verbose=verbose,
    )


def _make(config: DictConfig) -> Any:
    """What a part's configuration describes: an object, or with `_partial_` a function still to be called."""
    try:
        part = instantiate(config, _convert_="all")
    except HydraException as error:
        raise (error.__cause__ or error) from None  # what the part itself said, without Hydra's frame around it
    if not config.get("_partial_", False):
        return part
    # Hydra's own partial looks at its block list in every call, 0.4 ms that a loss cannot spare; ours was checked once
    return functools.partial(part.func, *part.args, **part.keywords)


def attempt(
    config: DictConfig, *, folder: Path | None = None, verbose: bool = True, record_refusal: bool = False
) -> tuple[int, str]:
    """Trains, and turns whatever goes wrong into an exit code and a sentence.

    Args:
        config: from `compose`.
        folder: the run's.
        verbose: whether to print.
        record_refusal: whether a run that is refused gets a folder that says so, as the jobs of a sweep do.

    Returns:
        0 and nothing, 1 and why it failed, or 3 and where it diverged.
    """
    folder = folder or new_folder(config)
    try:
        train(config, folder=folder, verbose=verbose)
    except (Exception, SystemExit) as error:
        if config.trainer.debug:
            traceback.print_exception(error)
        if record_refusal and not (folder / "status.json").exists():
            _record(error, config, folder)
        return (DIVERGED if type(error).__name__ == "Diverged" else FAILED), _sentence(error, folder)
    return 0, ""


def _record(error: BaseException, config: DictConfig, folder: Path) -> None:
    from fulmen.runs import recording

    facts = {"overrides": list(config.overrides), "seed": config.seed}
    with suppress(Exception, SystemExit), recording(folder, record(config, preflight.check(config)), facts):
        raise error


def _sentence(error: BaseException, folder: Path) -> str:
    """What a user needs to hear: the message alone if it is meant for users, else also what it is and where to look."""
    if isinstance(error, (ValueError, FileExistsError, ArithmeticError)):
        return " ".join(str(error).split())
    where = (
        f"the traceback is in {folder / 'status.json'}" if folder.exists() else "trainer.debug=true shows the traceback"
    )
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}; {where}" if said else f"{type(error).__name__}; {where}"


def new_folder(config: DictConfig) -> Path:
    """The folder a run goes to."""
    return Path(config.run_dir) if config.run_dir is not None else RUNS / stamp()


def record(config: DictConfig, source: Source) -> dict[str, Any]:
    """The configuration as `config.yaml` keeps it: sizes included, every reference worked out.

    But for those to the environment, which may hold what nobody should read in a file.
    """
    with _environment_unread():
        plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    del plain["overrides"]
    joint = source.joint
    sizes = {"in_shape": list(joint.in_shape), "out_features": joint.out_features, "task": joint.task}
    return {str(key): value for key, value in plain.items()} | {"sizes": sizes}


@contextmanager
def _environment_unread() -> Iterator[None]:
    """While it lasts, `${oc.env:NAME}` stands for its own text."""
    OmegaConf.register_new_resolver("oc.env", lambda *words: f"${{oc.env:{','.join(map(_word, words))}}}", replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


def _word(value: Any) -> str:
    return "null" if value is None else str(value)
