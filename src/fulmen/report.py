"""What a run prints: its configuration, its network, its figures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree
from torch import Tensor, nn


def print_opening(config: Mapping[str, Any], net: nn.Module, in_shape: tuple[int, ...], folder: Path) -> None:
    """The configuration as a tree, the network's layers, the folder."""
    tree = Tree("[bold]configuration")
    _grow(tree, config)
    console = Console()
    console.print(tree)
    console.print(summary(net, in_shape))
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)


def _grow(tree: Tree, config: Mapping[str, Any]) -> None:
    """A branch for each group, headed by its choice; what only Hydra needs is left out."""
    choices = config.get("choices", {})
    for key, value in config.items():
        if key == "choices" or key.startswith("_"):
            continue
        if isinstance(value, Mapping):
            _grow(tree.add(f"[bold]{key}[/] {choices.get(key, '')}"), value)
        else:
            tree.add(f"{key}: [cyan]{escape(str(value))}", highlight=False)


def summary(net: nn.Module, in_shape: tuple[int, ...]) -> Table:
    """A row for each layer: its kind, the shape it gives (B rows), its parameters."""
    table = Table(
        "layer", "kind", "output", "parameters", title=f"{type(net).__name__}, input {_shape((1, *in_shape))}"
    )
    table.columns[3].justify = "right"
    for name, kind, shape, count in layers(net, in_shape):
        table.add_row(name, kind, _shape(shape), f"{count:,}")
    table.add_section()
    table.add_row("total", "", "", f"{parameter_count(net):,}", style="bold")
    return table


def layers(net: nn.Module, in_shape: tuple[int, ...]) -> list[tuple[str, str, tuple[int, ...], int]]:
    """Name, kind, output shape and number of parameters of every layer that `net` runs through, in that order."""
    seen: list[tuple[str, str, tuple[int, ...], int]] = []

    def look(name: str, module: nn.Module) -> Any:
        def hook(_module: nn.Module, _inputs: Any, out: Any) -> None:
            shape = tuple(out.shape) if isinstance(out, Tensor) else ()
            seen.append((name, type(module).__name__, shape, parameter_count(module)))

        return module.register_forward_hook(hook)

    leaves = [(name, module) for name, module in net.named_modules() if not list(module.children())]
    handles = [look(name or "(all)", module) for name, module in leaves]
    was_training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, *in_shape, dtype=next(net.parameters()).dtype))
    finally:
        net.train(was_training)
        for handle in handles:
            handle.remove()
    return seen


def parameter_count(module: nn.Module) -> int:
    """Numbers that are trained."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def print_figures(metrics: Mapping[str, Any], folder: Path) -> None:
    """The final figures, a row for each metric and a column for each split, and what to type next."""
    splits = [split for split in ("train", "val", "test") if f"{split}/loss" in metrics]
    names = dict.fromkeys(
        key.split("/", 1)[1] for key, value in metrics.items() if "/" in key and isinstance(value, float)
    )
    table = Table("", *splits, title="final figures")
    for name in names:
        table.add_row(name, *(_figure(metrics.get(f"{split}/{name}")) for split in splits))
    console = Console()
    console.print(table)
    console.print(f"run folder: {folder}", highlight=False, soft_wrap=True)
    if (folder / "tensorboard").exists():
        console.print(f"see it:     tensorboard --logdir {folder.parent}", highlight=False, soft_wrap=True)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _shape(shape: tuple[int, ...]) -> str:
    return f"[{', '.join(['B', *map(str, shape[1:])])}]".replace("[", r"\[", 1)
