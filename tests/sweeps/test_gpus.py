"""Workers of one sweep see different GPUs."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from fulmen.sweeps import job


@pytest.fixture(autouse=True)
def _nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "_held", [])


def test_a_worker_takes_the_first_that_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(job.VISIBLE, "4,5,6")
    with FileLock(tmp_path / ".worker-0"):
        job.take_one(tmp_path)
        assert os.environ[job.VISIBLE] == "5"
        job.take_one(tmp_path)
        assert os.environ[job.VISIBLE] == "5", "a worker's next job has the same"


def test_more_workers_than_gpus_share_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(job.VISIBLE, "4,5")
    with FileLock(tmp_path / ".worker-0"), FileLock(tmp_path / ".worker-1"):
        job.take_one(tmp_path)
    assert os.environ[job.VISIBLE] == "4"


def test_one_gpu_or_none_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for there in ("", "3"):
        monkeypatch.setenv(job.VISIBLE, there)
        job.take_one(tmp_path)
        assert os.environ[job.VISIBLE] == there
    assert not list(tmp_path.iterdir())
