"""Weights & Biases and MLflow, by Lightning's loggers, and Trackio.

Each gives a run an id. It is kept in the run's folder, so that a resumed run goes on under it.
"""

import os
import warnings
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from lightning.pytorch.loggers import MLFlowLogger, WandbLogger
from lightning.pytorch.loggers.logger import Logger

from fulmen.runs.files import write_text
from fulmen.training.recipe import kind, settings
from fulmen.training.trackio_logger import TrackioLogger

LOGGERS: Final = (WandbLogger, MLFlowLogger, TrackioLogger)
ID: Final = "tracking_id.txt"
ADDRESS: Final = "MLFLOW_TRACKING_URI"
SQLITE: Final = "sqlite:///"


def start(make_logger: Any, folder: Path, name: str) -> Logger:
    """Starts the run in `folder`, called `name`, in the service that is asked for, or goes on with it."""
    path, further = folder / ID, dict[str, Any]()
    lock: AbstractContextManager[Any] = nullcontext()
    begun = path.read_text(encoding="utf-8").strip() if path.exists() else None
    if kind(make_logger) is WandbLogger:
        further = {"save_dir": folder.resolve(), "name": name, "version": begun}
    elif kind(make_logger) is TrackioLogger:
        further = {"name": name, "version": begun}
    else:
        further = {"run_name": name, "run_id": begun}
        address = str(settings(make_logger).get("tracking_uri"))
        if address.startswith(SQLITE):
            database = Path(address.removeprefix(SQLITE)).resolve()  # as MLflow keeps it open when the folder changes
            database.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{database}.lock")  # only one of several jobs can make the tables and the experiment
            further["tracking_uri"] = f"{SQLITE}{database.as_posix()}"
            further["artifact_location"] = database.with_suffix("").as_uri()  # not the current folder
    usual = os.environ.get(ADDRESS)
    try:
        with lock, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the libraries say about each other's versions
            logger: Logger = make_logger(**further)
            if not isinstance(logger, TrackioLogger):  # whose run begins with its configuration
                experiment = logger.experiment  # type: ignore[attr-defined]
    finally:  # MLflow leaves the address there, for this process's next run to take it for the user's
        if usual is None:
            os.environ.pop(ADDRESS, None)
        else:
            os.environ[ADDRESS] = usual
    if isinstance(logger, MLFlowLogger) and begun:
        experiment.update_run(begun, status="RUNNING")
    write_text(path, f"{logger.version}\n")
    return logger


def is_offline(logger: Logger) -> bool:
    """Returns whether Weights & Biases keeps the run on this machine, where each part of a resumed run is separate."""
    return isinstance(logger, WandbLogger) and bool(logger.experiment.offline)


def end(loggers: Iterable[Logger], *, failed: bool) -> None:
    """Ends runs: Weights & Biases would take the next one in this process for the same, and Lightning ends none."""
    for logger in loggers:
        if isinstance(logger, WandbLogger):
            logger.experiment.finish(exit_code=int(failed))
        elif isinstance(logger, MLFlowLogger) and failed:
            logger.finalize("failed")
        elif isinstance(logger, TrackioLogger):
            logger.finish(failed=failed)
