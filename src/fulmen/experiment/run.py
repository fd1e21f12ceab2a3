"""The straight line: prepare, claim the folder, record, fit, evaluate, publish."""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers.logger import Logger

from fulmen.data.source import SPLITS
from fulmen.errors import ConfigurationError, Diverged, Finished, command, warn
from fulmen.experiment import console
from fulmen.experiment.baseline import coefficients
from fulmen.experiment.experiment import Experiment, Session
from fulmen.experiment.load import OTHER_CODE, Run, check_round_trip, load, metadata
from fulmen.experiment.prepare import Prepared, prepare, warn_before
from fulmen.experiment.start_from import Start, start_facts, take_over
from fulmen.figures.context import RunContext
from fulmen.figures.options import FigureOptions
from fulmen.models.dry_run import parameter_count
from fulmen.models.initializers import load_weights
from fulmen.runs import checkpoints, recording
from fulmen.runs.files import write_json
from fulmen.runs.folder import BEST, LAST, load_status, read_history, read_metrics, read_status
from fulmen.runs.history import History
from fulmen.runs.signals import Stop, deferred, raising
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.names import mode
from fulmen.tasks.predictor import Predictor
from fulmen.training import loggers, tracking
from fulmen.training.callbacks.checkpointing import Checkpointer
from fulmen.training.callbacks.histograms import Histograms
from fulmen.training.callbacks.progress import Progress
from fulmen.training.callbacks.pruning import Pruning
from fulmen.training.callbacks.weight_snapshots import WeightSnapshots
from fulmen.training.learner import Learner
from fulmen.training.packs import DataModule
from fulmen.training.trainer import build

if TYPE_CHECKING:
    from fulmen.training.callbacks.layer_statistics import LayerStatistics

OUT_OF_RANGE = "check the rows of that split, or use data.scale=both or trainer.precision=64-true"


def train(experiment: Experiment, session: Session) -> Run:
    """Trains an experiment and records it.

    Raises:
        ValueError: parts do not fit each other or the machine, or the data cannot be loaded; nothing is written then.
        FileExistsError: the folder is not empty, or in use.
        Finished: a run to be resumed has nothing more to do.
        Diverged: the loss or a parameter is no longer finite.
        Pruned: the pruner ended the run.
        Interrupted: a signal stopped the run; in training it saves a checkpoint first.
    """
    with host_unchanged():
        prepared = prepare(experiment, session.threads)
        net, data, plan = prepared.evaluation.net, prepared.data, prepared.plan
        began = None if session.resume else take_over(experiment.start_from, net)
        leads = recording.leads()  # of several devices' processes one keeps the record
        with raising(), recording.claim(session.folder, goes_on=session.resume):
            if session.resume and _lacks_only_figures(session, prepared):
                return _draw_missing(prepared, session)
            start, best = _checkpoint(prepared, session)
            step = start or 0
            if session.resume and start is None:
                began = take_over(experiment.start_from, net)
            seed = session.config.get("seed", experiment.recipe.seed)
            facts = {"seed": seed, "threads": prepared.threads, "fingerprint": prepared.fingerprint}
            facts = {**session.facts, **facts, **start_facts(began, session.folder)}
            resumed = step if session.resume else None
            with recording.recording(session.folder, session.config, facts, resumed) as status, ExitStack() as ends:
                if session.verbose and leads:
                    _print_opening(prepared, session, began, step)
                if leads:
                    warn_before(prepared, resumes=session.resume)
                torch.set_num_threads(prepared.threads)
                path = session.folder / "history.csv"
                history = History(path, prepared.columns, plan.steps_per_epoch, step) if leads else None
                boards = [] if history is None else _boards(prepared, session, history, step)
                ends.push(lambda error, *_: tracking.end(boards, failed=error is not None))
                watching = _watching(experiment.figures)
                with nullcontext() if history is None else closing(history.file), deferred() as stop:
                    learner, trainer, checkpointer = _trainer(
                        prepared, session, stop, best, [*([history] if history else []), *boards], watching
                    )
                    if experiment.trainer.debug and session.verbose and leads and step == 0:
                        batch, by_hand = data.first_batch(prepared.batch_size), prepared.step.by_hand is not None
                        penalty = experiment.recipe.penalty
                        console.print_first_backward(prepared.evaluation, penalty, batch, by_hand=by_hand)
                    try:
                        last = None if start is None else checkpointer.last.resolve()
                        trainer.fit(learner, datamodule=data, ckpt_path=last)
                    except Diverged as error:
                        if (found := data.outlier("train")) is not None:
                            raise ValueError(f"{error.what}, because {found}") from error
                        raise
                    finally:
                        status |= {"steps": trainer.global_step, "device": str(trainer.strategy.root_device)}
                    if trainer.global_step == 0:
                        raise ConfigurationError("a callback ended the training before its first step; change that")
                    status["compiled"] = learner.compiled is not None and not learner.compiled.given_up
                    status["stopped_early"] = trainer.global_step < plan.total_steps
                    if status["stopped_early"]:
                        status["stopped_by"] = "patience" if _stopping(trainer, prepared) else "callbacks"
                stop.raise_if_noted()  # it came after the last step
                metrics = _evaluate(prepared, learner, trainer, checkpointer)
                net.cpu().eval()
                predictor = Predictor(learner.evaluation, data.spec, data.scaling, experiment.source.encode)
                if history is not None:
                    write_json(session.folder / "metrics.json", metrics)
                    groups = experiment.source.feature_groups
                    context = RunContext(predictor, data.splits, metrics, list(history.rows()), *watching, groups)
                    figures = session.folder / "figures"
                    missing = experiment.figures.draw(context, figures, boards, trainer.global_step)
                    status |= {"missing_figures": missing} if missing else {}
                    rows = data.splits.get("val", data.splits["train"])
                    check_round_trip(
                        session.folder, experiment.weights, experiment.model, predictor, rows, trust=session.trust
                    )
                for board in boards:
                    loggers.show_final_figures(board, metrics, experiment.score, trainer.global_step)
        if session.verbose and leads:
            _print_end(prepared, session, metrics, history, trainer, checkpointer)
        return Run(metrics, net, session.folder.absolute(), predictor)


