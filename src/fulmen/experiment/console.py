"""What a run prints: tables of configuration, network and metrics, and for `trainer.debug` the first backward pass."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree
from torch import Tensor, nn

from fulmen.config.recorded import callback_keys
from fulmen.data.source import SPLITS
from fulmen.data.tensors import Batch
from fulmen.errors import command
from fulmen.experiment.baseline import Coefficient
from fulmen.experiment.convergence import is_improving, overfits_from
from fulmen.experiment.start_from import Start
from fulmen.models.dry_run import layers, parameter_count
from fulmen.models.precision import computing
from fulmen.runs.history import History
from fulmen.runs.settings import typed
from fulmen.tasks.evaluation import Evaluation
from fulmen.tasks.names import LOSSES, mode
from fulmen.tasks.penalties import Penalize
from fulmen.training.parameters import groups as parameter_groups
from fulmen.training.plan import Plan
from fulmen.training.recipe import Recipe, settings

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import EarlyStopping

MOST_COEFFICIENTS = 20
"""Rows of the table; if there are more, those that differ most."""
MOST_COLUMNS = 20
"""Columns of the user's table that are shown at most."""
WORTH_SECONDS = 10.0
"""From how many seconds on the time that compiling saves is mentioned."""


def print_opening(
    config: Mapping[str, Any],
    net: nn.Module,
    in_shape: tuple[int, ...],
    rows: Mapping[str, int],
    folder: Path,
    step: int,
) -> None:
    """Prints the configuration as a tree, the network's layers, rows, the folder, and the step a run resumes from."""
    tree, choices = Tree("[bold]configuration"), config.get("choices", {})
    if choices.get("loss") == "auto" and "sizes" in config:
        config = {**config, "choices": {**choices, "loss": f"auto: {LOSSES[config['sizes']['task']][0]}"}}
    _grow(tree, config)
    console = Console()
    console.print(tree)
    console.print(summary(net, in_shape))
    counts = ", ".join(f"{count:,} {split}" for split, count in rows.items())
    console.print(f"rows:       {counts}", highlight=False, soft_wrap=True)
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)
    if step > 0:
        console.print(f"resumes at: step {step}", highlight=False, soft_wrap=True)


def print_columns(lines: Sequence[tuple[str, ...]]) -> None:
    """Prints what the columns of a table were taken for, if there are any: those with a remark, then the first ones."""
    if not lines:
        return
    header, *columns = lines
    shown = sorted(sorted(columns, key=lambda line: not any(line[2:]))[:MOST_COLUMNS], key=columns.index)
    table = Table(*header, title="columns")
    for line in shown:
        table.add_row(*map(escape, line))
    if len(shown) < len(columns):
        table.caption = f"and {len(columns) - len(shown):,} more"
    Console().print(table)


def print_start(net: nn.Module, start: Start | None, recipe: Recipe) -> None:
    """Prints where the weights of a network come from, and which are frozen or have a rate of their own, if any do."""
    if start is None and not recipe.freeze and not recipe.learning_rates:
        return
    parameters = dict(net.named_parameters())
    groups = parameter_groups(parameters, recipe.learning_rates)
    usual, own = settings(recipe.optimizer).get("lr", ""), [group for group in groups if isinstance(group, dict)]
    rates = {id(parameter): str(group.get("lr", usual)) for group in own for parameter in group["params"]}
    table, console = Table("weights", "shape"), Console()
    for column in (["start"] if start else []) + ["learning rate"]:
        table.add_column(column)
    for name, value in net.state_dict().items():
        parameter = parameters.get(name)
        trained = parameter is not None and parameter.requires_grad
        rate = "" if parameter is None else rates.get(id(parameter), str(usual)) if trained else "frozen"
        came = [] if start is None else [start.new.get(name, "taken over")]
        table.add_row(*map(escape, [name, str([*value.shape]), *came, rate]))
    for name, shape in start.unused.items() if start else ():
        table.add_row(escape(name), escape(str(shape)), "only there: not used", "")
    if start is not None:
        taken = f"start from: {start.where}, {len(start.taken)} of {len(start.shapes)} weights"
        console.print(taken, highlight=False, soft_wrap=True, markup=False)
    console.print(table)


def print_compiling(compiles: bool, seconds: float) -> None:
    """Prints what compiling the training step saves, or would save, if that is worth mentioning."""
    if seconds > WORTH_SECONDS:
        said = "compiling:  saves" if compiles else "hint:       trainer.compile=true would save"
        Console().print(f"{said} about {seconds:.0f} s of training", highlight=False, soft_wrap=True)


