"""The records of a stack: each copy's folder as a single run leaves it, without what a thousand runs cannot wait for.

The commit, versions and TensorBoard's graph are found once. Files are written one after the other, then flushed to the
disk together, and only then the states that say so.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor, nn

from fulmen.experiment.experiment import Experiment, Session
from fulmen.experiment.load import check_round_trip, metadata
from fulmen.experiment.prepare import Prepared
from fulmen.experiment.run import check_final
from fulmen.figures.context import RunContext
from fulmen.models.dry_run import parameter_count
from fulmen.runs import checkpoints, recording
from fulmen.runs.files import flush_all, write_json, write_text
from fulmen.runs.folder import BEST, LAST, load_status
from fulmen.runs.history import StackedHistory, measured, text_of
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.predictor import Predictor
from fulmen.training import loggers, optimizers
from fulmen.training.callbacks.checkpointing import resumable
from fulmen.training.packs import DataModule
from fulmen.training.stack.events import Events
from fulmen.training.stack.fit import Copy, Fit
from fulmen.training.trainer import build


class Records:
    """The records of the copies of a stack.

    Args:
        prepared: the first run, prepared.
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
        self.fingerprints, self.threads = fingerprints, threads
        self.began = datetime.now(UTC)
        self.before = [load_status(session.folder) for session in sessions]
        """The statuses of copies that had begun already; one that has ended is left as it is."""
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
        """Says in each folder that its run is running."""
        for session, status in zip(self.sessions, self.statuses, strict=True):
            write_json(session.folder / "status.json", status, flush=False)

    def fail(self, error: BaseException) -> None:
        """Says in each folder that is not complete why its run ended."""
        for session, status, before in zip(self.sessions, self.statuses, self.before, strict=True):
            if status["state"] == "running":
                ended = status | recording.failure(error) | recording.ending(before, self.began)
                with suppress(OSError):  # why it ended matters more
                    write_json(session.folder / "status.json", ended, flush=False)

    def write(
        self,
        copy: int,
        fit: Fit,
        copied: Copy,
        metrics: dict[str, Any],
        evaluation: Evaluation,
        data: DataModule,
    ) -> None:
        """Writes all that a run's folder holds but for the state, which `close` writes.

        Args:
            copy: its number in the stack.
            fit: that trained it.
            copied: its numbers at its end.
            metrics: of the splits, with the weights that are evaluated.
            evaluation: the network with those weights, on the CPU.
            data: what it was trained on.
        """
        experiment, session, status = self.experiments[copy], self.sessions[copy], self.statuses[copy]
        folder, plan = session.folder, self.prepared.plan
        rows = self.history.rows(copy, copied.step)
        write_text(folder / "history.csv", text_of(rows, fit.columns), flush=False)
        self._checkpoints(copy, fit, copied, data)
        status |= {"steps": copied.step, "compiled": fit.compiled is not None and not fit.compiled.given_up}
        pictures: dict[str, bytes] = {}
        error = fit.ends.get(copy)
        if error is None:
            try:
                check_final(metrics, experiment.score, copied.step, data, evaluation)
            except (ArithmeticError, ValueError) as found:
                error = found
        if error is None:
            status["stopped_early"] = copied.step < plan.total_steps
            metrics = metrics | {"parameters": parameter_count(evaluation.net)} | self._baseline(copy, evaluation, data)
            write_json(folder / "metrics.json", metrics, flush=False)
            predictor = Predictor(evaluation, data.spec, data.scaling, experiment.source.encode)
            history = [(int(row["step"]), measured(row)) for row in rows]
            context = RunContext(predictor, data.splits, metrics, history)
            missing = experiment.figures.draw(context, None, folder / "figures", [], copied.step)
            status |= {"missing_figures": missing} if missing else {}
            pictures = {path.stem: path.read_bytes() for path in sorted((folder / "figures").glob("*.png"))}
            if copy == 0:  # the others have the same code
                split = data.splits.get("val", data.splits["train"])
                check_round_trip(folder, experiment.weights, experiment.model, predictor, split, trust=session.trust)
            status["state"] = "completed"
        else:
            status |= recording.failure(error)
        shown = loggers.hyperparameters(session.config, self.prepared.batch_size)
        self.events.write(folder, session.name, shown, rows, {} if error else metrics, pictures)
        status |= recording.ending(self.before[copy], self.began)

    def _baseline(self, copy: int, evaluation: Evaluation, data: DataModule) -> dict[str, Any]:
        """Measures scikit-learn's equivalent, if the experiment asks for it."""
        experiment = self.experiments[copy]
        if experiment.baseline is None:
            return {}
        split, recipe = data.splits["train"], experiment.recipe
        found = experiment.baseline(evaluation.net, evaluation.task, split, recipe, self.prepared.amounts)
        return {} if found is None else found.metrics(data.splits)

    def _checkpoints(self, copy: int, fit: Fit, copied: Copy, data: DataModule) -> None:
        """Writes `last.ckpt`, from which a single run can go on, and `best.ckpt`."""
        session, stack, experiment = self.sessions[copy], fit.stack, self.experiments[copy]
        folder = session.folder / "checkpoints"
        folder.mkdir(exist_ok=True)
        about = metadata(session.config, experiment.source, data.scaling, self.fingerprints[copy], self.threads)
        net = stack.network(copy, copied.weights, copied.buffers)
        entries = {
            "state_dict": _prefixed(net.state_dict()),
            "optimizer_states": [_optimizer_state(experiment, net, fit, copy, copied)],
            "lr_schedulers": [] if copied.schedule is None else [copied.schedule],
            "metadata": about,
            "interval": {"losses": None, "rows": torch.tensor([])},
            "random": self.random,
        }
        stopping = {"wait_count": int(fit.waited[copy]), "best_score": torch.tensor(float(fit.best_watched[copy]))}
        if copied.step and copied.weights.isfinite().all():
            last = resumable(self.trainer, self.prepared.plan, copied.step, entries, stopping)
            checkpoints.save(last, folder / LAST, flush=False)
        if fit.best_weights is not None and fit.best_step[copy]:
            buffers = {name: values[copy] for name, values in fit.best_buffers.items()}
            best = {
                "state_dict": _prefixed(stack.network(copy, fit.best_weights[copy], buffers).state_dict()),
                "score": float(fit.best_score[copy]),
                "global_step": int(fit.best_step[copy]),
                "metadata": about,
            }
            checkpoints.save(best, folder / BEST, flush=False)

    def close(self) -> None:
        """Makes all files outlast a power failure, and then says in each folder how its run ended."""
        folders = [session.folder for session in self.sessions]
        flush_all(path for folder in folders for path in folder.rglob("*"))
        for folder, status in zip(folders, self.statuses, strict=True):
            write_json(folder / "status.json", status, flush=False)
        flush_all(folder / name for folder in folders for name in ("status.json", ""))


