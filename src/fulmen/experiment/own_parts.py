"""Parts of the user's own, checked before anything is written: how they are called, and what they return.

Fulmen's own parts pass the same checks where those are cheap; the data set has its own in `config/validate.py`, the
network in `models/network_check.py`.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers.logger import Logger
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from fulmen.config import allowlist
from fulmen.data.tensors import Rows
from fulmen.rules import called, wrong_part
from fulmen.tasks.evaluation import Evaluation, like
from fulmen.training import schedulers
from fulmen.training.parameters import groups as grouped
from fulmen.training.plan import Plan
from fulmen.training.recipe import Recipe, kind

ARGUMENTS: Final[Mapping[str, tuple[tuple[Any, ...], Mapping[str, Any]]]] = {
    "model": ((), {"in_shape": (1,), "out_features": 1}),
    "loss": (("out", "y", "task"), {}),
    "penalty": (("parameters",), {}),
    "optimizer": (("params",), {}),
    "scheduler": (("optimizer", "plan"), {}),
    "init": (("net",), {}),
    "metric": (("prediction", "target"), {}),
    "callbacks": ((), {}),
    "logger": ((), {"save_dir": "", "version": ""}),
    "figure": (("context",), {}),
}
"""What each kind of part is called with, beside the keys of its file."""
ROWS: Final = 3


def make(part: str, section: DictConfig) -> Any:
    """Makes a part that its section of the configuration describes.

    Args:
        part: the kind of part.
        section: with the target, which must have been checked, and its keys.

    Raises:
        ConfigurationError: it is the user's own, and cannot be made, or not be called as it will be.
    """
    target = str(section.get("_target_"))
    if target in allowlist.shipped():
        return allowlist.make(section)
    found = called(part, target, lambda: allowlist.make(section))
    if not callable(found):
        what = f"is made as a {type(found).__name__}, once for all, but is to be called; add '_partial_: true' to it"
        raise wrong_part(part, target, what)
    positional, keywords = ARGUMENTS[part]
    is_class = isinstance(kind(found), type)
    if part == "scheduler" and is_class:
        positional = positional[:1]
    own = found if isinstance(found, functools.partial) else functools.partial(found)
    try:  # a partial with a keyword that its function lacks has no signature, so the function is asked for its own
        inspect.signature(own.func).bind(*own.args, *positional, **{**own.keywords, **keywords})
    except ValueError:  # it has no signature, as some of C have none
        pass
    except TypeError as error:
        raise wrong_part(part, target, f"cannot be called: {error}") from error
    for base, of in ((nn.Module, "model"), (Optimizer, "optimizer"), (Callback, "callbacks"), (Logger, "logger")):
        if part == of and is_class and not issubclass(kind(found), base):
            raise wrong_part(part, target, f"is a class, but no {base.__name__}")
    return found


def check(evaluation: Evaluation, recipe: Recipe, plan: Plan, rows: Rows) -> Optimizer:
    """Calls each part of a recipe once, on copies, and looks at what it returns.

    Args:
        evaluation: the network and its loss; neither changes.
        recipe: the loss, the penalty, and makes optimizer and schedule.
        plan: of the run.
        rows: of the training split.

    Returns:
        An optimizer of copies of the network's parameters.

    Raises:
        ConfigurationError: one of the parts raises an error, or returns something else than it must.
    """
    named = evaluation.net.named_parameters()
    copies = {name: p.detach().clone().requires_grad_(p.requires_grad) for name, p in named}
    parameters, groups = [*copies.values()], grouped(copies, recipe.learning_rates)
    if is_own(recipe.loss.function):
        batch = rows.take(slice(0, ROWS))
        out = evaluation.scores(batch.x).clone().requires_grad_()
        y = like(out, batch.y)
        _number("loss", recipe.loss.name, lambda: recipe.loss(out, y, evaluation.task), out.requires_grad)
    penalty = recipe.penalty
    if penalty is not None and is_own(penalty):
        name = getattr(kind(penalty), "__name__", type(penalty).__name__)
        _number("penalty", name, lambda: penalty(parameters), any(p.requires_grad for p in parameters))
    name = getattr(kind(recipe.optimizer), "__name__", "")
    optimizer: Any = recipe.optimizer(groups) if not is_own(recipe.optimizer) else None
    if optimizer is None:
        optimizer = called("optimizer", name, lambda: recipe.optimizer(groups))
    if not isinstance(optimizer, Optimizer):
        raise wrong_part("optimizer", name, f"returned a {type(optimizer).__name__}")
    scheduler = recipe.scheduler
    if scheduler is not None and is_own(scheduler):
        name = getattr(kind(scheduler), "__name__", "")
        found: Any = called("scheduler", name, lambda: schedulers.make(scheduler, optimizer, plan))
        if not isinstance(found, LRScheduler):
            raise wrong_part("scheduler", name, f"returned a {type(found).__name__}")
    return optimizer


def callbacks(make_callbacks: Callable[[], Any] | None) -> list[Callback]:
    """Makes the callbacks of a run: one, or a list of several.

    Raises:
        ConfigurationError: what is made is no callback of Lightning's.
    """
    if make_callbacks is None:
        return []
    name = getattr(kind(make_callbacks), "__name__", "")
    found = called("callbacks", name, make_callbacks)
    several = list(found) if isinstance(found, (list, tuple)) else [found]
    for each in several:
        if not isinstance(each, Callback):
            raise wrong_part("callbacks", name, f"returned a {type(each).__name__}")
    return several


def is_own(part: Any) -> bool:
    """Returns whether a part is the user's, and not Fulmen's or torch's."""
    home = str(getattr(kind(part), "__module__", None) or type(part).__module__)
    return not home.startswith(("fulmen.", "torch."))


def _number(part: str, name: str, call: Callable[[], Any], has_gradient: bool) -> None:
    with torch.enable_grad():
        found = called(part, name, call)
    if not isinstance(found, Tensor):
        raise wrong_part(part, name, f"returned a {type(found).__name__}")
    if found.numel() != 1:
        raise wrong_part(part, name, f"returned a tensor of shape {tuple(found.shape)}")
    if has_gradient and not found.requires_grad:
        raise wrong_part(part, name, "returned a tensor without a gradient (detach, item and numpy lose it)")
