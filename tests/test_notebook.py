"""The notebook in docs/ runs, and shows what is printed in it."""

import copy
import os
import time
from collections.abc import Callable, Sequence
from contextlib import chdir
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.provisioning import local_provisioner
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "example.ipynb"


def shown(cell: Any) -> list[str]:
    """What a cell prints and returns; progress, and what holds the time of day, are left out."""
    printed = [output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout"]
    returned = [output.data["text/plain"] for output in cell.outputs if output.output_type == "execute_result"]
    return [*printed, *(text for text in returned if not text.startswith("<run "))]


FORKED = """\
import runpy, sys
for name in [name for name in sys.modules if name.partition(".")[0] in ("fulmen", "tqdm")]:
    del sys.modules[name]  # and import it anew, in a notebook
runpy.run_module("ipykernel_launcher", run_name="__main__")
"""


class Kernel:
    """A kernel forked from a process that has imported, for machinery that expects the `Popen` of a fresh one."""

    stdout = stderr = stdin = None

    def __init__(self, forked: Any) -> None:
        self.process, self.pid = forked.process, forked.process.pid
        self.wait, self.send_signal = forked.wait, forked.send_signal
        while self.poll() is None and os.getpgid(self.pid) != self.pid:
            time.sleep(0.01)  # until then, a signal to its group would reach this process

    def poll(self) -> Any:
        return self.process.exitcode


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the machinery that runs notebooks
def test_the_notebook_shows_what_it_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forked: Callable[..., Any]
) -> None:
    program = tmp_path / "forked.py"
    program.write_text(FORKED)

    def launch(command: Sequence[str], cwd: str, **_: object) -> Kernel:
        with chdir(cwd):
            return Kernel(forked(*command[command.index("-f") :], program=program))

    monkeypatch.setattr(local_provisioner, "launch_kernel", launch)
    written: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    ran = copy.deepcopy(written)
    NotebookClient(ran, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [(old, new) for old, new in zip(written.cells, ran.cells, strict=True) if old.cell_type == "code"]
    assert any(shown(old) for old, _ in cells)
    for old, new in cells:
        assert shown(new) == shown(old), old.source
    bar = [output.text for output in cells[0][1].outputs if output.output_type == "stream" and output.name == "stderr"]
    assert "step/s" in "".join(bar) and "Warning" not in "".join(bar), "progress shows in a notebook"
