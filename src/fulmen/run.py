"""The straight line: from parts to a recorded run."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers.logger import Logger
from torch import nn

from fulmen import loggers, report, runs
from fulmen.callbacks.progress import Progress
from fulmen.callbacks.saver import Saver
from fulmen.data.module import DataModule
from fulmen.data.source import SPLITS, Joint, Source
from fulmen.files import write_json
from fulmen.history import History
from fulmen.learner import Diverged, Learner
from fulmen.losses import Loss
from fulmen.models.layers import parameter_count
from fulmen.optimizers import MakeOptimizer
from fulmen.penalties import Penalty
from fulmen.plan import Plan
from fulmen.schedulers import MakeScheduler, plateau
from fulmen.signals import noting
from fulmen.tasks import Task
from fulmen.trainer import TrainerOptions, build, find_accelerator, find_threads
from fulmen.vocabulary import METRICS, PROBABILITIES, mode

MakeLogger = Callable[..., Logger]


@dataclass(frozen=True)
class Run:
    """What a run leaves in memory; all of it is in its folder, too."""

    metrics: dict[str, Any]
    """The content of `metrics.json`."""
    model: nn.Module
    """The network with the weights that were evaluated, on the CPU, in evaluation mode."""
    folder: Path
    """The run's folder."""


def train(
    *,
    source: Source,
    model: Callable[..., nn.Module],
    optimizer: MakeOptimizer,
    scheduler: MakeScheduler | None,
    loss: Loss,
    penalty: Penalty | None,
    init: Callable[[nn.Module], None],
    options: TrainerOptions,
    logger: MakeLogger | None,
    seed: int,
    score: str,
    weights: Literal["best", "last"],
    folder: Path,
    config: Mapping[str, Any],
    facts: Mapping[str, Any],
    verbose: bool = True,
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
        options: how to train and where.
        logger: called with `save_dir`; None for no logger but the run's own history.
        seed: of the first values, the order of batches and dropout.
        score: the figure by which weights are best, as `<split>/<metric>`.
        weights: which are evaluated.
        folder: the run's folder, made here, empty if it exists.
        config: the configuration, for `config.yaml` and the dashboard.
        facts: further entries of `status.json`.
        verbose: whether to print configuration, network, progress and figures.

    Raises:
        ValueError: parts do not fit each other or the machine, or the data cannot be had; nothing is written then.
        FileExistsError: the folder is not empty.
        Diverged: the loss or a parameter is no longer finite.
        Interrupted: SIGINT or SIGTERM came; the last checkpoint is saved.
    """
    joint = source.joint
    accelerator = find_accelerator(options)
    net = _network(model, init, joint, options.dtype, seed)
    optimizer([torch.zeros(1, requires_grad=True)])  # says what is wrong with its settings before anything is written
    data = DataModule(source, dtype=options.dtype, seed=seed, pack=options.pack)
    data.load()
    _check_score(score, data)
    batch_size = data.rows if source.batch_size == "full" else source.batch_size
    plan = _plan(data.rows, batch_size, options, scheduler, score)
    threads = find_threads(options, net, joint.in_shape, min(batch_size, data.rows))

    leads = runs.leads()  # of several devices' processes one keeps the record
    with noting() as stop, runs.recording(folder, config, {**facts, "seed": seed, "threads": threads}) as status:
        if verbose and leads:
            report.print_opening(config, net, joint.in_shape, folder)
        torch.set_num_threads(threads)
        learner = Learner(
            net,
            task=Task(joint.task, joint.out_features, getattr(net, "output_activation", "") in PROBABILITIES),
            loss=loss,
            penalty=penalty,
            make_optimizer=optimizer,
            make_scheduler=scheduler,
            plan=plan,
            batch_size=batch_size,
            gradient_clip=options.gradient_clip,
            metrics=METRICS[joint.task],
            score=score,
            seed=seed,
        )
        saver = Saver(folder / "checkpoints", score=score, mode=mode(score), stop=stop)
        history = [History(folder / "history.csv", _figures(data), plan.steps_per_epoch)] if leads else []
        boards = [logger(save_dir=folder, version="")] if leads and logger is not None else []
        for board in boards:
            loggers.show_graph(board, net, joint.in_shape)
        trainer = build(
            options,
            accelerator,
            score=score,
            loggers=[*history, *boards],
            callbacks=[Progress(plan.total_steps, score), saver] if verbose else [saver],
        )
        data.plan = plan
        trainer.fit(learner, datamodule=data)
        status |= {"steps": trainer.global_step, "device": str(trainer.strategy.root_device)}
        metrics = _evaluate(learner, trainer, data, saver, weights)
        if leads:
            write_json(folder / "metrics.json", metrics)
        for board in boards:
            loggers.show_hyperparameters(board, config, metrics, trainer.global_step)
    if verbose and leads:
        report.print_figures(metrics, folder)
    return Run(metrics, net.cpu().eval(), folder)


def _network(
    model: Callable[..., nn.Module], init: Callable[[nn.Module], None], joint: Joint, dtype: torch.dtype, seed: int
) -> nn.Module:
    """The network with its first values, drawn in double precision where it trains in that."""
    torch.manual_seed(seed)
    with _default_dtype(torch.float64 if dtype == torch.float64 else torch.float32):
        net = model(in_shape=joint.in_shape, out_features=joint.out_features)
        init(net)
    return net


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _plan(rows: int, batch_size: int, options: TrainerOptions, scheduler: MakeScheduler | None, score: str) -> Plan:
    on_plateau = getattr(scheduler, "func", scheduler) is plateau
    return Plan(
        rows=rows // options.devices,
        batch_rows=batch_size * options.accumulate,
        max_epochs=options.max_epochs,
        max_steps=options.max_steps,
        points=options.points,
        every_pass=on_plateau or options.patience is not None,
        mode=mode(score),
    )


def _check_score(score: str, data: DataModule) -> None:
    """The score's name was checked before; only now is it known which splits there are."""
    if score not in _figures(data):
        raise ValueError(f"score={score}, but this data has no rows for validation; take score=train/loss")


def _figures(data: DataModule) -> list[str]:
    """What an interval measures."""
    validation = ["val/loss", *(f"val/{name}" for name in METRICS[data.joint.task])]
    return ["lr", "train/loss", *(validation if "val" in data.splits else [])]


def _evaluate(
    learner: Learner, trainer: Trainer, data: DataModule, saver: Saver, weights: Literal["best", "last"]
) -> dict[str, Any]:
    """Every split's figures with the weights asked for, which the network keeps."""
    learner.to(trainer.strategy.root_device)
    best = saver.weights(weights)
    if best is not None:
        learner.load_state_dict(best)
    metrics: dict[str, Any] = {}
    for name in (name for name in SPLITS if name in data.splits):
        metrics |= {f"{name}/{key}": value for key, value in learner.assess(data.splits[name], learner.metrics).items()}
        if not math.isfinite(metrics[f"{name}/loss"]):
            raise Diverged(f"{name}/loss is {metrics[f'{name}/loss']} after step {trainer.global_step}")
        if data.joint.task != "regression":
            metrics[f"{name}/confusion_matrix"] = learner.confusion(data.splits[name])
    return metrics | {"parameters": parameter_count(learner.net)}
