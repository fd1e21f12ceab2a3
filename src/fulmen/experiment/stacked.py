"""The straight line for many experiments that train as one: prepare, claim, record, fit, evaluate, publish.

They differ in seed, rate, decay, penalty, initializer, dropout's share and the draw of their data. Each has its own
folder with the record of a single run, written when the last one ends; until then two files hold what a resumed stack
needs: a checkpoint of all copies, and their rows of the history.
"""

import math
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fulmen.data.tensors import Batch, fingerprint
from fulmen.errors import CheckpointError, Diverged, Impossible, one_line, warn
from fulmen.experiment import importing
from fulmen.experiment.experiment import Experiment, Session
from fulmen.experiment.prepare import Prepared, check_measurable, prepare, warn_before
from fulmen.experiment.run import host_unchanged
from fulmen.experiment.stacked_records import Records
from fulmen.models import dry_run
from fulmen.models.initializers import new_network
from fulmen.models.precision import converted
from fulmen.runs import checkpoints, recording
from fulmen.runs.files import write_json
from fulmen.runs.history import StackedHistory
from fulmen.runs.signals import Stop, deferred, raising
from fulmen.tasks import losses
from fulmen.tasks.evaluation import entries
from fulmen.tasks.predictor import task_of
from fulmen.tasks.task import Task
from fulmen.training import accelerators, compile
from fulmen.training.callbacks.checkpointing import SECONDS, SHARE
from fulmen.training.packs import DataModule
from fulmen.training.stack import networks
from fulmen.training.stack.checks import check
from fulmen.training.stack.compiled import saving
from fulmen.training.stack.fit import Fit
from fulmen.training.stack.networks import Stack
from fulmen.training.stack.rates import Rates
from fulmen.training.stack.rows import StackedRows
from fulmen.training.trainer import find_threads


@dataclass(frozen=True)
class PreparedStack:
    """Experiments that can train as one, with their data loaded and their networks initialized."""

    experiments: Sequence[Experiment]
    sessions: Sequence[Session]
    prepared: Prepared
    """The first of them, prepared as a single run."""
    data: list[DataModule]
    """The different data sets."""
    which: list[int]
    """The data set of each experiment."""
    tasks: list[Task]
    """Of the data sets, whose targets may be in other units."""
    fingerprints: list[str]
    """Of the data sets."""
    fit: Fit
    threads: int


def train(
    experiments: Sequence[Experiment], sessions: Sequence[Session], place: Path, most: int | None, at_once: int = 1
) -> None:
    """Trains experiments as one and records each in its folder.

    Args:
        experiments: they differ only in what the copies of a stack may differ in.
        sessions: of each, with its folder, which is there.
        place: the folder of what a stack that was stopped resumes from.
        most: how many train at once; 0 for as many as fit into memory, None for all.
        at_once: how many stacks share the memory.

    Raises:
        Impossible: they cannot train as one, or one of them cannot train; of those that are left nothing is written.
        Interrupted: a signal stopped the stack; it saves a checkpoint first.
    """
    size = len(experiments)
    start = 0
    try:
        while start < len(experiments):
            with host_unchanged():
                try:  # what is wrong may be so in one of them alone, which is named when it trains by itself
                    prepared = prepare(experiments[start], sessions[start].threads)
                    if start == 0 and most is not None:
                        size = most or fitting(prepared, experiments, sessions, at_once)
                    some, of_those = experiments[start : start + size], sessions[start : start + size]
                    stack = prepare_stack(prepared, some, of_those)
                except Impossible:
                    raise
                except Exception as error:  # whatever a network's code may raise
                    raise Impossible(one_line(error)) from error
                file = place / f"{of_those[0].folder.name}.ckpt"
                warn_before(stack.prepared, resumes=file.exists())
                place.mkdir(exist_ok=True)
                with (
                    raising(),
                    recording.claim_all([session.folder for session in of_those], file.with_suffix(".lock")),
                ):
                    write_json(file.with_suffix(".json"), {"jobs": [session.folder.name for session in of_those]})
                    _train(stack, file)
            start += size
    finally:
        with suppress(OSError):  # other stacks may still need it, or this one when it is resumed
            place.rmdir()


