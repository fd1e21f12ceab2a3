"""Events on a full disk, for which a limit on the size of files stands."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.summary_pb2 import Summary

from fulmen.cli.main import main
from fulmen.training import loggers, tensorboard_private

LOST = "fulmen: TensorBoard's events could not be written ({}: File too large); the run continues without further ones"


@contextmanager
def room(size: int) -> Iterator[None]:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def points(folder: Path) -> dict[str, list[int]]:
    found = EventAccumulator(str(folder)).Reload()
    return {tag: [point.step for point in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


@pytest.fixture
def board(tmp_path: Path) -> TensorBoardLogger:
    return TensorBoardLogger(tmp_path, default_hp_metric=False)


def test_a_run_whose_events_find_no_room_completes_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["data=circles", "figures=none", "figures.histograms=true", "trainer.max_epochs=30"]
    with room(20_000):  # enough for any other file
        assert main([*words, "run_dir=run"]) == 0
    (events,) = Path("run/tensorboard").rglob("events.*")
    said = capsys.readouterr().err
    assert said.startswith(LOST.format(events)) and said.count("\n") == 1 and events.stat().st_size == 20_000
    assert main([*words, "run_dir=whole", "logger=none"]) == 0
    assert Path("run/metrics.json").read_bytes() == Path("whole/metrics.json").read_bytes()
    rows = [[line.split(",") for line in Path(run, "history.csv").read_text().splitlines()] for run in ("run", "whole")]
    assert [row[:2] + row[3:] for row in rows[0]] == [row[:2] + row[3:] for row in rows[1]]  # the third is seconds


@pytest.mark.parametrize("reopened", [False, True], ids=["first file", "file after training"])
def test_last_events_without_room_are_one_sentence(
    reopened: bool, board: TensorBoardLogger, capsys: pytest.CaptureFixture[str]
) -> None:
    if reopened:
        loggers.log([board], {"loss": 1.0}, 1)
        board.finalize("success")
    with room(8):  # less than the line that a file of events opens with
        loggers.log([board], {"loss": 1.0}, 2)
        loggers.flush([board])
        loggers.show_image([board], "fit", np.zeros((2, 2, 3), np.uint8), 2)
        loggers.show_final_figures(board, {"test/loss": 1.0}, "test/loss", 2)
    said = capsys.readouterr().err
    assert said.startswith(LOST.format(board.log_dir)[:60]) and said.count("\n") == 1
    assert points(Path(board.log_dir)) == ({"loss": [1]} if reopened else {})


def test_a_summary_is_one_event_and_on_the_disk_after_a_flush(board: TensorBoardLogger) -> None:
    summary = Summary(value=[Summary.Value(tag=tag, simple_value=1.0) for tag in "ab"])
    tensorboard_private.add_summary(board, summary, 3)
    tensorboard_private.flush(board)
    assert points(Path(board.log_dir)) == {"a": [3], "b": [3]}
