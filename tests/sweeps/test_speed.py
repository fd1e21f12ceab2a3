"""What a sweep costs beside the training: planning, and memory that must not grow."""

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
import json
from pathlib import Path
from fulmen.cli.main import main
from fulmen.sweeps import job
train, pages = job.train, []
def counted(*args, **kwargs):
    train(*args, **kwargs)
    pages.append(int(Path("/proc/self/statm").read_text().split()[1]))
job.train = counted
assert main(["-m", "data=circles", "trainer.max_epochs=2", "logger=none", "accelerator=cpu", "seed=range(RUNS)"]) == 0
print("\\n" + json.dumps(pages))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("runs", [20])
def test_short_runs_leave_no_memory_taken(
    runs: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    """What they cost beside their training is measured in `scripts/benchmark.py`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "measured.py").write_text(MEASURED.replace("RUNS", str(runs)))
    done = forked(program=tmp_path / "measured.py")
    assert done.wait(250) == 0, done.stderr
    pages = json.loads(done.stdout.splitlines()[-1])
    assert len(pages) == runs and (pages[-1] - pages[runs // 6]) * 4096 < 250e3 * runs


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
