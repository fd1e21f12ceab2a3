"""A callback: one of Lightning's. `on_train_epoch_end` comes once an interval, `on_train_batch_end` once a pack.

Lightning calls both before the interval is measured, so `trainer.callback_metrics` has the row of the one before; those
that are a `Checkpoint` or `EarlyStopping` of Lightning's come after it.
"""

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class WeightNorm(Callback):
    """Sends the norm of all parameters to the loggers, and ends a training in which it becomes too large."""

    def __init__(self, *, at_most: float) -> None:
        self.at_most = at_most

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        norm = torch.cat([parameter.detach().flatten() for parameter in pl_module.parameters()]).norm().item()
        pl_module.log("weight_norm", norm)
        trainer.should_stop = trainer.should_stop or norm > self.at_most
