"""What a sweep costs beside the training: time, and memory that must not grow."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fulmen.sweeps import grid

MEASURED = """\
import json, sys, time
from pathlib import Path
from lightning.pytorch import Trainer
from fulmen.cli.main import main
from fulmen.sweeps import job, sweep
fit, train, end, fits, pages = Trainer.fit, job.train, sweep._end, [], []
def timed(*args, **kwargs):
    began = time.process_time()
    fit(*args, **kwargs)
    fits.append(time.process_time() - began)
def counted(*args, **kwargs):
    train(*args, **kwargs)
    pages.append(int(Path("/proc/self/statm").read_text().split()[1]))
def ended(*args, **kwargs):
    began = time.process_time()
    found = end(*args, **kwargs)
    fits.append(time.process_time() - began)
    return found
Trainer.fit, job.train, sweep._end = timed, counted, ended
began = time.process_time()
words = ["-m", "data=circles", "trainer.max_epochs=2", "logger=none", "accelerator=cpu", "seed=range(RUNS)"]
assert main(words) == 0
print("\\n" + json.dumps([time.process_time() - began, sum(fits), *pages]))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("runs", [40])
def test_short_runs_cost_little_beside_their_training(
    runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    """In time of the CPU, which other processes stretch little, without imports and pictures, which all runs share."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "measured.py").write_text(MEASURED.replace("RUNS", str(runs)))
    done = forked(program=tmp_path / "measured.py")
    assert done.wait(250) == 0, done.stderr
    total, training, *pages = json.loads(done.stdout.splitlines()[-1])
    assert (total - training) / runs < 0.100
    assert (pages[-1] - pages[runs // 6]) * 4096 < 10e6


def test_64_jobs_are_planned_at_once() -> None:
    words = ["optimizer.lr=0.1,0.2,0.3,0.4", "seed=range(16)"]
    found = grid.grid(words, None)
    list(grid.records(found.jobs[:1], None))  # imports
    began = time.process_time()
    assert len(list(grid.records(found.jobs, None))) == 64
    assert time.process_time() - began < 0.5


def test_planning_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom fulmen.sweeps import sweep\nsweep._run = lambda *_: []\n"
        "assert sweep.sweep(['optimizer=sgd,adam', 'sweep=seeds'], None)[1] == []\n"
        "print(*{'torch', 'lightning', 'matplotlib', 'sklearn'} & set(sys.modules), 'none')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=100
    )
    assert done.stdout.splitlines()[-1] == "none", done.stdout + done.stderr
    (folder,) = tmp_path.glob("logs/sweeps/*")
    assert len(list(folder.glob("*/config.yaml"))) == 10 and (folder / "sweep.yaml").exists()