def _optimizer_state(experiment: Experiment, net: nn.Module, fit: Fit, copy: int, copied: Copy) -> dict[str, Any]:
    """Returns the state of a copy's optimizer as that of a single run has it: for each parameter its own."""
    parameters = [*net.parameters()]
    optimizer = optimizers.make(experiment.recipe.optimizer, parameters)
    group = optimizer.param_groups[0]
    if copied.schedule is not None:  # which keeps settings of its own beside those of the optimizer
        of_schedule = fit.rates.group(copy)
        group |= {name: value for name, value in of_schedule.items() if name not in group} | fit.rates.cycled
        group["lr"] = copied.rate
    state = optimizer.state_dict()
    shapes = fit.stack.shapes
    pieces = {
        name: [values] * len(shapes) if values.ndim == 0 else torch.split(values, [shape.numel() for shape in shapes])
        for name, values in copied.states.items()
    }
    trained = [index for index, parameter in enumerate(parameters) if parameter.requires_grad]
    for index, (place, shape) in enumerate(zip(trained, shapes, strict=True)):
        own = {name: values[index] for name, values in pieces.items()}
        state["state"] |= {
            # a count of steps of its own for each, else every one would count the steps of all
            place: {name: (value.view(shape) if value.ndim else value).clone() for name, value in own.items()}
        }
    return state


def _prefixed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a network's state under the names that it has in a learner."""
    return {f"net.{name}": value for name, value in state.items()}
