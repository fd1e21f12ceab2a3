"""Checkpoint files: put in their place at once, and read without running any code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from fulmen.files import replacing


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but never half-written.

    Lightning writes to a folder for temporary files and moves the result: across file systems a stop in between leaves
    a torn file where a good one was.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Plain values and tensors only, whatever is asked for: a checkpoint is data."""
        content: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        return content


def save(content: dict[str, Any], path: Path) -> None:
    """Replaces the file `path`."""
    with replacing(path) as file:
        torch.save(content, file)
