"""The records of a stack: each copy's folder as a single run leaves it, without what a thousand runs cannot wait for.

The commit, versions and TensorBoard's graph are found once. Files are flushed to the disk together, and only then come
the states that say how runs ended. Until then a run may be resumed by itself once its `last.ckpt` is there, which
comes after all that such a run needs.
"""

import functools
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fulmen.experiment.load import check_round_trip, metadata
from fulmen.experiment.run import check_final
from fulmen.figures.context import RunContext
from fulmen.figures.options import FigureOptions
from fulmen.models.dry_run import parameter_count
from fulmen.runs import recording
from fulmen.runs.checkpoints import save
from fulmen.runs.files import flush_all, write_json, write_text
from fulmen.runs.folder import BEST, LAST, UNFINISHED, WORKED_IN, load_status, yaml_text
from fulmen.runs.history import StackedHistory, measured, text_of
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.predictor import Predictor
from fulmen.training import optimizers
from fulmen.training.callbacks.checkpointing import resumable
from fulmen.training.optimizers import MakeOptimizer
from fulmen.training.stack.events import Events
from fulmen.training.stack.fit import Copy, Fit
from fulmen.training.trainer import build

if TYPE_CHECKING:
    from fulmen.experiment.stacked import PreparedStack


class Records:
    """The records of the copies of a stack, which resumes at step `resumed`, if it does."""

    def __init__(self, stack: "PreparedStack", history: StackedHistory, resumed: int | None) -> None:
        self.stack, self.history = stack, history
        prepared, first = stack.prepared, stack.prepared.experiment
        self.parameters, self.optimizer_state = parameter_count(prepared.evaluation.net), _OptimizerStates(stack.fit)
        self.began, self.random = datetime.now(UTC), torch.get_rng_state()
        self.before = [load_status(session.folder) for session in stack.sessions]
        """The statuses of copies that had begun already."""
        self.statuses: dict[int, dict[str, Any]] = {}
        """The statuses of copies, except for those whose record was complete before the stack was stopped."""
        surroundings = recording.environment()
        about = {"device": str(stack.fit.stack.device), "stacked": len(stack.sessions)}
        for copy, (session, before) in enumerate(zip(stack.sessions, self.before, strict=True)):
            if before.get("state", WORKED_IN) in UNFINISHED:
                seed, fingerprint = stack.experiments[copy].recipe.seed, stack.fingerprints[stack.which[copy]]
                own = {"seed": seed, "threads": stack.threads, "fingerprint": fingerprint}
                facts = {**session.facts, **own, **surroundings, **about}
                self.statuses[copy] = recording.opening(before, facts, resumed if before else None)
        self.events = Events(first.logger, prepared.evaluation.net, prepared.data.spec.in_shape, prepared.columns)
        trust, folder = stack.sessions[0].trust, stack.sessions[0].folder
        self.trainer = build(
            first.trainer, "cpu", score=first.score, loggers=[], callbacks=[], trust=trust, folder=folder
        )

    def open(self) -> None:
        """Says in each folder that its run is running, and with which configuration, where it is not as planned."""
        sessions = [self.stack.sessions[copy] for copy in self.statuses]
        if sessions and not recording.has(sessions[-1].folder, sessions[-1].config):  # nor have others; it comes last
            for session in sessions:
                write_text(session.folder / "config.yaml", yaml_text(session.config))
        self._write_statuses()

    def fail(self, error: BaseException) -> None:
        """Says in each folder that is not complete why its run ended."""
        why = recording.failure(error)
        for copy, status in self.statuses.items():
            status |= why | recording.ending(self.before[copy], self.began)
            with suppress(OSError):  # why it ended matters more
                write_json(self.stack.sessions[copy].folder / "status.json", status, flush=False)

    def _write_statuses(self) -> None:
        for copy, status in self.statuses.items():
            write_json(self.stack.sessions[copy].folder / "status.json", status, flush=False)

    def fail_one(self, copy: int, error: Exception) -> None:
        """Notes for `close` why the record of one run could not be written."""
        self.statuses[copy] |= recording.failure(error) | recording.ending(self.before[copy], self.began)

    def write(self, copy: int, metrics: dict[str, Any], weights: Tensor, buffers: Mapping[str, Tensor]) -> None:
        """Writes all that the folder of a copy holds but for the state, which `close` writes.

        The metrics are those of the weights, [n], and buffers that are evaluated.
        """
        if copy not in self.statuses:
            return
        stack, prepared, fit, status = self.stack, self.stack.prepared, self.stack.fit, self.statuses[copy]
        experiment, session, data = stack.experiments[copy], stack.sessions[copy], stack.data[stack.which[copy]]
        folder, copied = session.folder, fit.copy(copy)

        @functools.cache
        def evaluation() -> Evaluation:  # a network is made only where it is needed, since that takes a while
            net = fit.stack.network(copy, weights, buffers)
            return replace(prepared.evaluation, net=net, task=stack.tasks[stack.which[copy]])

        rows = self.history.rows(copy, copied.step)
        write_text(folder / "history.csv", text_of(rows, fit.columns), flush=False)
        self._checkpoints(copy, copied)
        status |= {"steps": copied.step, "compiled": fit.compiled is not None and not fit.compiled.given_up}
        pictures: dict[str, bytes] = {}
        error = fit.ends.get(copy)
        if error is None:
            try:
                check_final(metrics, prepared.experiment.score, copied.step, data, evaluation)
            except (ArithmeticError, ValueError) as final:
                error = final
        if error is None:
            status["stopped_early"] = copied.step < prepared.plan.total_steps
            metrics = metrics | {"parameters": self.parameters}
            if experiment.baseline is not None:
                split, task = data.splits["train"], evaluation().task
                baseline = experiment.baseline(evaluation().net, task, split, experiment.recipe, prepared.amounts)
                metrics |= {} if baseline is None else baseline.metrics(data.splits)
            write_json(folder / "metrics.json", metrics, flush=False)
            if copy == 0 or experiment.baseline is not None or experiment.figures != FigureOptions():
                predictor = Predictor(evaluation(), data.spec, data.scaling, experiment.source.encode)
                history = [(int(row["step"]), measured(row)) for row in rows]
                groups = data.source.feature_groups
                context = RunContext(predictor, data.splits, metrics, history, feature_groups=groups)
                missing = experiment.figures.draw(context, folder / "figures", [], copied.step)
                status |= {"missing_figures": missing} if missing else {}
                pictures = {path.stem: path.read_bytes() for path in sorted((folder / "figures").glob("*.png"))}
                if copy == 0:  # the others have the same code
                    split = data.splits.get("val", data.splits["train"])
                    check_round_trip(
                        folder, experiment.weights, experiment.model, predictor, split, trust=session.trust
                    )
            status["state"] = "completed"
        else:
            status |= recording.failure(error)
        batch_rows, metrics = prepared.batch_size, {} if error else metrics
        keys = session.hyperparameters
        self.events.write(folder, session.name, session.config, keys, batch_rows, rows, metrics, pictures)
        status |= recording.ending(self.before[copy], self.began)

    def _checkpoints(self, copy: int, copied: Copy) -> None:
        """Writes `best.ckpt`, and then `last.ckpt`, from which a run by itself resumes."""
        stack, fit, session, which = self.stack, self.stack.fit, self.stack.sessions[copy], self.stack.which[copy]
        experiment, scaling = stack.experiments[copy], stack.data[which].scaling
        folder = session.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        about = metadata(session.config, experiment.source, scaling, stack.fingerprints[which], stack.threads)

        def of_learner(weights: Tensor, buffers: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {f"net.{name}": value for name, value in fit.stack.state_of(copy, weights, buffers).items()}

        if fit.best_weights is not None and fit.best_step[copy]:
            buffers = {name: values[copy] for name, values in fit.best_buffers.items()}
            best = {
                "state_dict": of_learner(fit.best_weights[copy], buffers),
                "score": float(fit.best_score[copy]),
                "global_step": int(fit.best_step[copy]),
                "metadata": about,
            }
            save(best, folder / BEST, flush=False)
        if copied.step and copied.weights.isfinite().all():
            entries = {
                "state_dict": of_learner(copied.weights, copied.buffers),
                "optimizer_states": [self.optimizer_state(experiment.recipe.optimizer, copy, copied)],
                "lr_schedulers": [] if copied.schedule is None else [copied.schedule],
                "metadata": about,
                "interval": {"losses": None, "rows": torch.tensor([])},
                "random": self.random,
            }
            stopping = {"wait_count": int(fit.waited[copy]), "best_score": torch.tensor(float(fit.best_score[copy]))}
            last = resumable(self.trainer, stack.prepared.plan, copied.step, entries, stopping)
            save(last, folder / LAST, flush=False)

    def close(self) -> None:
        """Makes all files outlast a power failure, and then says in each folder how its run ended."""
        folders = [self.stack.sessions[copy].folder for copy in self.statuses]
        flush_all(path for folder in folders for path in folder.rglob("*"))
        self._write_statuses()
        flush_all(folder / name for folder in folders for name in ("status.json", ""))


class _OptimizerStates:
    """States of the copies' optimizers, as single runs have them: for each parameter its own."""

    def __init__(self, fit: Fit) -> None:
        self.fit, self.parameters = fit, [*fit.stack.evaluation.net.parameters()]
        self.trained = [index for index, each in enumerate(self.parameters) if each.requires_grad]
        self.groups: dict[int, dict[str, Any]] = {}
        """Settings of an optimizer, by the function that makes it; making one takes as long as writing a checkpoint."""

    def __call__(self, make: MakeOptimizer, copy: int, copied: Copy) -> dict[str, Any]:
        if id(make) not in self.groups:
            self.groups[id(make)] = optimizers.make(make, self.parameters).state_dict()["param_groups"][0]
        group = dict(self.groups[id(make)])
        if copied.schedule is not None:  # which keeps settings of its own beside those of the optimizer
            group = self.fit.rates.group(copy) | group | self.fit.rates.cycled | {"lr": copied.rate}
        shapes = self.fit.stack.shapes
        pieces = {
            name: torch.split(values, [shape.numel() for shape in shapes]) if values.ndim else [values] * len(shapes)
            for name, values in copied.states.items()
        }
        states = {}
        for index, (place, shape) in enumerate(zip(self.trained, shapes, strict=True)):
            own = {name: values[index] for name, values in pieces.items()}
            states[place] = {name: (v.view(shape) if v.ndim else v).clone() for name, v in own.items()}
        return {"state": states if pieces else {}, "param_groups": [group]}
