"""Progress: a bar on a terminal, plain lines elsewhere.

Lightning's own bars cost up to 15 ms an interval; this one less than one, because it
looks at the clock before it draws.
"""

import sys
import warnings
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a notebook without widgets, where the bar is text
    from tqdm.auto import tqdm

LINES = 20
"""Plain lines in a run."""


class Progress(Callback):
    """A line or bar that shows steps, the time left and the metrics of the last interval.

    Args:
        total_steps: of the optimizer, in the whole run.
        score: the metric shown beside the training loss.
    """

    def __init__(self, total_steps: int, score: str) -> None:
        self.total_steps, self.score = total_steps, score
        self.bar: tqdm[Any] | None = None
        self.next_line = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and _draws():
            self.bar = tqdm(
                total=self.total_steps, initial=trainer.global_step, unit="step", mininterval=0.2, leave=False
            )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self.bar is not None:
            self.bar.update(trainer.global_step - self.bar.n)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the metrics of the interval before: at its own end callbacks run before the module has them."""
        if trainer.global_step > 0:
            self._show(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._show(trainer)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _show(self, trainer: Trainer) -> None:
        step, part = trainer.global_step, self.total_steps / LINES
        if self.bar is not None:
            self.bar.set_postfix_str(self._figures(trainer), refresh=False)
        elif trainer.is_global_zero and step >= min(self.next_line, self.total_steps):
            print(f"step {step} of {self.total_steps}  {self._figures(trainer)}", flush=True)
            self.next_line = (step // part + 1) * part

    def _figures(self, trainer: Trainer) -> str:
        names = dict.fromkeys(["train/loss", "val/loss", self.score])
        metrics = trainer.callback_metrics
        return "  ".join(f"{name} {float(metrics[name]):.4g}" for name in names if name in metrics)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def _draws() -> bool:
    """Returns True in a terminal or a notebook: a bar needs one."""
    ipython = sys.modules.get("IPython")
    in_notebook = ipython is not None and hasattr(ipython.get_ipython(), "kernel")
    return in_notebook or sys.stderr.isatty()
