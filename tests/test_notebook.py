"""The notebook in docs/ runs, and shows what is printed in it."""

import copy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "example.ipynb"


def shown(cell: Any) -> list[str]:
    """What a cell prints and returns; progress, and what holds the time of day, are left out."""
    printed = [output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout"]
    returned = [output.data["text/plain"] for output in cell.outputs if output.output_type == "execute_result"]
    return [*printed, *(text for text in returned if not text.startswith("<run "))]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the machinery that runs notebooks
def test_the_notebook_shows_what_it_computes(tmp_path: Path) -> None:
    written: Any = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    ran = copy.deepcopy(written)
    NotebookClient(ran, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    cells = [(old, new) for old, new in zip(written.cells, ran.cells, strict=True) if old.cell_type == "code"]
    assert any(shown(old) for old, _ in cells)
    for old, new in cells:
        assert shown(new) == shown(old), old.source
    bar = [output.text for output in cells[0][1].outputs if output.output_type == "stream" and output.name == "stderr"]
    assert "step/s" in "".join(bar) and "Warning" not in "".join(bar), "progress shows in a notebook"
