"""Trackio as a logger of Lightning, which has none for it."""

import contextlib
import io
import secrets
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from lightning.pytorch.loggers.logger import Logger
from numpy.typing import NDArray


class TrackioLogger(Logger):
    """One run in Trackio, which begins when the first thing is logged.

    Args:
        name: what the run is called; the names of a project need not differ.
        version: the name under which Trackio has the run; None for a new run.
        project: the project that the run belongs to.
        space_id: the Hugging Face Space that it is sent to; None keeps it on this machine.
    """

    def __init__(self, name: str, version: str | None, project: str, space_id: str | None) -> None:
        super().__init__()
        self.project, self.space_id, self.is_resumed = project, space_id, version is not None
        # Trackio finds a run that goes on by its name alone
        self._version = version or f"{name} {secrets.token_hex(3)}"
        self.config: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """Returns the project, as all of Lightning's loggers do."""
        return self.project

    @property
    def version(self) -> str:
        """Returns the name under which Trackio has the run."""
        return self._version

    @cached_property
    def experiment(self) -> Any:
        """Begins the run in Trackio, or goes on with it."""
        import trackio

        with contextlib.redirect_stdout(io.StringIO()):
            return trackio.init(
                self.project,
                self._version,
                space_id=self.space_id,
                config=self.config,
                resume="allow" if self.is_resumed else "never",  # it may have been killed before the first point
                embed=False,
            )

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        """Keeps the configuration for the run's beginning."""
        self.config = dict(params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Sends the metrics of a step."""
        self.experiment.log(dict(metrics), step)

    def log_image(self, name: str, dots: NDArray[np.uint8], step: int) -> None:
        """Sends a figure, [H, W, 3]."""
        import trackio

        self.experiment.log({name: trackio.Image(dots)}, step)

    def finish(self, *, failed: bool) -> None:
        """Writes what is still on its way. Trackio has no field for a run that failed, but it shows alerts."""
        import trackio

        with contextlib.redirect_stdout(io.StringIO()):
            run = self.experiment
            if failed:
                run.alert("failed", level=trackio.AlertLevel.ERROR)
            # not only the run: Trackio would end it again when the process exits, and print so
            trackio.finish()  # type: ignore[no-untyped-call]
