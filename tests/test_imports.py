"""Each home imports from homes below it, never from one above or beside it: see CONTRIBUTING.md."""

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "fulmen"
ROWS = {"cli": 8, "sweeps": 7, "experiment": 6, "figures": 5, "training": 4, "config": 4}
ROWS |= {"tasks": 3, "data": 2, "runs": 2, "models": 1, "rules": 0, "errors": -1}


def test_homes_import_only_from_homes_below() -> None:
    for file in SOURCE.rglob("*.py"):
        home = file.relative_to(SOURCE).parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and home != "__init__":
                names = [node.module] if node.module != "fulmen" else [f"fulmen.{alias.name}" for alias in node.names]
                below = {name.split(".")[1] for name in names if name.startswith("fulmen.")} - {home}
                assert all(ROWS[other] < ROWS[home] for other in below), f"{file}, line {node.lineno}: {below}"
