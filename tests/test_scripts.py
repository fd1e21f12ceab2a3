"""Scripts that write what is in docs/ do so only when they are meant."""

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["search", "screenshots"])
def test_a_script_that_takes_no_words_refuses_them(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit, match=f"{name}: --help is one word too many"):
        runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), run_name="__main__")