def _print_opening(prepared: Prepared, session: Session, began: Start | None, step: int) -> None:
    """Prints what is about to be trained, and from which step on."""
    experiment, net, splits = prepared.experiment, prepared.evaluation.net, prepared.data.splits
    rows = {split: splits[split].rows for split in SPLITS if split in splits}
    console.print_opening(session.config, net, prepared.data.spec.in_shape, rows, session.folder, step)
    if step == 0:
        console.print_start(net, began, experiment.recipe)
    if not session.resume:
        console.print_columns(experiment.source.summary)
        console.print_compiling(prepared.compiles, prepared.compiling_saves)


def _print_end(
    prepared: Prepared,
    session: Session,
    metrics: Mapping[str, Any],
    history: History | None,
    trainer: Trainer,
    checkpointer: Checkpointer,
) -> None:
    """Prints how a run ended, and what to type next."""
    experiment, plan, data = prepared.experiment, prepared.plan, prepared.data
    scaling, step = data.scaling, trainer.global_step
    best = checkpointer.best if experiment.weights == "best" else None
    of_scaled = scaling.y is not None
    console.print_final_metrics(metrics, session.folder, best, experiment.score, of_scaled=of_scaled)
    if step < plan.total_steps:
        console.print_stopped(step, plan, _stopping(trainer, prepared), session.config, session.folder)
    elif history is not None:
        console.print_outlook(history, experiment.score, plan, session.folder)
    if prepared.baseline is not None:
        both = coefficients(prepared.evaluation.net, prepared.baseline.estimator, data.spec)
        console.print_coefficients(both, of_scaled=scaling.x is not None or scaling.y is not None)


def _stopping(trainer: Trainer, prepared: Prepared) -> EarlyStopping | None:
    """Returns the early stopping of `trainer.patience`, if that ended the training; the user's own is a callback."""
    ended = (each for each in trainer.early_stopping_callbacks if each.stopped_epoch)
    return next((each for each in ended if each not in prepared.callbacks), None)


