"""The same work as one writes it by hand: plain loops, Lightning as usually written, scikit-learn.

Each takes a run's words, so that it has the same rows, first weights, loss, optimizer and number of steps.
"""

import math
import warnings
from collections.abc import Callable
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import BinaryAccuracy

from benchmarks.ours import composed, unseen
from benchmarks.timing import Clock, Cost
from fulmen.config.allowlist import make
from fulmen.data.tensors import Batch
from fulmen.models.initializers import new_network
from fulmen.models.precision import data_type
from fulmen.training.packs import DataModule


class Shallow(nn.Module):
    """The notebooks' network: two matrices and two biases, sigmoids, probabilities."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        values = [value.detach().clone() for value in layers.parameters()]
        self.w1, self.w2 = (nn.Parameter(value.mT.contiguous()) for value in values[::2])
        self.b1, self.b2 = (nn.Parameter(value) for value in values[1::2])

    def forward(self, x: Tensor) -> Tensor:
        """[B, 2] -> [B, 1], probabilities."""
        hidden = torch.sigmoid(torch.matmul(x, self.w1) + self.b1)
        return torch.sigmoid(torch.matmul(hidden, self.w2) + self.b2)


LOSSES: dict[str, Callable[[], nn.Module]] = {
    "regression": nn.MSELoss,
    "binary": nn.BCEWithLogitsLoss,
    "multiclass": nn.CrossEntropyLoss,
}


class Parts(NamedTuple):
    """What a loop works with."""

    splits: dict[str, Batch]
    net: nn.Module
    loss_of: nn.Module
    optimizer: Optimizer
    batch_size: int
    epochs: int


def parts(words: tuple[str, ...]) -> Parts:
    """Those of a run, in plain torch."""
    torch.set_num_threads(1)
    config = composed(*words)
    source = make(config.data)
    data = DataModule(source, dtype=data_type(config.trainer.precision), seed=config.seed, pack="auto")
    data.load()
    model, init = make(config.model), make(config.init)
    net = new_network(
        model, source.spec.in_shape, source.spec.out_features, config.trainer.precision, config.seed, init
    ).get_submodule("layers")
    size = data.rows if source.batch_size == "full" else source.batch_size
    steps, epochs = config.trainer.max_steps, config.trainer.max_epochs or config.data.epochs
    return Parts(
        {name: split.take(slice(None)) for name, split in data.splits.items()},
        net,
        LOSSES[source.spec.task](),
        make(config.optimizer)(net.parameters()),
        size,
        epochs if steps is None else steps // math.ceil(data.rows / size),
    )


def notebook(*words: str) -> Cost:
    """As the notebooks: `Shallow`, and every batch's loss kept; a DataLoader unless there is one batch."""
    of, losses = parts(words), []
    net = Shallow(of.net)
    optimizer = make(composed(*words).optimizer)(net.parameters())
    of = of._replace(net=net, loss_of=nn.BCELoss(), optimizer=optimizer)
    rows = TensorDataset(*of.splits["train"])
    full = of.batch_size >= len(rows)
    batches = [of.splits["train"]] if full else DataLoader(rows, of.batch_size, shuffle=True)
    clock = Clock()
    for _ in range(of.epochs):
        for x, y in batches:
            losses.append(step(of, x, y).item())
    return clock.read()


def plain(*words: str) -> Cost:
    """Without a DataLoader: rows taken by their shuffled numbers, or all of them."""
    of = parts(words)
    clock = Clock()
    passes(of)
    return clock.read()


def plain_whole(*words: str) -> Cost:
    """The same with the data before and figures of each split after it."""
    clock = Clock()
    of = parts(words)
    passes(of)
    with torch.no_grad():
        for x, y in of.splits.values():
            out = of.net(x)
            print(of.loss_of(out, y).item(), ((out > 0) == y).double().mean().item())
    return clock.read()


def passes(of: Parts) -> list[float]:
    """Trains; returns the loss of each pass."""
    x, y = of.splits["train"]
    losses = []
    for _ in range(of.epochs):
        if of.batch_size >= len(x):
            losses.append(step(of, x, y).item())
            continue
        order, total = torch.randperm(len(x)), 0.0
        for rows in torch.split(order, of.batch_size):
            total += step(of, x[rows], y[rows]).item()
        losses.append(total / math.ceil(len(x) / of.batch_size))
    return losses


def step(of: Parts, x: Tensor, y: Tensor) -> Tensor:
    """The four lines of every loop."""
    loss: Tensor = of.loss_of(of.net(x), y)
    of.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    of.optimizer.step()
    return loss


class Usual(LightningModule):
    """What examples of Lightning look like, for two classes."""

    def __init__(self, of: Parts) -> None:
        super().__init__()
        self.net, self.loss_of, self.optimizer = of.net, of.loss_of, of.optimizer
        self.accuracy, self.val_accuracy = BinaryAccuracy(), BinaryAccuracy()

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        return self._step(batch, "train", self.accuracy)

    def validation_step(self, batch: list[Tensor], _index: int) -> Tensor:
        return self._step(batch, "val", self.val_accuracy)

    def _step(self, batch: list[Tensor], split: str, accuracy: BinaryAccuracy) -> Tensor:
        x, y = batch
        out = self.net(x)
        loss: Tensor = self.loss_of(out, y)
        accuracy(out, y)
        self.log(f"{split}/loss", loss, prog_bar=True)
        self.log(f"{split}/accuracy", accuracy, prog_bar=True)
        return loss

    def configure_optimizers(self) -> Any:
        return self.optimizer


def lightning(*words: str) -> Cost:
    """A DataLoader, metrics by `self.log`, validation, TensorBoard, a checkpoint each epoch, the progress bar."""
    of = parts(words)
    train, val = (
        DataLoader(TensorDataset(*of.splits[name]), of.batch_size, shuffle=name == "train") for name in ("train", "val")
    )
    with TemporaryDirectory() as folder, unseen(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the number of workers
        clock = Clock()
        Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=of.epochs,
            precision=composed(*words).trainer.precision,
            logger=TensorBoardLogger(folder),
            callbacks=[ModelCheckpoint(monitor="val/loss")],
            default_root_dir=folder,
            enable_model_summary=False,
        ).fit(Usual(of), train, val)
        return clock.read()


def sklearn(kind: type[np.floating], *words: str) -> Cost:
    """scikit-learn's MLPClassifier, with a run's settings, on rows of a kind of number."""
    of, config = parts(words), composed(*words)
    x, y = of.splits["train"].x.flatten(1).numpy().astype(kind), of.splits["train"].y.numpy()
    classifier = MLPClassifier(
        list(config.model.hidden),
        activation=config.model.activation,
        solver="sgd",
        learning_rate_init=config.optimizer.lr,
        momentum=config.optimizer.momentum,
        nesterovs_momentum=config.optimizer.nesterov,
        alpha=2 * config.penalty.weight * of.batch_size,
        batch_size=of.batch_size,
        max_iter=of.epochs,
        random_state=0,
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten passes are asked for
        clock = Clock()
        classifier.fit(x, y)
        return clock.read()
