"""Lightning's way of writing and reading checkpoints, replaced by our own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from fulmen.checkpoints import load, save


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint files, but never half-written.

    Lightning writes to a folder for temporary files and moves the result: across file systems a stop in between leaves
    a torn file where a good one was.

    Args:
        trust: whether a checkpoint may hold more than plain values.
    """

    def __init__(self, trust: bool = False) -> None:
        super().__init__()
        self.trust = trust

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save(checkpoint, Path(path))

    def load_checkpoint(
        self, path: Any, map_location: Callable[..., Any] | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Plain values and tensors only, whatever Lightning asks for: a checkpoint is data."""
        return load(path, trust=self.trust)
