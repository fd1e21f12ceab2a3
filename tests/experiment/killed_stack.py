"""Trains a stack in a process of its own and sends that a signal at a given place; test_stacked.py sets the names.

STACK (the arguments of `train_stack`), AT ("pack", "record" or "state", and the count of it ...), SIGNAL.
"""

import gc
import os
import sys
from collections.abc import Callable
from typing import Any

import torch

from fulmen.experiment import stacked, stacked_records
from fulmen.experiment.build import train_stack
from fulmen.runs.files import write_json
from fulmen.runs.signals import Interrupted
from fulmen.training.stack.fit import Fit

names: dict[str, Any] = globals()
torch.set_num_threads(1)
gc.freeze()  # else looking for garbage copies all that the parent has in memory
vars(stacked).update(SECONDS=0.0, SHARE=1e9)  # saves at every place where it may
left = {names["AT"][0]: names["AT"][1]}


def counted(place: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns a function that sends the signal before its n-th call."""

    def call(*args: Any, **kwargs: Any) -> Any:
        if place in left:
            left[place] -= 1
            if left[place] == 0:
                os.kill(os.getpid(), names["SIGNAL"])
        return function(*args, **kwargs)

    return call


Fit._pack = counted("pack", Fit._pack)  # type: ignore[method-assign]
stacked_records.Records.write = counted("record", stacked_records.Records.write)  # type: ignore[method-assign]
close = stacked_records.Records.close


def kill_while_closing(records: stacked_records.Records) -> None:
    vars(stacked_records)["write_json"] = counted("state", write_json)
    close(records)


stacked_records.Records.close = kill_while_closing  # type: ignore[method-assign, assignment]
try:
    train_stack(*names["STACK"])
except Interrupted as stop:
    sys.exit(128 + stop.signum)
