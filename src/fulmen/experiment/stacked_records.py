"""The records of a stack: each copy's folder as a single run leaves it, without what a thousand runs cannot wait for.

The commit, versions and TensorBoard's graph are found once. Files are flushed to the disk together, and only then come
the states that say how runs ended. Until then a run may be resumed by itself once its `last.ckpt` is there, which
comes after all that such a run needs.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fulmen.experiment.experiment import Experiment, Session
from fulmen.experiment.load import check_round_trip, metadata
from fulmen.experiment.prepare import Prepared
from fulmen.experiment.run import check_final
from fulmen.figures.context import RunContext
from fulmen.figures.options import FigureOptions
from fulmen.models.dry_run import parameter_count
from fulmen.runs import recording
from fulmen.runs.files import flush_all, replacing, write_json, write_text
from fulmen.runs.folder import BEST, LAST, UNFINISHED, WORKED_IN, load_status, yaml_text
from fulmen.runs.history import StackedHistory, measured, text_of
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.predictor import Predictor
from fulmen.training import loggers, optimizers
from fulmen.training.callbacks.checkpointing import resumable
from fulmen.training.optimizers import MakeOptimizer
from fulmen.training.packs import DataModule
from fulmen.training.stack.events import Events
from fulmen.training.stack.fit import Copy, Fit
from fulmen.training.trainer import build


class Records:
    """The records of the copies of a stack.

    Args:
        prepared: the first run, prepared.
        fit: that trains the copies.
        experiments: of every copy.
        sessions: of every copy, with its folder.
        fingerprints: of the training rows of every copy.
        threads: of the CPU.
        device: that they train on.
        history: the rows of all copies.
        resumed: the step at which the stack resumes, or None.
    """

    def __init__(
        self,
        prepared: Prepared,
        fit: Fit,
        experiments: Sequence[Experiment],
        sessions: Sequence[Session],
        fingerprints: Sequence[str],
        *,
        threads: int,
        device: torch.device,
        history: StackedHistory,
        resumed: int | None,
    ) -> None:
        self.prepared, self.experiments, self.sessions, self.history = prepared, experiments, sessions, history
        self.fingerprints, self.threads, self.fit = fingerprints, threads, fit
        self.parameters, self.optimizer_state = parameter_count(prepared.evaluation.net), _OptimizerStates(fit)
        self.began = datetime.now(UTC)
        self.before = [load_status(session.folder) for session in sessions]
        """The statuses of copies that had begun already; one that has ended is left as it is."""
        self.over = {
            copy for copy, before in enumerate(self.before) if before.get("state", WORKED_IN) not in UNFINISHED
        }
        """Copies whose record was complete before the stack was stopped."""
        surroundings = recording.environment()
        self.statuses = []
        for session, experiment, fingerprint, before in zip(
            sessions, experiments, fingerprints, self.before, strict=True
        ):
            own = {"seed": experiment.recipe.seed, "threads": threads, "fingerprint": fingerprint}
            about = {"device": str(device), "stacked": len(sessions)}
            facts = {**session.facts, **own, **surroundings, **about}
            self.statuses.append(recording.opening(before, facts, resumed if before else None))
        first, self.random = prepared.experiment, torch.get_rng_state()
        self.events = Events(first.logger, prepared.evaluation.net, prepared.data.spec.in_shape, prepared.columns)
        self.trainer = build(first.trainer, "cpu", score=first.score, loggers=[], callbacks=[], trust=sessions[0].trust)

    def open(self) -> None:
        """Says in each folder that its run is running, and with which configuration, where it is not as planned."""
        sessions = [self.sessions[copy] for copy in self._open_copies()]
        if sessions and not recording.has(sessions[-1].folder, sessions[-1].config):  # nor have others; it comes last
            for session in sessions:
                write_text(session.folder / "config.yaml", yaml_text(session.config))
        for folder, status in self._open():
            write_json(folder / "status.json", status, flush=False)

    def _open(self) -> list[tuple[Path, dict[str, Any]]]:
        """Returns folders and statuses of the copies whose record is not complete."""
        return [(self.sessions[copy].folder, self.statuses[copy]) for copy in self._open_copies()]

    def _open_copies(self) -> list[int]:
        return [copy for copy in range(len(self.sessions)) if copy not in self.over]

    def fail(self, error: BaseException) -> None:
        """Says in each folder that is not complete why its run ended."""
        why = recording.failure(error)
        for copy in self._open_copies():
            ending, folder = recording.ending(self.before[copy], self.began), self.sessions[copy].folder
            with suppress(OSError):  # why it ended matters more
                write_json(folder / "status.json", self.statuses[copy] | why | ending, flush=False)

    def fail_one(self, copy: int, error: Exception) -> None:
        """Notes for `close` why the record of one run could not be written."""
        self.statuses[copy] |= recording.failure(error) | recording.ending(self.before[copy], self.began)

    def write(
        self, copy: int, metrics: dict[str, Any], make_evaluation: Callable[[], Evaluation], data: DataModule
    ) -> None:
        """Writes all that a run's folder holds but for the state, which `close` writes.

        Args:
            copy: its number in the stack.
            metrics: of the splits, with the weights that are evaluated.
            make_evaluation: makes the network with those weights, on the CPU; it takes a while and is rarely needed.
            data: what it was trained on.
        """
        if copy in self.over:
            return
        experiment, session, status = self.experiments[copy], self.sessions[copy], self.statuses[copy]
        folder, plan, fit, copied = session.folder, self.prepared.plan, self.fit, self.fit.copy(copy)
        rows = self.history.rows(copy, copied.step)
        write_text(folder / "history.csv", text_of(rows, fit.columns), flush=False)
        self._checkpoints(copy, copied, data)
        status |= {"steps": copied.step, "compiled": fit.compiled is not None and not fit.compiled.given_up}
        pictures: dict[str, bytes] = {}
        error = fit.ends.get(copy)
        if error is None:
            error = self._final_error(metrics, copied.step, make_evaluation, data)
        if error is None:
            status["stopped_early"] = copied.step < plan.total_steps
            metrics = metrics | {"parameters": self.parameters}
            evaluation = make_evaluation() if self._needs_network(copy) else None
            if evaluation is not None:
                metrics |= self._baseline(experiment, evaluation, data)
            write_json(folder / "metrics.json", metrics, flush=False)
            if evaluation is not None:
                predictor = Predictor(evaluation, data.spec, data.scaling, experiment.source.encode)
                history = [(int(row["step"]), measured(row)) for row in rows]
                context = RunContext(predictor, data.splits, metrics, history)
                missing = experiment.figures.draw(context, None, folder / "figures", [], copied.step)
                status |= {"missing_figures": missing} if missing else {}
                pictures = {path.stem: path.read_bytes() for path in sorted((folder / "figures").glob("*.png"))}
            if copy == 0 and evaluation is not None:  # the others have the same code
                split = data.splits.get("val", data.splits["train"])
                check_round_trip(folder, experiment.weights, experiment.model, predictor, split, trust=session.trust)
            status["state"] = "completed"
        else:
            status |= recording.failure(error)
        shown = loggers.hyperparameters(session.config, self.prepared.batch_size)
        self.events.write(folder, session.name, shown, rows, {} if error else metrics, pictures)
        status |= recording.ending(self.before[copy], self.began)

    def _needs_network(self, copy: int) -> bool:
        """Returns whether a copy is needed as a network: for figures, for a baseline, and the first for a check."""
        experiment = self.experiments[copy]
        return copy == 0 or experiment.baseline is not None or experiment.figures != FigureOptions()

    def _final_error(
        self, metrics: dict[str, Any], step: int, make_evaluation: Callable[[], Evaluation], data: DataModule
    ) -> Exception | None:
        """Returns the error of a copy whose losses or score are not finite."""
        score = self.prepared.experiment.score
        if all(math.isfinite(value) for value in [metrics.get(score, math.nan), *_numbers(metrics)]):
            return None
        try:
            check_final(metrics, score, step, data, make_evaluation())
        except (ArithmeticError, ValueError) as error:
            return error
        return None

    def _baseline(self, experiment: Experiment, evaluation: Evaluation, data: DataModule) -> dict[str, Any]:
        """Measures scikit-learn's equivalent, if the experiment asks for it."""
        if experiment.baseline is None:
            return {}
        split, recipe = data.splits["train"], experiment.recipe
        found = experiment.baseline(evaluation.net, evaluation.task, split, recipe, self.prepared.amounts)
        return {} if found is None else found.metrics(data.splits)

    def _checkpoints(self, copy: int, copied: Copy, data: DataModule) -> None:
        """Writes `best.ckpt`, and then `last.ckpt`, from which a run by itself resumes."""
        session, fit, experiment = self.sessions[copy], self.fit, self.experiments[copy]
        stack = fit.stack
        folder = session.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        about = metadata(session.config, experiment.source, data.scaling, self.fingerprints[copy], self.threads)
        entries = {
            "state_dict": _prefixed(stack.state_of(copy, copied.weights, copied.buffers)),
            "optimizer_states": [self.optimizer_state(experiment.recipe.optimizer, copy, copied)],
            "lr_schedulers": [] if copied.schedule is None else [copied.schedule],
            "metadata": about,
            "interval": {"losses": None, "rows": torch.tensor([])},
            "random": self.random,
        }
        stopping = {"wait_count": int(fit.waited[copy]), "best_score": torch.tensor(float(fit.best_watched[copy]))}
        if fit.best_weights is not None and fit.best_step[copy]:
            buffers = {name: values[copy] for name, values in fit.best_buffers.items()}
            best = {
                "state_dict": _prefixed(stack.state_of(copy, fit.best_weights[copy], buffers)),
                "score": float(fit.best_score[copy]),
                "global_step": int(fit.best_step[copy]),
                "metadata": about,
            }
            _save(best, folder / BEST)
        if copied.step and copied.weights.isfinite().all():
            _save(resumable(self.trainer, self.prepared.plan, copied.step, entries, stopping), folder / LAST)

    def close(self) -> None:
        """Makes all files outlast a power failure, and then says in each folder how its run ended."""
        flush_all(path for folder, _ in self._open() for path in folder.rglob("*"))
        for folder, status in self._open():
            write_json(folder / "status.json", status, flush=False)
        flush_all(folder / name for folder, _ in self._open() for name in ("status.json", ""))