@contextmanager
def host_unchanged() -> Iterator[None]:
    """Leaves the process that called with its threads, random state and warnings as they were."""
    threads, omp = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())), warnings.catch_warnings():
            yield
    finally:
        torch.set_num_threads(threads)
        if omp is None:
            os.environ.pop("OMP_NUM_THREADS", None)  # Lightning sets it where it starts processes
        else:
            os.environ["OMP_NUM_THREADS"] = omp


def _checkpoint(prepared: Prepared, session: Session) -> tuple[int | None, dict[str, Any] | None]:
    """Finds the step to resume from, and the best checkpoint so far; None for each that there is not.

    Raises:
        ValueError: the run is completed, and its last checkpoint is gone; or one of its files does not fit, or is
            damaged.
        Finished: the run has taken all its steps.
    """
    if not session.resume:
        return None, None
    folder, total_steps = session.folder, prepared.plan.total_steps
    if (folder / "status.json").exists():
        read_status(folder)
    read_metrics(folder)
    read_history(folder)
    newest = checkpoints.newest(folder / "checkpoints", trust=session.trust)
    is_completed = load_status(folder).get("state") == "completed"
    if newest is None and is_completed:
        raise ValueError(f"{folder} is completed and has no last.ckpt to resume from; use {command(f'rerun={folder}')}")
    if newest is None:
        warn(f"no checkpoint in {folder}; restarting from step 0 (the result will be the same)")
        return None, None
    step = newest["global_step"]
    if step > total_steps or (step == total_steps and is_completed):
        raise Finished(
            f"{folder} has taken its {step} steps, and the limits given end at {total_steps}: nothing more to do"
        )
    if newest["metadata"]["fingerprint"] != prepared.fingerprint:
        warn(f"the training data has changed since {folder} started; resuming with the new data")
    weights = {name.removeprefix("net."): value for name, value in newest["state_dict"].items()}
    try:
        load_weights(prepared.evaluation.net, weights)  # as the Trainer would, when the record has been changed
    except ValueError as error:
        raise ValueError(f"{folder} cannot be resumed: {error}; {OTHER_CODE}") from error
    return step, checkpoints.whole(folder / "checkpoints" / BEST, trust=session.trust)


def _lacks_only_figures(session: Session, prepared: Prepared) -> bool:
    """Returns whether a run is complete but for figures.

    Raises:
        ValueError: it is, and one of its files is damaged, or the rows to draw are not those that it was trained on.
    """
    folder, status = session.folder, load_status(session.folder)
    steps = status.get("steps") or 0
    is_over = steps > 0 and (status.get("stopped_early") or steps >= prepared.plan.total_steps)
    if status.get("state") != "completed" or not is_over or not status.get("missing_figures"):
        return False
    read_metrics(folder)
    read_history(folder)
    if status.get("fingerprint") != prepared.fingerprint:
        raise ValueError(f"the training data has changed since {folder} was trained, so its figures cannot be drawn")
    return True


def _draw_missing(prepared: Prepared, session: Session) -> Run:
    """Draws the figures that a completed run could not write; of its record only the list of those changes."""
    folder, options = session.folder, prepared.experiment.figures
    run = load(folder, trust_checkpoint=session.trust, allow_targets=session.config.get("allow_targets") or ())
    status, watching = load_status(folder), _watching(options)
    if any(watching):
        kept = checkpoints.load(folder / "checkpoints" / LAST, trust=session.trust)["callbacks"]
        for callback in filter(None, watching):
            callback.load_state_dict(kept[callback.state_key])
    history = History(folder / "history.csv", prepared.columns, prepared.plan.steps_per_epoch, status["steps"])
    boards = _boards(prepared, session, history, status["steps"])
    splits, groups = prepared.data.splits, prepared.data.source.feature_groups
    context = RunContext(run.predictor, splits, run.metrics, list(history.rows()), *watching, groups)
    status["missing_figures"] = options.draw(context, folder / "figures", boards, status["steps"])
    for logger in (history, *boards):
        logger.finalize("success")
    tracking.end(boards, failed=False)
    write_json(folder / "status.json", status)
    return run


