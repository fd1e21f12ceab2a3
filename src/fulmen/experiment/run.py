"""The straight line: from parts to a recorded run."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer
from torch import nn

from fulmen.data.source import Source
from fulmen.data.tensors import fingerprint
from fulmen.errors import Diverged
from fulmen.experiment import console, importing
from fulmen.experiment.baseline import MakeBaseline, coefficients
from fulmen.experiment.load import Run as Run
from fulmen.experiment.load import metadata
from fulmen.figures.context import RunContext
from fulmen.figures.options import FigureOptions
from fulmen.models import dry_run
from fulmen.models.dry_run import parameter_count
from fulmen.models.initializers import new_network
from fulmen.runs import recording, resuming
from fulmen.runs.files import write_json
from fulmen.runs.history import History
from fulmen.runs.signals import deferred
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.losses import Loss
from fulmen.tasks.names import METRICS, measured, mode
from fulmen.tasks.penalties import Penalty
from fulmen.tasks.predictor import Predictor, task_of
from fulmen.training import loggers
from fulmen.training.backprop.gradient import MakeGradient, find_gradient
from fulmen.training.callbacks.checkpointing import Checkpointer
from fulmen.training.callbacks.histograms import Histograms
from fulmen.training.callbacks.progress import Progress
from fulmen.training.callbacks.pruning import Pruner, Pruning
from fulmen.training.callbacks.weight_snapshots import WeightSnapshots
from fulmen.training.first_backward import print_first_backward
from fulmen.training.learner import Learner
from fulmen.training.optimizers import MakeOptimizer
from fulmen.training.packs import DataModule
from fulmen.training.recipe import Recipe
from fulmen.training.schedulers import MakeScheduler
from fulmen.training.step import Stepping
from fulmen.training.trainer import TrainerOptions, build, find_accelerator, find_plan, find_threads


def train(
    *,
    source: Source,
    model: Callable[..., nn.Module],
    optimizer: MakeOptimizer,
    scheduler: MakeScheduler | None,
    loss: Loss,
    penalty: Penalty | None,
    init: Callable[[nn.Module], None],
    backprop: MakeGradient | None,
    options: TrainerOptions,
    logger: loggers.MakeLogger | None,
    figures: FigureOptions = FigureOptions(),  # noqa: B008 - it never changes
    seed: int,
    score: str,
    weights: Literal["best", "last"],
    folder: Path,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    name: str = "",
    baseline: MakeBaseline | None = None,
    verbose: bool = True,
    resume: bool = False,
    threads: int | None = None,
    trust: bool = False,
    pruner: Pruner | None = None,
) -> Run:
    """Trains a model on data and writes the run down.

    Args:
        source: the data.
        model: called with `in_shape` and `out_features`, makes the network.
        optimizer: called with parameters, makes the optimizer.
        scheduler: makes the learning rate's schedule; None for a constant rate.
        loss: what is minimized, together with
        penalty: on the parameters, or None.
        init: gives the parameters their first values.
        backprop: makes what finds the gradient by hand; None for autograd.
        options: how to train and where.
        logger: called with `save_dir`; None for no logger but the run's own history.
        figures: which are drawn at the end.
        seed: of the first values, the order of batches and dropout.
        score: the figure by which weights are best, as `<split>/<metric>`.
        weights: which are evaluated.
        folder: the run's folder, made here, empty if it exists.
        config: the configuration, for `config.yaml` and the dashboard.
        facts: further entries of `status.json`.
        name: what the dashboard calls the run, a folder's name.
        baseline: called with the network and how it is trained, makes the second opinion; None for none.
        verbose: whether to print configuration, network, progress and figures.
        resume: whether the run in `folder` goes on from its last checkpoint.
        threads: of the CPU, as the run had before; None to find out.
        trust: whether that checkpoint may hold more than plain values, see `checkpoints.load`.
        pruner: says while the run trains whether it is worth its time; None where nobody asks.

    Raises:
        ValueError: parts do not fit each other or the machine, or the data cannot be had; nothing is written then.
        FileExistsError: the folder is not empty, or in use.
        Finished: a run that was to go on has nothing more to do.
        Diverged: the loss or a parameter is no longer finite.
        Pruned: the judge ended the run.
        Interrupted: one of the signals that stop a run came; the last checkpoint is saved.
    """
    spec = source.spec
    accelerator = find_accelerator(options)
    net = new_network(model, spec.in_shape, spec.out_features, options.precision, seed, init)
    dry_run.check(net, spec.in_shape, spec.out_features)
    optimizer([torch.zeros(1, requires_grad=True)])  # says what is wrong with its settings before anything is written
    data = DataModule(source, dtype=options.dtype, seed=seed, pack=options.pack)
    with importing.at_once():
        data.load()  # some data sets import scikit-learn
    columns = measured(spec.task, data.splits)
    if score not in columns:  # its name was checked before; only now is it known which splits there are
        raise ValueError(f"score={score}, but this data has no rows for validation; take score=train/loss")
    batch_size = data.rows if source.batch_size == "full" else source.batch_size
    data.plan = plan = find_plan(options, data.rows, batch_size, scheduler, score)
    classes = spec.out_features if spec.task == "multiclass" else 0
    threads = threads or find_threads(options, net, spec.in_shape, min(batch_size, data.rows), classes)
    task, known_rows = task_of(net, spec, data.scaling), fingerprint(data.splits["train"])
    evaluation = Evaluation(net, task, loss, options.precision)
    by_hand = find_gradient(backprop, evaluation, penalty, batch_size, options.devices)
    stepping = Stepping(
        evaluation,
        penalty=penalty,
        by_hand=by_hand,
        gradient_clip=options.gradient_clip,
        batch_size=batch_size,
        batch_rows=plan.batch_rows,
        seed=seed,
    )
    recipe = Recipe(
        loss=loss,
        penalty=penalty,
        optimizer=optimizer,
        scheduler=scheduler,
        gradient_clip=options.gradient_clip,
        rows=data.rows,
        batch_rows=min(plan.batch_rows * options.devices, data.rows),
        epochs=plan.epochs,
        seed=seed,
    )
    second = None if baseline is None else baseline(net, task, data.splits["train"], recipe)

    leads = recording.leads()  # of several devices' processes one keeps the record
    with deferred() as stop, recording.claim(folder, goes_on=resume):
        start, best = resuming.start(folder, plan.total_steps, known_rows, trust) if resume else (None, None)
        step = start or 0
        facts = {**facts, "seed": seed, "threads": threads, "fingerprint": known_rows}
        with recording.recording(folder, config, facts, step if resume else None) as status:
            if verbose and leads:
                console.print_opening(config, net, spec.in_shape, folder, step)
            torch.set_num_threads(threads)
            learner = Learner(
                evaluation,
                stepping=stepping,
                make_optimizer=optimizer,
                make_scheduler=scheduler,
                plan=plan,
                metrics=METRICS[spec.task],
                score=score,
                compiling=options.compile,
                metadata=metadata(config, source, data.scaling, known_rows, threads),
            )
            saver = Checkpointer(folder / "checkpoints", score=score, mode=mode(score), stop=stop, best=best)
            history = [History(folder / "history.csv", columns, plan.steps_per_epoch, step)] if leads else []
            boards = [loggers.make(logger, folder, name, rows, step) for rows in history if logger is not None]
            for board in boards if step == 0 else ():
                loggers.show_graph(board, net, spec.in_shape)
                loggers.show_charts(board, columns)
                loggers.show_hyperparameters(board, config, batch_size)
            film = WeightSnapshots() if figures.animation else None
            watching = [*([film] if film else []), *([Histograms()] if figures.histograms else [])]
            pruning = [] if pruner is None else [Pruning(pruner, score, plan.total_steps)]
            trainer = build(
                options,
                accelerator,
                score=score,
                loggers=[*history, *boards],
                callbacks=[*([Progress(plan.total_steps, score)] if verbose else []), *watching, saver, *pruning],
                trust=trust,
            )
            if options.debug and verbose and leads and step == 0:
                print_first_backward(evaluation, penalty, data.first_batch(batch_size), by_hand=by_hand is not None)
            try:
                trainer.fit(learner, datamodule=data, ckpt_path=None if start is None else saver.last.resolve())
            finally:
                status |= {"steps": trainer.global_step, "device": str(trainer.strategy.root_device)}
            status["stopped_early"] = trainer.global_step < plan.total_steps
            metrics = _evaluate(learner, trainer, data, saver, weights)
            if leads and second is not None:
                metrics |= second.figures(data.splits)
            net.cpu().eval()
            predictor = Predictor(learner.evaluation, spec, data.scaling, source.encode)
            for record in history:
                write_json(folder / "metrics.json", metrics)
                subject = RunContext(predictor, data.splits, metrics, list(record.rows()))
                figures.draw(subject, film, folder / "figures", boards, trainer.global_step)
            for board in boards:
                loggers.show_final_figures(board, metrics, trainer.global_step)
    if verbose and leads:
        console.print_figures(metrics, folder)
        if second is not None:
            console.print_coefficients(coefficients(net, second.estimator, spec))
    return Run(metrics, net, folder, predictor)


def _evaluate(
    learner: Learner, trainer: Trainer, data: DataModule, saver: Checkpointer, weights: Literal["best", "last"]
) -> dict[str, Any]:
    """Every split's figures with the weights asked for, which the network keeps."""
    learner.to(trainer.strategy.root_device)
    best = saver.weights(weights)
    if best is not None:
        learner.load_state_dict(best)
    metrics = learner.evaluation.all_metrics(data.splits)
    for name in data.splits:
        if not math.isfinite(loss := metrics[f"{name}/loss"]):
            raise Diverged(f"{name}/loss is {loss} after step {trainer.global_step}")
    return metrics | {"parameters": parameter_count(learner.net)}
