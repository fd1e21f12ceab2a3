"""Parts of the user's own, checked before anything is written: how they are called, and what they return.

Fulmen's own parts pass the same checks where those are cheap; the data set has its own in `config/validate.py`, the
network in `models/network_check.py`.
"""

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers.logger import Logger
from omegaconf import DictConfig
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from fulmen.config import allowlist
from fulmen.data.tensors import Rows
from fulmen.errors import ConfigurationError, one_line
from fulmen.rules import called, did_you_mean, listed, type_of, wrong_part
from fulmen.tasks.evaluation import Evaluation, like
from fulmen.training import schedulers
from fulmen.training.parameters import groups as grouped
from fulmen.training.plan import Plan
from fulmen.training.recipe import Recipe, kind
from fulmen.training.schedulers import MakeScheduler
from fulmen.training.trainer import TrainerOptions

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
MEASURES: Final = (
    "Fulmen measures by itself; use on_train_epoch_end, which comes once an interval, or metrics=[...] of your own"
)
STEPS: Final = (
    "Fulmen takes the steps by itself; use on_train_batch_end, which comes once a pack of steps, with trainer.pack=1 "
    "once a step"
)
NOT_CALLED: Final = {
    "on_(sanity_check|validation|test|predict)_": MEASURES,
    "on_(before|after)_backward|on_before_(optimizer_step|zero_grad)": STEPS,
}
"""Patterns of Lightning's hooks that are never called, with the reason and what to use instead."""
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
        what = f"is made as {type_of(found)}, once for all, but is to be called; add '_partial_: true' to it"
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
    if is_class and (missing := sorted(getattr(kind(found), "__abstractmethods__", ()))):
        raise wrong_part(part, target, f"lacks {listed(missing)}, which {kind(found).__base__.__name__} leaves to it")
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
    optimizer: Any = _called("optimizer", recipe.optimizer, lambda: recipe.optimizer(groups), "this network")
    if not isinstance(optimizer, Optimizer):
        raise wrong_part("optimizer", name, f"returned {type_of(optimizer)}")
    if is_own(recipe.optimizer):
        _check_step(name, recipe.optimizer(groups), parameters)
    if recipe.scheduler is not None:
        _check_scheduler(recipe.scheduler, recipe.optimizer(groups), plan)
    return optimizer


def _check_step(name: str, optimizer: Optimizer, parameters: Sequence[Tensor]) -> None:
    """Takes a step, and undoes it: it must call the closure, which alone finds the gradient."""
    before, calls = [parameter.detach().clone() for parameter in parameters], 0

    def closure() -> Any:
        nonlocal calls
        calls += 1
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        return parameters[0].new_zeros(())

    called("optimizer", name, lambda: optimizer.step(closure))
    if not calls:
        raise wrong_part("optimizer", name, "does not call the closure in step(closure), which finds the gradient")
    with torch.no_grad():
        for parameter, values in zip(parameters, before, strict=True):
            parameter.copy_(values)
            parameter.grad = None


def _check_scheduler(scheduler: MakeScheduler, optimizer: Optimizer, plan: Plan) -> None:
    """Makes a schedule and takes a step of it, since some of torch's look at their values only then."""
    name = getattr(kind(scheduler), "__name__", "")

    def attempt() -> Any:
        found: Any = schedulers.make(scheduler, optimizer, plan)
        if isinstance(found, LRScheduler) and not isinstance(found, ReduceLROnPlateau):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the optimizer has taken no step
                found.step()
        return found

    found = _called("scheduler", scheduler, attempt, f"optimizer {type(optimizer).__name__}")
    if not isinstance(found, LRScheduler):
        raise wrong_part("scheduler", name, f"returned {type_of(found)}")


def _called(part: str, make: Any, call: Callable[[], Any], beside: str) -> Any:
    """Returns what a call returns.

    Raises:
        ConfigurationError: it raised an error, of the user's own code or of torch, which does not like a value or what
            the part is used with.
    """
    name = getattr(kind(make), "__name__", "")
    if is_own(make):
        return called(part, name, call)
    try:
        return call()
    except Exception as error:  # torch raises whatever a value leads to
        raise ConfigurationError(f"{part} {name} fails with its values, or with {beside}: {one_line(error)}") from error


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
            raise wrong_part("callbacks", name, f"returned {type_of(each)}")
        _check_hooks(name, each)
    return several


def _check_hooks(name: str, callback: Callback) -> None:
    for hook, called_as in inspect.getmembers(Callback, inspect.isfunction):
        own = getattr(callback, hook)
        if getattr(own, "__func__", own) is called_as or not hook.startswith("on_"):
            continue
        given = [*inspect.signature(called_as).parameters][1:]
        try:
            inspect.signature(own).bind(*given)
        except TypeError as error:
            raise wrong_part("callbacks", name, f"has {hook}, which is called with {listed(given)}: {error}") from error


def uncalled_hooks(callbacks: Iterable[Callback], options: TrainerOptions) -> list[str]:
    """Returns notes on hooks of callbacks of the user's own that are never called, with what to use instead."""
    known, found = [name for name in dir(Callback) if name.startswith("on_")], dict[tuple[str, str], list[str]]()
    usable = [name for name in known if not any(re.match(pattern, name) for pattern in NOT_CALLED)]
    through_lightning = options.devices > 1 or options.precision.endswith("mixed")  # see `Learner.training_step`
    for each in callbacks:
        own = [base for base in type(each).__mro__ if not base.__module__.startswith(("lightning.", "fulmen."))]
        for hook in dict.fromkeys(name for base in own for name in vars(base) if name.startswith("on_")):
            reason = next((reason for pattern, reason in NOT_CALLED.items() if re.match(pattern, hook)), None)
            if hook not in known and callable(getattr(each, hook)):
                reason = f"Lightning has no such hook{did_you_mean(hook, usable)}"
            if reason is not None and not (reason == STEPS and hook != "on_before_zero_grad" and through_lightning):
                found.setdefault((type(each).__name__, reason), []).append(hook)
    return [
        f"{name}.{' and '.join(hooks)} {'is' if len(hooks) == 1 else 'are'} never called: {reason}"
        for (name, reason), hooks in found.items()
    ]


def is_own(part: Any) -> bool:
    """Returns whether a part is the user's, and not Fulmen's or torch's."""
    home = str(getattr(kind(part), "__module__", None) or type(part).__module__)
    return not home.startswith(("fulmen.", "torch."))


def _number(part: str, name: str, call: Callable[[], Any], has_gradient: bool) -> None:
    with torch.enable_grad():
        found = called(part, name, call)
    if not isinstance(found, Tensor):
        raise wrong_part(part, name, f"returned {type_of(found)}")
    if found.numel() != 1:
        raise wrong_part(part, name, f"returned a tensor of shape {tuple(found.shape)}")
    if not found.is_floating_point():
        raise wrong_part(part, name, f"returned a tensor of {str(found.dtype).removeprefix('torch.')}")
    if has_gradient and not found.requires_grad:
        raise wrong_part(part, name, "returned a tensor without a gradient (detach, item and numpy lose it)")