def _watching(figures: FigureOptions) -> "tuple[WeightSnapshots | None, LayerStatistics | None]":
    """Makes the callbacks that keep what figures show of the training."""
    statistics = None
    if figures.inside:
        from fulmen.training.callbacks.layer_statistics import LayerStatistics  # most runs do without

        statistics = LayerStatistics()
    return WeightSnapshots() if figures.animation or figures.landscape else None, statistics


def _boards(prepared: Prepared, session: Session, history: History, step: int) -> list[Logger]:
    """Makes the logger, and shows there what is known before the first step."""
    if prepared.experiment.logger is None:
        return []
    board = loggers.make(prepared.experiment.logger, session.folder, session.name, history.rows(), step)
    if step == 0 or loggers.starts_empty(board):
        loggers.show_graph(board, prepared.evaluation.net, prepared.data.spec.in_shape)
        loggers.show_charts(board, prepared.columns)
    if step == 0 or loggers.takes_configuration_again(board):
        loggers.show_hyperparameters(board, session.config, session.hyperparameters, prepared.batch_size)
    return [board]


def _trainer(
    prepared: Prepared,
    session: Session,
    stop: Stop,
    best: dict[str, Any] | None,
    records: list[Logger],
    watching: Iterable[Callback | None],
) -> tuple[Learner, Trainer, Checkpointer]:
    """Makes the learner, and the Trainer with its callbacks."""
    experiment, plan, scaling = prepared.experiment, prepared.plan, prepared.data.scaling
    score = experiment.score
    kept = metadata(session.config, experiment.source, scaling, prepared.fingerprint, prepared.threads)
    learner = Learner(
        prepared.evaluation,
        step=prepared.step,
        recipe=experiment.recipe,
        plan=plan,
        score=score,
        compiling=prepared.compiles,
        metadata=kept,
    )
    checkpointer = Checkpointer(session.folder / "checkpoints", score=score, mode=mode(score), stop=stop, best=best)
    callbacks = [
        Progress(plan.total_steps, score) if session.verbose else None,
        *watching,
        Histograms() if experiment.figures.histograms else None,
        *prepared.callbacks,
        checkpointer,
        None if session.pruner is None else Pruning(session.pruner, score, plan.total_steps),
    ]
    trainer = build(
        experiment.trainer,
        prepared.accelerator,
        score=score,
        loggers=records,
        callbacks=[callback for callback in callbacks if callback is not None],
        trust=session.trust,
        folder=session.folder,
    )
    return learner, trainer, checkpointer


def _evaluate(prepared: Prepared, learner: Learner, trainer: Trainer, checkpointer: Checkpointer) -> dict[str, Any]:
    """Measures every split with the weights asked for, which the network keeps, and with the baseline."""
    splits = prepared.data.splits
    learner.to(trainer.strategy.root_device)
    best = checkpointer.weights(prepared.experiment.weights)
    if best is not None:
        learner.load_state_dict(best)
    metrics = learner.evaluation.all_metrics(splits)
    check_final(metrics, prepared.experiment.score, trainer.global_step, prepared.data, lambda: learner.evaluation)
    metrics |= {"parameters": parameter_count(learner.net)}
    if prepared.baseline is not None and trainer.is_global_zero:
        metrics |= prepared.baseline.metrics(splits)
    return metrics


def check_final(
    metrics: Mapping[str, Any], score: str, step: int, data: DataModule, evaluation: Callable[[], Evaluation]
) -> None:
    """Checks that the losses and the score of a trained network are finite.

    Raises:
        Diverged: one is not.
        ValueError: one is not because of a row that is held out; names it.
    """
    for name in ["train/loss", *(f"{split}/loss" for split in data.splits), score]:
        if not math.isfinite(metrics.get(name, math.nan)):
            what = f"{name} is not finite after step {step}"
            if name == "train/loss":
                raise Diverged(what)
            split = name.partition("/")[0]
            if (found := data.outlier(split, evaluation())) is not None:
                raise ValueError(f"{what}, because {found}")
            raise Diverged(f"{what}, though train/loss and all weights are finite", OUT_OF_RANGE)
