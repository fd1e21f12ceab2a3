"""A measurement of batch sizes: up to which one the time that a row takes in training still falls.

Only the step is measured, as every run takes it: rows are gathered for many steps at once. All sizes are measured in
turn, and that several times, so that whatever else the machine does slows all of them alike.

Shapes: N sizes, K measurements of each.
"""

import copy
import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from fulmen.data.tensors import Batch
from fulmen.errors import ConfigurationError, one_line
from fulmen.experiment import run
from fulmen.experiment.experiment import Experiment
from fulmen.experiment.prepare import Prepared, prepare
from fulmen.models import dry_run
from fulmen.models.precision import computing
from fulmen.training import accelerators, graph, optimizers
from fulmen.training.backprop.gradient import find_gradient
from fulmen.training.step import Step
from fulmen.training.trainer import find_threads

ROUNDS = 5
SECONDS = 0.02
"""That a measurement takes at least."""
NEAR = 1.1
"""Times the least time per row, up to which a smaller batch is as good."""
TENSORS_OF_WEIGHTS, TENSORS_OF_LAYERS = 6, 3
"""Tensors as large as the weights that a step holds (these, the best, gradient, two states, an update), and as large as
a layer's output (this, its gradient, and what comes between)."""


@dataclass(frozen=True)
class SizeTest:
    """The outcome of a measurement of batch sizes."""

    rows: int
    """Training rows."""
    sizes: list[int]
    """Of the batches that were measured, [N], ascending."""
    seconds: NDArray[np.float64]
    """That a row took, [N, K]."""
    most: int
    """Rows in a batch that fit into memory, by an estimate or, on a GPU, as tried; `rows` if all of them do."""
    ends: str
    """Why no larger batches were measured."""

    @property
    def medians(self) -> NDArray[np.float64]:
        """Seconds that a row takes, [N], by comparison with the fastest size in the same round."""
        fastest = self.seconds[np.argmin(np.median(self.seconds, 1))]
        medians: NDArray[np.float64] = np.median(self.seconds / fastest, 1) * np.median(fastest)
        return medians

    @property
    def best(self) -> int:
        """The smallest size whose time per row is within 10% of the least."""
        return self.sizes[int(np.argmax(self.medians <= NEAR * self.medians.min()))]

    @property
    def reason(self) -> str:
        """A sentence on why this size is the best."""
        medians, fastest = 1e6 * self.medians, int(np.argmin(self.medians))
        said = f"a row takes {medians[self.sizes.index(self.best)]:.3g} µs in batches of {self.best}"
        if self.best == self.sizes[fastest]:
            return f"{said}, less than in all others by more than {NEAR - 1:.0%}"
        least = f"{medians[fastest]:.3g} µs in batches of {self.sizes[fastest]}"
        return f"{said}, within {NEAR - 1:.0%} of the least, {least}; smaller ones take longer"


def measure(experiment: Experiment) -> SizeTest:
    """Measures steps on batches of 1, 2, 4 ... rows, up to all; writes nothing.

    Raises:
        ConfigurationError: no batch of any size can be trained on, or several devices are asked for.
        ValueError: parts do not fit each other or the machine, or the data cannot be loaded.
    """
    if experiment.trainer.devices > 1:
        raise ConfigurationError(
            f"batches are measured on one device; leave out trainer.devices={experiment.trainer.devices}"
        )
    with run.host_unchanged():
        prepared = prepare(experiment)
        rows, most = prepared.data.rows, _fitting(prepared)
        doubled = [2**power for power in range(rows.bit_length()) if 2**power < rows]
        sizes = [size for size in [*doubled, rows] if size <= most]
        found: dict[int, list[float]] = {size: [] for size in sizes}
        ends = "" if most >= rows else "more would not fit into memory, by an estimate"
        refused = ""
        for _ in range(ROUNDS):
            for size in list(found):
                try:
                    found[size].append(_seconds(prepared, size))
                except torch.OutOfMemoryError:
                    found = {other: seconds for other, seconds in found.items() if other < size}
                    most, ends = max(found, default=0), f"a batch of {size} rows does not fit into memory"
                    break
                except (ValueError, RuntimeError) as error:  # as of batch normalization, of a single row
                    del found[size]
                    refused = one_line(error)
    if not found:
        raise ConfigurationError(f"no batch of any size can be trained on: {refused or ends}")
    return SizeTest(rows, list(found), np.array([*found.values()]), min(most, rows), ends)


def _seconds(prepared: Prepared, size: int) -> float:
    """Returns the seconds that a row takes in steps on batches of a size."""
    recipe, options, data = prepared.experiment.recipe, prepared.experiment.trainer, prepared.data
    spec, device = data.spec, accelerators.device(prepared.accelerator)
    classes = spec.out_features if spec.task == "multiclass" else 0
    torch.set_num_threads(find_threads(options, prepared.evaluation.net, spec.in_shape, size, classes))
    evaluation = replace(prepared.evaluation, net=copy.deepcopy(prepared.evaluation.net).to(device).train())
    step = Step(
        evaluation,
        penalty=recipe.penalty,
        by_hand=find_gradient(recipe.backprop, evaluation, recipe.penalty, size, 1),
        gradient_clip=options.gradient_clip,
        batch_size=size,
        batch_rows=size,
        seed=recipe.seed,
        augment=prepared.step.augment,
    )
    if prepared.plan.total_steps >= graph.LONG:
        step.record_gradient()
    train_step = step.plain(optimizers.make(recipe.optimizer, list(evaluation.net.parameters())))
    batch = Batch(*(values.to(device) for values in data.splits["train"].take(slice(0, size))))
    with computing(evaluation.precision, device.type):
        number, count, taken = 3, 1, 0.0
        for warm_up in range(3):
            train_step(batch, warm_up)
        while taken < SECONDS:
            began = time.perf_counter()
            for _ in range(count):
                loss = train_step(batch, number)
                number += 1
            loss.item()  # waits until a GPU is done
            taken = time.perf_counter() - began
            each = taken / count
            count = max(2 * count, math.ceil(SECONDS / max(each, 1e-9)))
    return each / size


def _fitting(prepared: Prepared) -> int:
    """Returns how many rows of a batch fit into half of the memory that is free, by the sizes of the layers."""
    net, shape = prepared.evaluation.net, prepared.data.spec.in_shape
    kind = next(net.parameters()).element_size()
    weights = sum(value.numel() for value in net.parameters())
    outputs = math.prod(shape) + sum(math.prod(layer.out_shape) for layer in dry_run.layers(net, shape))
    free = accelerators.free_memory(accelerators.device(prepared.accelerator)) // 2
    return max(0, free - TENSORS_OF_WEIGHTS * kind * weights) // (TENSORS_OF_LAYERS * kind * outputs)