def fitting(
    prepared: Prepared, experiments: Sequence[Experiment], sessions: Sequence[Session], at_once: int = 1
) -> int:
    """Returns how many copies fit into half of the memory that is free; the rest is for what nobody thought of.

    Stacks that train at once share the memory; where each has a GPU of its own, it takes less than it could.
    """
    net, shape = prepared.evaluation.net, prepared.data.spec.in_shape
    rows = min(prepared.batch_size, prepared.plan.rows)
    numbers = sum(value.numel() for value in net.parameters())
    free = accelerators.free_memory(accelerators.device(prepared.accelerator)) // (2 * at_once)
    if len(experiments) * 8 * (WEIGHT_COPIES * numbers + LAYERS * rows * dry_run.widest(net, shape)) < free // 4:
        return len(experiments)
    stack = prepare_stack(prepared, experiments[:2], sessions[:2]).fit
    (x, y), _ = stack.rows.pack(0, 1)
    return max(1, min(len(experiments), free // stack.stack.bytes_of_a_copy(Batch(x, y))))


WEIGHT_COPIES, LAYERS = 10, 30
"""Tensors as large as the weights, and as a layer's output, that a small network takes at most."""


def _train(stack: PreparedStack, place: Path) -> None:
    fit, plan = stack.fit, stack.prepared.plan
    resumed = _resume(stack, place)
    whole = math.ceil if fit.number == plan.total_steps else math.floor
    intervals = whole(fit.number / plan.steps_per_interval)
    history = StackedHistory(place.with_suffix(".rows"), fit.columns, fit.copies, intervals)
    records = Records(stack, history, resumed)
    records.open()
    torch.set_num_threads(stack.threads)
    try:
        with deferred() as stop:
            saver, progress = _Saver(stack, place, history, stop), _Progress(stack)

            def row(step: int, rows: NDArray[np.float64]) -> None:
                history.add(step, step / plan.steps_per_epoch, rows)
                progress(step)

            fit.run(row, saver)
            fit.check_finite()
        stop.raise_if_noted()
        _publish(stack, records)
    except BaseException as error:
        records.fail(error)
        raise
    finally:
        history.file.close()
    for path in (place.with_suffix(".json"), place, history.path):
        path.unlink(missing_ok=True)


def prepare_stack(prepared: Prepared, experiments: Sequence[Experiment], sessions: Sequence[Session]) -> PreparedStack:
    """Loads further data, initializes the networks and stacks them; writes nothing.

    Raises:
        Impossible: they cannot train as one.
        ValueError: parts do not fit each other or the machine, or the data cannot be loaded.
    """
    first = experiments[0]
    plan, recipe, options, spec = prepared.plan, first.recipe, first.trainer, first.source.spec
    optimizer = recipe.optimizer([torch.zeros(1, requires_grad=True)])
    why = networks.obstacle(recipe, optimizer)
    if options.precision not in ("32-true", "64-true"):
        why = why or f"trainer.precision={options.precision} is not stacked; 32-true and 64-true are"
    if first.source.streams:
        why = why or "the rows stay in their files"
    if why is not None:
        raise Impossible(why)
    data, places = [prepared.data], {id(first.source): 0}
    for experiment in experiments:
        if id(experiment.source) not in places:
            places[id(experiment.source)] = len(data)
            data.append(_load(experiment, prepared))
    which = [places[id(experiment.source)] for experiment in experiments]
    nets = [
        converted(
            new_network(each.model, spec.in_shape, spec.out_features, options.precision, each.recipe.seed, each.init),
            options.precision,
        )
        for each in experiments
    ]
    device = accelerators.device(prepared.accelerator)
    stack = Stack(
        prepared.evaluation,
        spec.in_shape,
        nets,
        [experiment.recipe for experiment in experiments],
        gradient_clip=options.gradient_clip,
        batch_size=prepared.batch_size,
        batch_rows=plan.batch_rows,
        device=device,
    )
    training = [_held(module, "train") for module in data]
    tasks = [task_of(prepared.evaluation.net, spec, module.scaling) for module in data]
    std = torch.tensor([task.std for task in tasks], dtype=torch.float64) if len(set(tasks)) > 1 else None
    seeds = [experiment.recipe.seed for experiment in experiments]
    rows = StackedRows(training, which, seeds, plan, device)
    for step in {0, plan.steps_per_epoch - 1}:  # the last batch of a pass may be smaller
        (x, y), _ = rows.pack(step, 1)
        check(stack, Batch(x, y))
    rows_at_once = min(prepared.batch_size, plan.rows)
    classes = spec.out_features if spec.task == "multiclass" else 0
    fit = Fit(
        stack=stack,
        rows=rows,
        rates=Rates([experiment.recipe for experiment in experiments], plan, stack.weights),
        plan=plan,
        validation=[_held(module, "val").to(device) for module in data] if "val" in prepared.data.splits else None,
        std=None if std is None else std[which].unsqueeze(1).to(device),
        columns=prepared.columns,
        score=first.score,
        patience=options.patience,
        pruners=[session.pruner for session in sessions],
        compiles=_compiles(prepared, len(experiments)),
    )
    return PreparedStack(
        experiments=experiments,
        sessions=sessions,
        prepared=prepared,
        data=data,
        which=which,
        tasks=tasks,
        fingerprints=[fingerprint(split) for split in training],
        fit=fit,
        threads=sessions[0].threads
        or find_threads(options, nets[0], spec.in_shape, rows_at_once, classes, len(experiments)),
    )


def _compiles(prepared: Prepared, copies: int) -> bool:
    """Returns whether to compile the step of a stack, as `trainer.compile` and its length say."""
    wanted = prepared.experiment.trainer.compile
    if prepared.compile_obstacle is not None or wanted != "auto":
        return wanted is True and prepared.compile_obstacle is None
    is_small = compile.is_small(prepared.plan, dry_run.work(prepared.evaluation.net, prepared.data.spec.in_shape))
    return is_small and saving(prepared.plan, copies) > compile.SECONDS


def _load(experiment: Experiment, prepared: Prepared) -> DataModule:
    """Loads one more data set.

    Raises:
        Impossible: its sizes are not those of the first, or a loss could see that its targets have other units.
    """
    options = experiment.trainer
    module = DataModule(
        experiment.source,
        dtype=options.dtype,
        seed=experiment.recipe.seed,
        pack=options.pack,
        batches=options.batches,
        overfit=options.overfit,
    )
    with importing.at_once():
        module.load()
    module.plan = prepared.plan
    sizes = {name: split.rows for name, split in module.splits.items()}
    if sizes != {name: split.rows for name, split in prepared.data.splits.items()}:
        raise Impossible("the data sets have different numbers of rows")
    evaluation = prepared.evaluation
    task = task_of(evaluation.net, module.spec, module.scaling)
    if task != evaluation.task and getattr(evaluation.loss.function, "__module__", None) != losses.__name__:
        raise Impossible("the targets of the data sets are scaled differently, which a loss of one's own may see")
    check_measurable(replace(evaluation, task=task), module, experiment.score)
    return module


def _held(module: DataModule, name: str) -> Batch:
    split = module.splits[name]
    assert isinstance(split, Batch)
    return split


def _resume(stack: PreparedStack, place: Path) -> int | None:
    """Takes up a stack where it was stopped; returns the step, or None if it begins."""
    if not place.exists():
        return None
    try:
        content = checkpoints.load(place)
        if content["folders"] != [session.folder.name for session in stack.sessions]:
            raise CheckpointError("it is of other runs")
        if content["shapes"] != _shapes(stack.fit):
            raise CheckpointError("the network has other weights now")
        if content.get("columns") != stack.fit.columns:  # an earlier version measured less
            raise CheckpointError("other metrics are measured now")
        if place.with_suffix(".rows").stat().st_size < content["rows"]:
            raise CheckpointError("rows of the history are gone")
        stack.fit.load_state_dict(content["fit"])
    except (CheckpointError, KeyError, ValueError, OSError) as error:
        warn(f"{place} cannot be resumed from ({error}); its runs begin again")
        return None
    if content["fingerprints"] != stack.fingerprints:
        warn("the training data has changed since the stack started; resuming with the new data")
    return stack.fit.number


def _shapes(fit: Fit) -> list[list[Any]]:
    """Returns names and shapes of the weights, as a checkpoint holds them."""
    return [[name, *shape] for name, shape in zip(fit.stack.trained, fit.stack.shapes, strict=True)]


class _Progress:
    """Prints now and then how far a stack is, which says nothing of its runs until all have ended."""

    def __init__(self, stack: PreparedStack) -> None:
        self.fit, self.total = stack.fit, stack.prepared.plan.total_steps
        self.began, self.first = time.monotonic(), stack.fit.number
        self.due = self.began + BETWEEN_LINES

    def __call__(self, step: int) -> None:
        now = time.monotonic()
        if now < self.due or step == self.total:
            return
        self.due = now + BETWEEN_LINES
        left = (now - self.began) / (step - self.first) * (self.total - step)
        said = f"step {step} of {self.total}, {len(self.fit.running)} of {self.fit.copies} runs still train"
        print(f"{said}, about {left:.0f} s left", flush=True)


BETWEEN_LINES = 10.0
"""Seconds."""


class _Saver:
    """Writes the stack's checkpoint about once a second, and at a signal, which then ends the run."""

    def __init__(self, stack: PreparedStack, place: Path, history: StackedHistory, stop: Stop) -> None:
        self.stack, self.place, self.history, self.stop = stack, place, history, stop
        self.due = time.monotonic() + SECONDS

    def __call__(self) -> None:
        if self.stop.noted is None and time.monotonic() < self.due:
            return
        began, fit = time.monotonic(), self.stack.fit
        fit.check_finite()
        self.history.flush()
        content = {
            "folders": [session.folder.name for session in self.stack.sessions],
            "fingerprints": self.stack.fingerprints,
            "shapes": _shapes(fit),
            "columns": fit.columns,
            "rows": self.history.path.stat().st_size,
            "fit": fit.state_dict(),
        }
        checkpoints.save(content, self.place)
        self.due = began + max(SECONDS, (time.monotonic() - began) / SHARE)
        self.stop.raise_if_noted()


def _name_outliers(stack: PreparedStack) -> None:
    """Names the training row that made copies diverge, where there is one: no rate is to blame then."""
    which = [copy for copy, error in stack.fit.ends.items() if isinstance(error, Diverged)]
    outliers = {number: stack.data[number].outlier("train") for number in {stack.which[copy] for copy in which}}
    for copy in which:
        error, found = stack.fit.ends[copy], outliers[stack.which[copy]]
        if isinstance(error, Diverged) and found is not None:
            try:
                raise ValueError(f"{error.what}, because {found}") from error
            except ValueError as named:
                stack.fit.ends[copy] = named


def _publish(stack: PreparedStack, records: Records) -> None:
    """Measures every copy with the weights asked for, and writes the records of all."""
    _name_outliers(stack)
    fit, prepared = stack.fit, stack.prepared
    weights, buffers = fit.chosen(prepared.experiment.weights)
    metrics: list[dict[str, Any]] = [{} for _ in stack.which]
    for name in prepared.data.splits:
        splits = [_held(module, name).to(fit.stack.device) for module in stack.data]
        for found, more in zip(metrics, entries(name, fit.seen_by(splits, weights, buffers)), strict=True):
            found |= more
    failed = []
    for copy, measured in enumerate(metrics):
        try:
            records.write(copy, measured, weights[copy], {name: values[copy] for name, values in buffers.items()})
        except OSError as error:  # of one folder, or of the whole disk
            records.fail_one(copy, error)
            failed.append(error)
    if len(failed) == len(stack.which):
        raise failed[0]
    records.close()