def _grow(tree: Tree, config: Mapping[str, Any]) -> None:
    """Adds a branch for each group, headed by its choice; leaves out keys that only Hydra needs."""
    choices = config.get("choices", {})
    for name, value in config.items():
        key = escape(str(name))  # of data.types it is a column, such as 2021 or [x]
        if key == "choices" or key.startswith("_"):
            continue
        if isinstance(value, Mapping):
            _grow(tree.add(f"[bold]{key}[/] {choices.get(key, '')}"), value)
        else:
            tree.add(f"{key}: [cyan]{escape(typed(value))}", highlight=False)


def summary(net: nn.Module, in_shape: tuple[int, ...]) -> Table:
    """Makes a row for each layer: its kind, the shape of its output (B rows), its parameters."""
    table = Table(
        "layer", "kind", "output", "parameters", title=f"{type(net).__name__}, input {_shape((1, *in_shape))}"
    )
    table.columns[3].justify = "right"
    for layer in layers(net, in_shape):
        table.add_row(layer.name, layer.kind, _shape(layer.out_shape), f"{layer.parameters:,}")
    table.add_section()
    table.add_row("total", "", "", f"{parameter_count(net):,}", style="bold")
    return table


def print_first_backward(evaluation: Evaluation, penalty: Penalize | None, batch: Batch, *, by_hand: bool) -> None:
    """Prints the chain behind the loss of `batch`, and a parameter's gradient before and after the backward pass.

    Works on a copy of the network and gives back the random numbers it draws: the run is the same without it.
    """
    console = Console()
    if by_hand:
        console.print(
            "back-propagation by hand: formulas find the gradient, so the loss has no grad_fn", highlight=False
        )
        return
    net = copy.deepcopy(evaluation.net)
    with torch.random.fork_rng(devices=[]), computing(evaluation.precision, "cpu"):
        loss = evaluation.loss(net(batch.x), batch.y, evaluation.task)
        objective = loss if penalty is None else loss + penalty(net.parameters())
    name, parameter = next((name, each) for name, each in net.named_parameters() if each.requires_grad)
    console.print(_chain(objective, net))
    console.print(f"{name}.grad before the first backward pass: {parameter.grad}", highlight=False, soft_wrap=True)
    torch.autograd.backward(objective)
    shape = list(parameter.shape)
    console.print(f"{name}.grad after it, {shape}:\n{parameter.grad}", highlight=False, soft_wrap=True, markup=False)


def _chain(loss: Tensor, net: nn.Module) -> Tree:
    """Returns every `grad_fn` from the loss to the parameters, each below the one that passes its gradient on to it.

    Each operation of the forward pass leaves a `grad_fn`, which knows its derivative and those of the operations before
    it. The loss is the end of this chain; a backward pass walks it, and where it meets a parameter, leaves `.grad`.
    """
    names = {parameter: name for name, parameter in net.named_parameters()}
    tree, seen = Tree(f"[bold]grad_fn of the first loss, {loss.item():.4g}"), set[object]()
    waiting = [(tree, loss.grad_fn)]
    while waiting:
        above, node = waiting.pop()
        if node is None:
            continue
        parameter = names.get(getattr(node, "variable", None))  # type: ignore[arg-type]
        branch = above.add(node.name() + (f": [cyan]{parameter}" if parameter else ""), highlight=False)
        if node not in seen:  # what is used twice is followed once
            waiting += [(branch, before) for before, _ in reversed(node.next_functions)]
        seen.add(node)
    return tree


def print_final_metrics(
    metrics: Mapping[str, Any], folder: Path, best: Mapping[str, Any] | None, score: str, *, of_scaled: bool
) -> None:
    """Prints the final metrics, and what to type next.

    Args:
        metrics: of each split.
        folder: the run's.
        best: the content of `best.ckpt`, if those weights were evaluated.
        score: the metric by which they are best.
        of_scaled: whether the loss is that of scaled targets.
    """
    console, table = Console(), metrics_table(metrics, title="final metrics")
    table.caption = "loss: of scaled targets; errors: in the targets' units" if of_scaled else None
    console.print(table)
    of = "the last step" if best is None else f"step {best['global_step']}, where {score} was best"
    console.print(f"weights:    from {of}", highlight=False, soft_wrap=True, markup=False)
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)
    if (folder / "tensorboard").exists():
        console.print(f"see it:     tensorboard --logdir {folder.parent}", highlight=False, soft_wrap=True)