class _OptimizerStates:
    """States of the copies' optimizers, as single runs have them: for each parameter its own.

    Args:
        fit: that trained the copies.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit, self.parameters = fit, [*fit.stack.evaluation.net.parameters()]
        self.trained = [index for index, each in enumerate(self.parameters) if each.requires_grad]
        self.groups: dict[int, dict[str, Any]] = {}
        """Settings of an optimizer, by the function that makes it; making one takes as long as writing a checkpoint."""

    def __call__(self, make: MakeOptimizer, copy: int, copied: Copy) -> dict[str, Any]:
        """Returns the state of a copy's optimizer."""
        if id(make) not in self.groups:
            self.groups[id(make)] = optimizers.make(make, self.parameters).state_dict()["param_groups"][0]
        group = dict(self.groups[id(make)])
        if copied.schedule is not None:  # which keeps settings of its own beside those of the optimizer
            of_schedule = self.fit.rates.group(copy)
            group |= {name: value for name, value in of_schedule.items() if name not in group}
            group |= {**self.fit.rates.cycled, "lr": copied.rate}
        shapes = self.fit.stack.shapes
        sizes = [shape.numel() for shape in shapes]
        pieces = {
            name: [values] * len(shapes) if values.ndim == 0 else torch.split(values, sizes)
            for name, values in copied.states.items()
        }
        states = {}
        for index, (place, shape) in enumerate(zip(self.trained, shapes, strict=True)):
            own = {name: values[index] for name, values in pieces.items()}
            states[place] = {name: (v.view(shape) if v.ndim else v).clone() for name, v in own.items()}
        return {"state": states if pieces else {}, "param_groups": [group]}


def _save(content: Mapping[str, Any], path: Path) -> None:
    with replacing(path, flush=False) as file:
        torch.save(content, file)


def _numbers(metrics: Mapping[str, Any]) -> list[float]:
    return [value for value in metrics.values() if isinstance(value, float)]


def _prefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a network's state under the names that it has in a learner."""
    return {f"net.{name}": value for name, value in state.items()}
