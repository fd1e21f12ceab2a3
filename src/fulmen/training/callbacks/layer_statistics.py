"""Statistics of each layer while a network trains: gradients, updates, dead units and saturation, once an interval.

All are measured on the same few training rows, with dropout off, on a copy of the network: the run itself never
notices, and how its steps are taken does not matter, be it in packs, compiled, by hand or by L-BFGS. Each time costs a
forward and a backward pass of these rows. `last.ckpt` holds them, too, so that the curves of a resumed run have no gap.
"""

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from fulmen.data.tensors import Batch, Rows, chunk_rows
from fulmen.errors import one_line, warn
from fulmen.models.dry_run import evaluation_mode
from fulmen.models.precision import computing
from fulmen.tasks.evaluation import Evaluation, like
from fulmen.training import loggers
from fulmen.training.learner import Learner

PROBE: Final = 256
"""Training rows at most, evenly spaced."""
GRADIENT, UPDATE, DEAD, SATURATED = "gradient_norm", "update_ratio", "dead_units", "saturated"
"""The statistics. A curve is called `<statistic>/<layer>`."""

Row = dict[str, float]


class LayerStatistics(Callback):
    """Statistics before the first step and at the end of each interval, as curves in TensorBoard and for a figure."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, Row]] = []
        """Steps with their statistics."""
        self.copy: Evaluation | None = None
        """The network as it was at `step`; None if it cannot be copied or measured."""
        self.step = 0
        self.restored: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        if not trainer.is_global_zero:
            return
        splits: dict[str, Rows] = trainer.datamodule.splits  # type: ignore[attr-defined]
        self.probe = probe(splits["train"])
        try:
            net = copy.deepcopy(pl_module.net)
        except Exception as error:  # such as a tensor of the graph that a network of one's own keeps
            self._give_up(error)
            return
        self.copy = replace(pl_module.evaluation, net=net)
        if self.restored:
            _set(net, self.restored)
        else:
            self.step = trainer.global_step
        if not self.rows:
            self._measure(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._measure(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        names = list(dict.fromkeys(name for _, row in self.rows for name in row))
        values = [[row.get(name, math.nan) for name in names] for _, row in self.rows]
        net = None if self.copy is None else self.copy.net
        return {
            "names": names,
            "steps": [step for step, _ in self.rows],
            "values": torch.tensor(values, dtype=torch.float64),  # [steps, names]
            "step": self.step,
            "weights": {} if net is None else {name: value.detach().cpu() for name, value in net.named_parameters()},
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        values = (dict(zip(state_dict["names"], row, strict=True)) for row in state_dict["values"].tolist())
        self.rows = [(step, _finite(row)) for step, row in zip(state_dict["steps"], values, strict=True)]
        self.step, self.restored = state_dict["step"], state_dict["weights"]

    def _measure(self, trainer: Trainer, module: LightningModule) -> None:
        """Adds a row, unless there is one of this step."""
        assert isinstance(module, Learner)
        step = trainer.global_step
        if self.copy is None or (self.rows and self.rows[-1][0] >= step):
            return
        try:
            row = update_ratios(self.copy.net, module.net, step - self.step) if step > self.step else {}
            self.copy.net.load_state_dict(module.net.state_dict())
            row = _finite(row | measure(self.copy, self.probe))
        except Exception as error:  # whatever a network of one's own may raise; the run goes on
            self._give_up(error)
            return
        self.step = step
        self.rows.append((step, row))
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger):
                loggers.show_scalars(logger, row, step)

    def _give_up(self, error: Exception) -> None:
        self.copy = None
        warn(f"what goes on inside the network is not shown: {one_line(error)}")


def probe(rows: Rows) -> Batch:
    """Returns at most `PROBE` rows of a split, evenly spaced; fewer, if they are large."""
    count = min(PROBE, rows.rows, chunk_rows(rows.take(slice(0, 1)).x))
    return rows.take(torch.linspace(0, rows.rows - 1, count, dtype=torch.float64).long())


def update_ratios(before: nn.Module, now: nn.Module, steps: int) -> Row:
    """Returns how far each layer's weights moved in a step, relative to their size: ‖w_now - w_before‖ / (n ‖w_now‖).

    The mean over the n steps of an interval; what one step does and another undoes is not counted. About 1e-3 is
    usual in a single step; much more is a rate too large, much less one too small (Karpathy: CS231n, *Neural networks
    part 3*, 2015).

    Args:
        before: the network as it was.
        now: the same network, `steps` steps later.
        steps: n.
    """
    others = dict(before.named_parameters())
    changes, sizes = dict[str, list[Tensor]](), dict[str, list[Tensor]]()
    for name, value in now.named_parameters():
        if value.requires_grad:
            changes.setdefault(_layer(name), []).append(value.detach() - others[name].detach())
            sizes.setdefault(_layer(name), []).append(value.detach())
    found = {layer: (_norm(changes[layer]), _norm(sizes[layer])) for layer in sizes}
    return {f"{UPDATE}/{layer}": change / size / steps for layer, (change, size) in found.items() if size > 0}


def measure(evaluation: Evaluation, batch: Batch) -> Row:
    """Returns the statistics of each layer for some rows, with the network in evaluation mode.

    The norm of the gradient is that of the mean loss over these rows, without penalty and before any clipping. A unit
    of a `ReLU` is dead if it is 0 for every row (for images a unit is a channel). An output of a `Tanh` is saturated
    beyond ±0.97, where its derivative is below 0.06, one of a `Sigmoid` outside 0.03 to 0.97 (Glorot and Bengio:
    Understanding the difficulty of training deep feedforward neural networks, 2010; thresholds: Karpathy, *makemore*
    part 3, 2022). Activations count where they are modules, each call by itself.

    Shapes: B rows.

    Args:
        evaluation: the network and its loss; neither weights nor their `.grad` are changed.
        batch: features [B, *in_shape] and targets.
    """
    net, row = evaluation.net, Row()

    def watch(name: str, statistic: str, share: Callable[[Tensor], Tensor]) -> Callable[..., None]:
        def look(_module: nn.Module, _inputs: Any, out: Tensor) -> None:
            key = f"{statistic}/{name or '(all)'}"
            calls = sum(other == key or other.startswith(f"{key} (") for other in row)
            row[key if calls == 0 else f"{key} ({calls + 1})"] = share(out.detach()).item()

        return look

    handles = [
        module.register_forward_hook(watch(name, *ACTIVATIONS[type(module)]))
        for name, module in net.named_modules()
        if type(module) in ACTIVATIONS
    ]
    trained = {name: value for name, value in net.named_parameters() if value.requires_grad}
    try:
        # anomaly detection would end the run at a NaN which is only looked at here
        with evaluation_mode(net), torch.enable_grad(), torch.autograd.set_detect_anomaly(False):
            with computing(evaluation.precision, batch.x.device.type):
                out = net(batch.x)
                out = out.float() if out.dtype in (torch.bfloat16, torch.float16) else out
                loss = evaluation.loss(out, like(out, batch.y), evaluation.task)
            if evaluation.loss.reduction == "sum":
                loss = loss / batch.rows
            found = torch.autograd.grad(loss, list(trained.values()), materialize_grads=True, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    layers = dict[str, list[Tensor]]()
    for name, gradient in zip(trained, found, strict=True):
        layers.setdefault(_layer(name), []).append(gradient)
    return {f"{GRADIENT}/{layer}": _norm(gradients) for layer, gradients in layers.items()} | row


def _dead(out: Tensor) -> Tensor:
    """Returns the share of units, of [B, ...], that are 0 for every row; of [B, C, H, W], of channels."""
    silent = (out == 0).all(0)
    return (silent.flatten(1).all(1) if out.ndim > 3 else silent).float().mean()


ACTIVATIONS: Final[dict[type[nn.Module], tuple[str, Callable[[Tensor], Tensor]]]] = {
    nn.ReLU: (DEAD, _dead),
    nn.ReLU6: (DEAD, _dead),
    nn.Tanh: (SATURATED, lambda out: (out.abs() > 0.97).float().mean()),
    nn.Sigmoid: (SATURATED, lambda out: ((out < 0.03) | (out > 0.97)).float().mean()),
}
"""What is measured of the outputs of an activation, [B, ...]."""


def _layer(parameter: str) -> str:
    """Returns the name of the layer that a parameter belongs to."""
    return parameter.rpartition(".")[0] or "(all)"


def _norm(values: Iterable[Tensor]) -> float:
    """Returns the Euclidean norm of all numbers together."""
    whole = torch.cat([value.flatten() for value in values])
    return float(torch.linalg.vector_norm(whole.to(torch.promote_types(whole.dtype, torch.float32))))


def _set(net: nn.Module, weights: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in net.named_parameters():
            value.copy_(weights[name])


def _finite(row: Row) -> Row:
    return {name: value for name, value in row.items() if math.isfinite(value)}