def print_outlook(history: History, score: str, plan: Plan, folder: Path) -> None:
    """Prints what to try if a run's score was still improving when it ended, or had become worse long before."""
    rows = [(step, row) for step, row in history.rows() if score in row]
    scores, losses = [row[score] for _, row in rows], [row["train/loss"] for _, row in rows]
    is_error = mode(score) == "min" and score.startswith("val/")
    if is_error and (best := overfits_from(scores, losses)) is not None:
        passes = -(-rows[best][0] // plan.steps_per_epoch)  # with as much patience, the run reaches that step again
        stopped = command(f"rerun={folder}", f"trainer.patience={max(5, passes)}")
        said = (
            f"{score} was best at step {rows[best][0]}, {scores[best]:.4g}, and rose to {scores[-1]:.4g}: the network "
        )
        said += f"overfits; try a smaller model or penalty=l2; to stop early: {stopped}"
        Console().print(f"hint:       {said}", highlight=False, soft_wrap=True, markup=False)
    if not is_improving(scores, mode(score)):
        return
    steps = {"max_epochs": plan.steps_per_epoch, "max_steps": 1}  # in one of each
    limits = [(name, getattr(plan, name)) for name in steps]
    words = [f"trainer.{name}={2 * most}" for name, most in limits if most and most * steps[name] == plan.total_steps]
    said = f"{score} was still improving; to train longer: {command(f'resume={folder}', *words)}"
    Console().print(f"hint:       {said}", highlight=False, soft_wrap=True, markup=False)


def print_stopped(
    step: int, plan: Plan, stopping: "EarlyStopping | None", config: Mapping[str, Any], folder: Path
) -> None:
    """Prints at which step a run stopped early, and why.

    Args:
        step: the last one.
        plan: of all steps.
        stopping: what stopped it; None for another callback.
        config: with the callbacks.
        folder: the run's.
    """
    if stopping is None:
        keys = callback_keys(config)
        typed = command(f"resume={folder}", *(f"{key}=..." for key in keys if len(keys) == 1))
        which = f", with another {' or '.join(keys)}" if len(keys) > 1 else ""
        why = "ended by a callback" + (f"; to train longer: {typed}{which}" if keys else "")
    else:
        intervals = f"{stopping.patience} interval{'' if stopping.patience == 1 else 's'}"
        why = f"{stopping.monitor} was not better than {float(stopping.best_score):.4g} in {intervals}"
    said = f"stopped:    at step {step} of {plan.total_steps}, {why}"
    Console().print(said, highlight=False, soft_wrap=True, markup=False)


def print_changes(rows: Sequence[tuple[str, str, str]]) -> None:
    """Prints what a repeated run changed, if anything: names with old and new values; of numbers, the difference."""
    if not rows:
        return
    table = Table("", "old", "new", "difference", title="changed")
    for name, old, new in rows:
        try:
            difference = f"{float(new) - float(old):+.4g}"
        except ValueError:
            difference = ""
        table.add_row(escape(name), escape(old), escape(new), difference)
    Console().print(table)


def print_metrics(metrics: Mapping[str, Any], title: str) -> None:
    """Prints the table of metrics to the error stream, which leaves standard output to the numbers alone."""
    console = Console(stderr=True)
    console.print(title, highlight=False, soft_wrap=True, markup=False)
    console.print(metrics_table(metrics))


def metrics_table(metrics: Mapping[str, Any], title: str | None = None) -> Table:
    """Makes a row for each metric and a column for each split, with the baseline's beside it."""
    splits = [key.removesuffix("/loss") for key in metrics if key.endswith("/loss")]
    splits.sort(key=lambda split: (*SPLITS, "all").index(split.rpartition("/")[2]))
    names = dict.fromkeys(
        key.rpartition("/")[2] for key, value in metrics.items() if "/" in key and isinstance(value, float)
    )
    table = Table("", *(split.replace("/", "\n") for split in splits), title=title)
    for name in names:
        found = [metrics.get(f"{split}/{name}") for split in splits]
        table.add_row(name, *("" if value is None else f"{value:.4g}" for value in found))
    return table


def print_coefficients(coefficients: Sequence[Coefficient], *, of_scaled: bool) -> None:
    """Prints ours and scikit-learn's side by side, if there are any; `of_scaled` if values are scaled before."""
    if not coefficients:
        return
    most = max(abs(row.difference) for row in coefficients)
    table = Table("", "ours", "scikit-learn", "difference", title="coefficients")
    scaled = "; of scaled values" if of_scaled else ""
    table.caption = f"largest difference of {len(coefficients):,}: {most:.2g}{scaled}"
    shown = coefficients
    if len(shown) > MOST_COEFFICIENTS:
        shown = sorted(shown, key=lambda row: -abs(row.difference))[:MOST_COEFFICIENTS]
    for name, ours, theirs in shown:
        table.add_row(escape(name), f"{ours:.7g}", f"{theirs:.7g}", f"{ours - theirs:.2g}")
    Console().print(table)


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(['B', *map(str, shape[1:])])}]".replace("[", r"\[", 1)
