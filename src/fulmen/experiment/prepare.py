"""Preparation of a run: everything that can be refused is refused here, before anything is written."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from fulmen.data.source import DataSpec
from fulmen.data.tensors import Rows, chunks, fingerprint
from fulmen.errors import ConfigurationError, warn
from fulmen.experiment import importing, own_parts
from fulmen.experiment.baseline import Baseline
from fulmen.experiment.experiment import Experiment
from fulmen.experiment.sklearn_equivalent import Amounts
from fulmen.models import dry_run, network_check
from fulmen.models.initializers import new_network
from fulmen.models.network_check import SmallestBatch
from fulmen.models.precision import computing, converted, data_type
from fulmen.rules import listed
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.metrics import undefined
from fulmen.tasks.names import METRICS, measured
from fulmen.tasks.outliers import dominant
from fulmen.tasks.predictor import task_of
from fulmen.training import augmentations, compile
from fulmen.training.backprop.gradient import find_gradient
from fulmen.training.packs import DataModule
from fulmen.training.parameters import freeze
from fulmen.training.plan import Plan
from fulmen.training.step import Step
from fulmen.training.trainer import find_accelerator, find_plan, find_threads


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment whose data is loaded and whose network is initialized, ready to train."""

    experiment: Experiment
    data: DataModule
    evaluation: Evaluation
    """The network, its task and its loss."""
    plan: Plan
    step: Step
    accelerator: str
    threads: int
    batch_size: int
    """Rows that go through the network at once."""
    compiles: bool
    """True if the training step is to be compiled."""
    compiling_saves: float
    """Seconds that this saves, or would save; 0 if it does not pay or is not possible."""
    compile_obstacle: str | None
    """Why the step cannot be compiled, though `trainer.compile=true` asks for it."""
    columns: list[str]
    """The metrics in a row of the history."""
    notes: list[str]
    """What is no fault of the network, and may not be intended."""
    amounts: Amounts
    """Of rows and passes, for a baseline."""
    undefined: dict[str, str]
    """Metrics that the validation split leaves undefined, each with the reason."""
    baseline: Baseline | None
    callbacks: list[Callback]
    """Beside Fulmen's own."""

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the training rows."""
        return fingerprint(self.data.splits["train"])


def prepare(experiment: Experiment, threads: int | None = None) -> Prepared:
    """Loads the data, initializes the network and plans the run; writes nothing.

    A run that is resumed keeps the `threads` that it had.

    Raises:
        ValueError: parts do not fit each other or the machine, or the data cannot be loaded.
    """
    source, recipe, options = experiment.source, experiment.recipe, experiment.trainer
    spec, accelerator = source.spec, find_accelerator(options)
    net = new_network(
        experiment.model, spec.in_shape, spec.out_features, options.precision, recipe.seed, experiment.init
    )
    freeze(net, recipe.freeze)
    data = DataModule(
        source,
        dtype=options.dtype,
        seed=recipe.seed,
        pack=options.pack,
        batches=options.batches,
        overfit=options.overfit,
    )
    with importing.at_once():
        data.load()  # some data sets import scikit-learn
    columns = measured(spec.task, data.splits, (metric.name for metric in experiment.metrics))
    if experiment.score not in columns:  # its name was checked before; only now are the splits known
        raise ValueError(f"score={experiment.score}, but this data has no validation rows; use score=train/loss")
    batch_size = data.rows if source.batch_size == "full" else source.batch_size
    data.plan = plan = find_plan(options, data.rows, batch_size, recipe.scheduler, experiment.score)
    notes = _check_network(experiment, data, plan, batch_size)
    classes = spec.out_features if spec.task == "multiclass" else 0
    task = task_of(net, spec, data.scaling)
    evaluation = Evaluation(net, task, recipe.loss, options.precision, experiment.metrics)
    check_class_weights(recipe.loss.options.get("class_weights"), spec, data.splits["train"])
    optimizer = own_parts.check(evaluation, recipe, plan, data.splits["train"])
    callbacks = own_parts.callbacks(experiment.callbacks)
    for metric in experiment.metrics:
        metric.check(task)
    empty, large = check_measurable(evaluation, data, experiment.score)
    step = Step(
        evaluation,
        penalty=recipe.penalty,
        by_hand=find_gradient(recipe.backprop, evaluation, recipe.penalty, batch_size, options.devices),
        gradient_clip=options.gradient_clip,
        batch_size=batch_size,
        batch_rows=plan.batch_rows,
        seed=recipe.seed,
        augment=augmentations.find(source.augmentations, data.splits["train"], recipe.seed),
    )
    obstacle = compile.obstacle(step, optimizer, options)
    saves = compile.saving(plan, dry_run.work(net, spec.in_shape)) if obstacle is None else 0.0
    wanted = saves > compile.SECONDS if options.compile == "auto" else options.compile
    amounts = Amounts(data.rows, min(plan.batch_rows * options.devices, data.rows), plan.epochs)
    return Prepared(
        experiment=experiment,
        data=data,
        evaluation=evaluation,
        plan=plan,
        step=step,
        accelerator=accelerator,
        threads=threads or find_threads(options, net, spec.in_shape, min(batch_size, data.rows), classes),
        batch_size=batch_size,
        compiles=wanted and obstacle is None,
        compiling_saves=saves,
        compile_obstacle=obstacle if wanted else None,
        columns=columns,
        notes=[*notes, *large, *own_parts.uncalled_hooks(callbacks, options)],
        undefined=empty,
        amounts=amounts,
        baseline=experiment.baseline and experiment.baseline(net, task, data.splits["train"], recipe, amounts),
        callbacks=callbacks,
    )


def warn_before(prepared: Prepared, *, resumes: bool) -> None:
    """Says what is worth knowing before a run trains, or before many do as one; of one that resumes, less."""
    if prepared.compile_obstacle is not None:
        warn(compile.NOT_POSSIBLE.format(prepared.compile_obstacle))
    for note in () if resumes else prepared.notes:
        warn(note)
    if prepared.undefined:
        names = " and ".join(f"val/{name}" for name in prepared.undefined)
        stay = "stays" if len(prepared.undefined) == 1 else "stay"
        warn(f"{names} {stay} empty in the history: the validation split {next(iter(prepared.undefined.values()))}")


def _check_network(experiment: Experiment, data: DataModule, plan: Plan, batch_size: int) -> list[str]:
    """Checks the network with training rows, in single or double precision."""
    spec, precision = data.spec, "64-true" if experiment.trainer.dtype == torch.float64 else "32-true"

    def make(seed: int) -> nn.Module:
        return converted(new_network(experiment.model, spec.in_shape, spec.out_features, precision, seed), precision)

    count = min(data.rows, network_check.ROWS)
    x = data.splits["train"].take(torch.linspace(0, data.rows - 1, count).long()).x
    with computing(precision, "cpu"):
        return network_check.check(
            make,
            x.to(data_type(precision)),
            spec.out_features,
            _smallest(plan, batch_size),
            of_classes=spec.task != "regression",
        )


def check_class_weights(weights: Sequence[float] | None, spec: DataSpec, train: Rows) -> None:
    """Raises ConfigurationError unless there is a weight for each class; names those that balance the classes."""
    classes = max(2, spec.out_features)
    if weights is None or (len(weights) == classes and any(weights)):
        return
    counts = sum(torch.bincount(chunk.y.flatten().long().cpu(), minlength=classes) for chunk in chunks(train))
    balanced = ",".join(f"{train.rows / classes / max(1, count):.3g}" for count in torch.as_tensor(counts).tolist())
    wrong = "has only zeros; it takes numbers"
    if len(weights) != classes:
        wrong = f"has {len(weights)} number{'s' * (len(weights) != 1)}, but must have {classes}"
    raise ConfigurationError(
        f"loss.class_weights {wrong}, one for each of the classes {listed(spec.target_names)}; "
        f"loss.class_weights=[{balanced}] gives all classes the same weight in sum"
    )


def check_measurable(evaluation: Evaluation, data: DataModule, score: str) -> tuple[dict[str, str], list[str]]:
    """Checks that what is measured on the rows that are held out can be finite.

    Returns:
        The metrics that the validation split leaves undefined or infinite, each with the reason; and a note of a
        training row beside which all others are scaled to one number.

    Raises:
        ValueError: a loss or the score would be infinite or undefined; names the column and the row.
    """
    val = data.splits.get("val")
    empty = {} if val is None else undefined(data.spec, val)
    found = dominant(data.splits["train"], data.spec, data.scaling)
    wide = None if found is None else data.named(found, "train")
    for name in data.splits.keys() - {"train"}:
        if (why := data.outlier(name) or wide) is None:
            continue
        net = converted(copy.deepcopy(evaluation.net), evaluation.precision)
        metrics = replace(evaluation, net=net).metrics(data.splits[name])
        if not math.isfinite(metrics["loss"]):
            way_out = "" if evaluation.precision == "64-true" else ", or use trainer.precision=64-true"
            raise ValueError(
                f"{name}/loss would be infinite in trainer.precision={evaluation.precision}: {why}{way_out}"
            )
        if name == "val":
            infinite = [metric for metric in METRICS[data.spec.task] if metric not in metrics]
            empty = dict.fromkeys(infinite, f"has errors too large to be squared: {why}") | empty
    if (reason := empty.get(score.removeprefix("val/"))) is not None:
        raise ValueError(
            f"score={score} is undefined, because the validation split {reason}; use score=val/loss, or other "
            "validation rows"
        )
    return empty, [] if wide is None else [f"data.scale makes one number of nearly all values: {wide}"]


def _smallest(plan: Plan, batch_size: int) -> SmallestBatch:
    """Returns the fewest rows that go through the network at once, and a batch size that leaves more than one."""

    def fewest(size: int) -> int:
        whole = min(plan.rows, size * plan.batch_rows // batch_size)
        last = plan.rows % whole or whole if plan.total_steps >= plan.steps_per_epoch else whole
        return min(rows % size or size for rows in (whole, last))

    rows = fewest(batch_size)
    better = next((size for size in range(max(2, batch_size + 1), 2 * batch_size + 2) if fewest(size) > 1), None)
    origin = f"the last batch of {plan.rows} training rows at data.batch_size={batch_size}, which has {rows}"
    way_out = "use more training rows" if better is None else f"use data.batch_size={better}"
    return SmallestBatch(rows, origin, f"{way_out}, or nn.LayerNorm")
