"""Trains in a process of its own and sends that a signal at a given step; run by test_resume.py, which sets names.

FOLDER, CONFIG (of a new run; None: it goes on), KILL_AT (a step, or "evaluation", or None), SIGNAL.
"""

import gc
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import fulmen
from fulmen.data.tensors import Batch
from fulmen.experiment.build import resume
from fulmen.tasks.evaluation import Evaluation
from fulmen.training import graph
from fulmen.training.backprop.gradient import ByHand
from fulmen.training.callbacks import checkpointing
from fulmen.training.step import Step

names: dict[str, Any] = globals()
torch.set_num_threads(1)
gc.freeze()  # else looking for garbage copies all that the parent has in memory
checkpointing.SECONDS, checkpointing.SHARE = 0.0, 1e9  # saves at every place where it may
graph.LONG = 1  # a gradient that is recorded for a part of the run gives the weights of one that never is
number, by_hand = Step._number, ByHand.__call__


def kill_or_go_on(training: Step, step: int) -> None:
    if step == names["KILL_AT"]:
        os.kill(os.getpid(), names["SIGNAL"])
    number(training, step)


def kill_or_go_on_by_hand(gradient: ByHand, batch: Batch, step: int) -> tuple[Tensor, Tensor]:
    if step == names["KILL_AT"]:
        os.kill(os.getpid(), names["SIGNAL"])
    return by_hand(gradient, batch, step)


def kill(*_: object) -> None:
    os.kill(os.getpid(), names["SIGNAL"])


if names["KILL_AT"] == "evaluation":
    Evaluation.all_metrics = kill  # type: ignore[method-assign, assignment]
Step._number = kill_or_go_on  # type: ignore[method-assign, assignment]
ByHand.__call__ = kill_or_go_on_by_hand  # type: ignore[method-assign, assignment]
if names["CONFIG"] is None:
    resume(Path(names["FOLDER"]), verbose=False)
else:
    fulmen.train(names["CONFIG"], folder=Path(names["FOLDER"]), verbose=False)
