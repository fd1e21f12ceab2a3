"""Weights taken over from a trained network: `start_from=<run or checkpoint>`.

Only tensors are read, by the rules by which any checkpoint is; no part that it names is made. A tensor is taken over
where the network has one of the same name and shape; the others keep the values that `init` gave them.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fulmen.errors import CheckpointError, ConfigurationError, first_line, warn
from fulmen.experiment.load import find, weights_in
from fulmen.rules import listed
from fulmen.runs import checkpoints
from fulmen.runs.folder import load_status


@dataclass(frozen=True)
class Start:
    """The weights that a network took over from another one, and those that it did not."""

    where: str
    """The checkpoint."""
    shapes: dict[str, list[int]]
    """The shape of each tensor of the network."""
    taken: list[str]
    new: dict[str, str]
    """Tensors that were not taken over, each with the reason."""
    unused: dict[str, list[int]]
    """Tensors of the checkpoint alone, each with its shape."""
    fingerprint: str
    """A hash of what was taken over."""


ReadWeights = Callable[[], tuple[str, Mapping[str, Tensor]]]
"""Returns a checkpoint's path or address, and its tensors by name."""


def read(where: str, *, trust: bool) -> tuple[str, dict[str, Tensor]]:
    """Returns a checkpoint's path or address, and the tensors of its network by name.

    Args:
        where: a run's folder, a checkpoint, or its address; of a folder those weights that it evaluated.
        trust: as for `checkpoints.load`.

    Raises:
        CheckpointError: there is none, or it cannot be used.
    """
    try:
        path = find(where, None)
        content = checkpoints.load(path, trust=trust)
    except (CheckpointError, ConfigurationError) as error:
        raise type(error)(f"start_from={where}: {error}") from error
    try:
        found = {name: value for name, value in weights_in(content).items() if isinstance(value, Tensor)}
    except Exception as error:  # whatever it holds instead
        raise CheckpointError(f"start_from={where}: {path} has no state_dict, where weights are kept") from error
    return path, found


def take_over(read_weights: ReadWeights | None, net: nn.Module) -> Start | None:
    """Gives a network the weights of another one where names and shapes agree.

    Raises:
        CheckpointError: there is no such checkpoint, or none of its weights fits.
    """
    if read_weights is None:
        return None
    where, there = read_weights()
    here = {name: value for name, value in net.state_dict().items() if isinstance(value, Tensor)}
    shapes = {name: [*value.shape] for name, value in here.items()}
    theirs = {name: [*value.shape] for name, value in there.items()}
    new = {
        name: f"new: there it is {theirs[name]}" if name in theirs else "new: not there"
        for name, shape in shapes.items()
        if theirs.get(name) != shape
    }
    taken = [name for name in shapes if name not in new]
    if not taken:
        ours, others = ([f"{name} {shape}" for name, shape in each.items()] for each in (shapes, theirs))
        raise CheckpointError(
            f"start_from: no weight of {where} has the name and the shape of one here; there {listed(others)}; "
            f"here {listed(ours)}"
        )
    digest = hashlib.sha256()
    try:
        net.load_state_dict({name: there[name] for name in taken}, strict=False)
        for value in map(net.state_dict().__getitem__, taken):
            digest.update(value.flatten().contiguous().view(torch.uint8).numpy())
    except Exception as error:  # a network's own hooks, or tensors of an unusual kind, may raise anything
        raise CheckpointError(f"start_from: the weights of {where} cannot be loaded ({first_line(error)})") from error
    unused = {name: shape for name, shape in theirs.items() if name not in shapes}
    return Start(where, shapes, taken, new, unused, digest.hexdigest()[:16])


def start_facts(start: Start | None, folder: Path) -> dict[str, Any]:
    """Returns what `status.json` says of the weights taken over; of a run that resumes, what it said before."""
    before = load_status(folder)
    if start is None:
        return {name: before[name] for name in ("started_from", "start_fingerprint") if name in before}
    if before.get("start_fingerprint", start.fingerprint) != start.fingerprint:
        warn(f"the weights in {start.where} have changed since {folder} started; it begins again with the new ones")
    found = {"taken": start.taken, "new": start.new, "not_used": [*start.unused]}
    return {"started_from": {"checkpoint": start.where, **found}, "start_fingerprint": start.fingerprint}
