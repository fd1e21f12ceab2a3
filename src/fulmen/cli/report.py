"""Writes a page on a run or a sweep: one HTML file with tables, charts and figures, which opens without a network.

usage: fulmen report FOLDER [output=FILE]

FOLDER is that of a run or of a sweep, also of one that is still running. A sweep writes its page itself when it ends.

options
  output=FILE   the page, a name that ends in .html; report.html in the folder unless you say otherwise

as in
  fulmen report logs/runs/2026-11-22_11-12-41_ad4e22
  fulmen report logs/sweeps/2026-11-22_11-12-41_ad4e22 output=optimizers.html
"""

from collections.abc import Sequence
from pathlib import Path

from fulmen.cli import arguments
from fulmen.errors import ConfigurationError, command
from fulmen.runs import folder as folders
from fulmen.runs.files import write_text

OPTIONS = {"output": "the page's file"}


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Returns:
        1 if a run of a sweep is damaged, which the page says; else 0.

    Raises:
        ConfigurationError: there is no run or sweep, it cannot be read, or the page has no place.
    """
    given = arguments.parse(argv, OPTIONS)
    if len(given.subjects) != 1:
        count = f"{len(given.subjects)} were given" if given.subjects else "none was given"
        raise ConfigurationError(
            f"report needs the folder of one run or sweep, and {count}; write {command('report', 'FOLDER')}"
        )
    folder = Path(given.subjects[0])
    output = arguments.output(given, (".html",)) or folder / folders.REPORT
    damaged = _sweep(folder, output) if (folder / folders.SWEEP).is_file() else _run(folder, output)
    print(f"report: {output}")
    return int(damaged)


def _run(folder: Path, output: Path) -> bool:
    if not folders.was_run(folder):
        raise ConfigurationError(folders.absent(folder))
    from fulmen.experiment import report  # and with it matplotlib

    write_text(output, report.html(folder))
    return False


def _sweep(folder: Path, output: Path) -> bool:
    from fulmen.sweeps import curves, leaderboard, record, report, results, sweep
    from fulmen.sweeps.verdict import verdict

    plan = record.read(folder)
    board = leaderboard.of_sweep(plan, results.read_all(folder, plan.jobs))
    compared = verdict(board)
    said = sweep.in_words(plan, board, compared, leaderboard.read_importance(folder))
    report.write(plan, board, compared, said, curves.of_board(board), folder, output)
    return any(row.state == results.DAMAGED for row in board.rows)
