"""Whether networks of several widths should train in one stack, padded to the largest, or in a stack for each width.

usage, in the folder `scripts`: python -m benchmarks.padding [compile]

ParallelMLPs pads (Farias et al., 2022). What is too much is masked here, so that the networks stay what they are.
"""

import dataclasses
import functools
import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks import ours
from benchmarks.stacks import EVEN, step_of
from benchmarks.timing import Cost
from fulmen.config import validate
from fulmen.experiment.build import build
from fulmen.experiment.experiment import Experiment
from fulmen.models.mlp import MLP

WIDTHS, SEEDS = (4, 8, 12, 16, 20, 24, 28, 32), 16


class Padded(nn.Module):
    """One hidden layer with sigmoids, of which the first `width` count.

    Shapes: B rows. [B, *in_shape] -> [B, out_features].
    """

    def __init__(self, in_shape: tuple[int, ...], out_features: int, *, width: int) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(math.prod(in_shape), WIDTHS[-1]), nn.Linear(WIDTHS[-1], out_features)
        self.mask = nn.Parameter((torch.arange(WIDTHS[-1]) < width).float(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(torch.sigmoid(self.hidden(x)) * self.mask)
        return out


def main(is_compiled: bool) -> None:
    """Measures a step of all networks both ways, three times in turn."""
    config = ours.composed(*EVEN, "trainer.max_epochs=20", f"trainer.compile={is_compiled}".lower())
    first = build(config, validate.check(config))

    def seeds(kind: Callable[..., nn.Module]) -> list[Experiment]:
        recipes = [dataclasses.replace(first.recipe, seed=seed) for seed in range(SEEDS)]
        return [dataclasses.replace(first, model=kind, recipe=recipe) for recipe in recipes]

    padded = [each for width in WIDTHS for each in seeds(functools.partial(Padded, width=width))]
    apart = [seeds(functools.partial(MLP, hidden=[width], activation="sigmoid")) for width in WIDTHS]
    for _ in range(1 if is_compiled else 3):
        together = step_of(padded).times(len(padded))
        each = [step_of(stack).times(SEEDS) for stack in apart]
        separate = Cost(sum(cost.amount for cost in each), sum(cost.cpu for cost in each))
        amounts = f"{together.amount * 1e3:.2f} ms padded, {separate.amount * 1e3:.2f} ms apart"
        times = f"{separate.amount / together.amount:.2f} times, {separate.cpu / together.cpu:.2f} of computing"
        print(f"a step of {len(padded)} networks: {amounts}, {times}", flush=True)


if __name__ == "__main__":
    main("compile" in sys.argv[1:])
