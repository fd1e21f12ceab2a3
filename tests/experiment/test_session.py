"""A run leaves the process that called it as it was, and hears a signal that comes after training."""

import json
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import fulmen
from fulmen.experiment.baseline import Baseline
from fulmen.figures.options import FigureOptions
from fulmen.runs.signals import Interrupted

WORDS = ["logger=none", "figures=none", "accelerator=cpu", "trainer.max_epochs=1"]


def test_the_host_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads(), torch.get_rng_state(), list(warnings.filters), dict(os.environ)
    config = fulmen.compose([*WORDS, f"trainer.threads={torch.get_num_threads() + 1}"])
    fulmen.train(config, folder=tmp_path / "run", verbose=False)
    threads, random, filters, environment = before
    assert torch.get_num_threads() == threads and torch.equal(torch.get_rng_state(), random)
    assert warnings.filters == filters and dict(os.environ) == environment


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("where", "method"), [(FigureOptions, "draw"), (Baseline, "metrics")])
def test_a_signal_after_training_is_not_swallowed(
    signum: signal.Signals, where: type, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = getattr(where, method)

    def late(*arguments: Any) -> Any:
        os.kill(os.getpid(), signum)
        return own(*arguments)

    monkeypatch.setattr(where, method, late)
    words = [*WORDS, "data=linear_1d", "model=linear", "baseline=sklearn"]
    with pytest.raises(Interrupted) as stopped:
        fulmen.train(fulmen.compose(words), folder=tmp_path / "run", verbose=False)
    assert stopped.value.exit_code == 128 + signum
    status = json.loads((tmp_path / "run" / "status.json").read_text("utf-8"))
    assert status["state"] == "interrupted" and (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()
    monkeypatch.setattr(where, method, own)
    assert "test/loss" in fulmen.resume(tmp_path / "run", verbose=False).metrics
