"""The learning rates of many copies are those that the schedule of each gives it."""

import functools
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from fulmen.config.groups import choices, conf_dir
from fulmen.training import schedulers
from fulmen.training.plan import Plan
from fulmen.training.stack.rates import Rates

PLAN = Plan(rows=100, batch_rows=10, max_epochs=4)


@pytest.mark.parametrize("name", [name for name in choices("scheduler", [conf_dir()]) if name != "plateau"])
def test_every_schedule(name: str) -> None:
    make = instantiate(OmegaConf.load(choices("scheduler", [conf_dir()])[name]))
    rates, found = (0.1, 0.003, 0.1), list[list[float]]()
    recipes: list[Any] = [
        SimpleNamespace(optimizer=functools.partial(torch.optim.SGD, lr=rate), scheduler=make) for rate in rates
    ]
    together = Rates(recipes, PLAN, torch.zeros(1))
    for _ in range(40):
        found.append(together.column())
        together.step()
    for copy, rate in enumerate(rates):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
        alone = None if make is None else schedulers.make(make, optimizer, PLAN)
        for row in found:
            assert row[copy] == optimizer.param_groups[0]["lr"]
            optimizer.step()
            if alone is not None:
                alone.step()
