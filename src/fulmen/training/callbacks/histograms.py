"""Sends histograms of weights and gradients to TensorBoard, once an interval; other runs have no such callback."""

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from fulmen.training import loggers


class Histograms(Callback):
    """Sends the values of each parameter, and its gradient on the last batch."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for name, parameter in pl_module.named_parameters():
            name = name.removeprefix("net.")
            found = {f"weights/{name}": parameter.detach(), f"gradients/{name}": parameter.grad}
            for tag, values in found.items():
                if values is not None and torch.isfinite(values).all():
                    loggers.show_histogram(trainer.loggers, tag, values, trainer.global_step)
