"""A schedule of the learning rate: the optimizer and the plan of the run in, one of torch's schedulers out."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

from fulmen.training.plan import Plan


def warmup_cosine(optimizer: Optimizer, plan: Plan, *, share: float) -> LRScheduler:
    """Rises for a share of the run's steps, then falls along half a cosine."""
    rise = max(1, int(share * plan.total_steps))
    parts = [LinearLR(optimizer, 0.1, total_iters=rise), CosineAnnealingLR(optimizer, max(1, plan.total_steps - rise))]
    return SequentialLR(optimizer, parts, [rise])
