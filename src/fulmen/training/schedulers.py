"""How the learning rate changes. Each takes the optimizer and the run's length, both in steps of the optimizer.

Schedulers of torch step after every step of the optimizer; `plateau` after every pass, with the run's score. A class,
such as one of torch's, takes the optimizer alone.
"""

import functools
import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau, StepLR

from fulmen.training.plan import Plan

MakeScheduler = Callable[..., LRScheduler]
OF_LENGTH = ("total_steps", "_schedule_phases")
"""Names under which torch's schedulers save the run's length."""


def make(scheduler: MakeScheduler, optimizer: Optimizer, plan: Plan) -> LRScheduler:
    """Returns the schedule of an optimizer; torch's own classes are made as they are, without the run's length."""
    if isinstance(getattr(scheduler, "func", scheduler), type):
        return scheduler(optimizer)
    return scheduler(optimizer, plan)


def constant() -> None:
    """Keeps the learning rate."""


def step(optimizer: Optimizer, plan: Plan, *, epochs: int, gamma: float) -> LRScheduler:
    """Times `gamma` after every `epochs` passes over the data."""
    return StepLR(optimizer, epochs * plan.steps_per_epoch, gamma)


def cosine(optimizer: Optimizer, plan: Plan, *, eta_min: float) -> LRScheduler:
    """Lowers the learning rate along half a cosine from lr to `eta_min` (Loshchilov and Hutter: SGDR, 2017)."""

    def factor(lowest: float, step: int) -> float:
        return lowest + (1 - lowest) * (1 + math.cos(math.pi * step / plan.total_steps)) / 2

    # a function of the step alone, unlike torch's own, so that a longer run continues along the longer curve
    lowest = [eta_min / group["lr"] for group in optimizer.param_groups]
    return LambdaLR(optimizer, [functools.partial(factor, share) for share in lowest])


def one_cycle(optimizer: Optimizer, plan: Plan, *, pct_start: float) -> LRScheduler:
    """Raises the rate to lr for `pct_start` of the steps, then lowers it (Smith and Topin: Super-convergence, 2018)."""
    peaks = [float(group["lr"]) for group in optimizer.param_groups]
    cycles_momentum = optimizer.defaults.get("momentum", 0) > 0 or "betas" in optimizer.defaults
    steps = max(2, plan.total_steps)
    rise = max(pct_start, 1.5 / steps)  # torch divides by the steps up to the peak, which may be none
    return OneCycleLR(optimizer, peaks, steps, pct_start=rise, cycle_momentum=cycles_momentum)


def plateau(optimizer: Optimizer, plan: Plan, *, factor: float, patience: int) -> LRScheduler:
    """Times `factor` when the score has not improved for more than `patience` passes."""
    return ReduceLROnPlateau(optimizer, plan.mode, factor, patience, threshold=0.0, threshold_mode="abs")
