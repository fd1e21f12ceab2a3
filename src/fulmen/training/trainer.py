"""The keys of `trainer`, and the accelerator, threads, plan and Trainer that follow from it."""

import logging
import re
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.profilers import SimpleProfiler
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from fulmen.models.dry_run import widest, work
from fulmen.models.precision import data_type
from fulmen.rules import alternatives
from fulmen.runs.checkpoints import load, save
from fulmen.tasks.names import mode
from fulmen.training import accelerators
from fulmen.training.plan import Plan
from fulmen.training.schedulers import MakeScheduler, plateau


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but never half-written.

    Lightning writes to a folder for temporary files and moves the result: across file systems a stop in between leaves
    a torn file where a good one was.
    """

    def __init__(self, trust: bool = False) -> None:
        super().__init__()
        self.trust = trust

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Loads plain values and tensors only, whatever Lightning asks for: a checkpoint is data."""
        return load(path, trust=self.trust)


ALL_THREADS = torch.get_num_threads()
"""One for each core, unless the environment says otherwise (`OMP_NUM_THREADS`)."""
SMALL_STEP, LARGE_STEP = 1e7, 5e7
"""Operations in a step from which on two threads, which first have to agree, are faster than one; and all of them;"""
LARGE_LAYER = 2**16
"""as from so many numbers in a layer's output, of which torch gives a thread 2^15 at least;"""
SMALL_SOFTMAX = 2**12
"""but of class probabilities, whose exponentials take longer, two threads share 2^12. See docs/performance.md."""

COPIES = re.compile("spawn|fork|notebook")
"""Strategies that do not start new processes."""
STRATEGIES = ("auto", "single_device", "ddp", "ddp_find_unused_parameters_false", "ddp_find_unused_parameters_true")
"""Strategies that need no further library; others of Lightning's do, or another machine."""


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """The keys of `conf/trainer/default.yaml`, which says what each means.

    Raises:
        ValueError: two of them do not go together.
    """

    max_epochs: int | None
    max_steps: int | None
    accelerator: str
    devices: int
    strategy: str
    precision: str
    threads: int | str
    gradient_clip: float | None
    accumulate: int
    patience: int | None
    pack: int | str
    points: int
    debug: bool
    compile: bool | Literal["auto"] = False
    fast_dev_run: bool = False
    overfit: int | None = None
    limit_batches: int | None = None
    profile: bool = False

    def __post_init__(self) -> None:
        if self.precision == "16-mixed" and self.gradient_clip is not None:
            raise ValueError(
                "trainer.gradient_clip does not go with trainer.precision=16-mixed, whose gradients are scaled; "
                "take trainer.precision=bf16-mixed"
            )

    @property
    def batches(self) -> int | None:
        """Batches of each split that are used at most; None for all."""
        return 1 if self.fast_dev_run else self.limit_batches

    @property
    def dtype(self) -> torch.dtype:
        """Type of the data's numbers."""
        return data_type(self.precision)


def no_callbacks() -> list[Callback]:
    """Makes no callbacks beside Fulmen's own."""
    return []


def find_accelerator(options: TrainerOptions) -> str:
    """Returns the accelerator to ask Lightning for.

    Raises:
        ValueError: it is not in this machine, or cannot do what is asked for.
    """
    found = accelerators.find(options.accelerator, options.dtype, options.devices)
    strategy = options.strategy
    if COPIES.search(strategy):
        raise ValueError(f"trainer.strategy={strategy} copies a running process with its open files; take ddp")
    if strategy not in STRATEGIES:
        raise ValueError(f"there is no trainer.strategy={strategy} here{alternatives(strategy, STRATEGIES)}")
    if found == "cpu" and options.precision == "16-mixed":
        raise ValueError("trainer.precision=16-mixed is for GPUs, and this is a cpu; take trainer.precision=bf16-mixed")
    return found


def find_threads(
    options: TrainerOptions, net: nn.Module, in_shape: tuple[int, ...], rows: int, classes: int = 0, copies: int = 1
) -> int:
    """Returns the threads to compute with: as said, or by an estimate of a step's work.

    From sizes and not from a clock, so that a repeated run has the same: more threads change the last bits of sums.

    Args:
        options: `threads` may be a number.
        net: on the CPU.
        in_shape: of a row.
        rows: that go through the network at once.
        classes: of which a softmax finds the probabilities.
        copies: networks that train as one. Their layers' outputs are many small ones, and sharing those out among
            threads takes longer than it saves.
    """
    if isinstance(options.threads, int):
        return options.threads
    # a multiplication and an addition, forward and twice as much backward
    operations = 6 * rows * copies * work(net, in_shape)
    if operations >= LARGE_STEP or rows * widest(net, in_shape) >= LARGE_LAYER:
        return ALL_THREADS
    return min(2, ALL_THREADS) if operations >= SMALL_STEP or rows * classes >= SMALL_SOFTMAX else 1


def find_plan(options: TrainerOptions, rows: int, batch_size: int, scheduler: MakeScheduler | None, score: str) -> Plan:
    """Returns how the run is divided into passes, intervals and packs.

    Raises:
        ValueError: there are fewer rows than devices.
    """
    if rows < options.devices:
        there = f"there {'is' if rows == 1 else 'are'} {rows}"
        raise ValueError(f"trainer.devices={options.devices} needs at least {options.devices} training rows; {there}")
    on_plateau = getattr(scheduler, "func", scheduler) in (plateau, ReduceLROnPlateau)
    return Plan(
        rows=rows // options.devices,
        batch_rows=batch_size * options.accumulate,
        max_epochs=options.max_epochs,
        max_steps=1 if options.fast_dev_run else options.max_steps,
        points=options.points,
        every_pass=on_plateau or options.patience is not None,
        mode=mode(score),
    )


def build(
    options: TrainerOptions,
    accelerator: str,
    *,
    score: str,
    loggers: Iterable[Logger],
    callbacks: Iterable[Callback],
    trust: bool,
    folder: Path,
) -> Trainer:
    """Returns a Trainer without what the learner does itself: validation loops, the bar, the counting of epochs.

    With `trainer.profile` it leaves Lightning's `fit-profile.txt` in the folder.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*`isinstance\\(treespec, LeafSpec\\)`.*")
    warnings.filterwarnings("ignore", "Found \\d+ module\\(s\\) in eval mode")  # frozen by whoever wrote the network
    warnings.filterwarnings("ignore", "The `srun` command is available")  # of a run on a cluster's login node
    stopping = []
    if options.patience is not None:  # a score that is not finite is no improvement, and no reason to stop at once
        stopping = [EarlyStopping(score, patience=options.patience, mode=mode(score), strict=False, check_finite=False)]
    return Trainer(
        accelerator=accelerator,
        devices=options.devices,
        strategy=options.strategy,
        precision=options.precision,  # type: ignore[arg-type]
        max_epochs=-1,  # the learner stops at the last step
        limit_val_batches=0,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=list(loggers),
        callbacks=[*callbacks, *stopping],
        plugins=[AtomicCheckpointIO(trust)],
        enable_progress_bar=False,
        enable_model_summary=False,
        detect_anomaly=options.debug,
        profiler=SimpleProfiler(folder, "profile") if options.profile else None,
    )
