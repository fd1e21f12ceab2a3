"""Files are whole or as they were, whatever happens while they are written."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from fulmen.runs import files, folder
from fulmen.runs.checkpoints import save
from fulmen.runs.files import replacing, write_json, write_text
from fulmen.training.trainer import AtomicCheckpointIO

DISASTERS = [OSError(errno.ENOSPC, "disk full"), OSError(errno.EACCES, "not allowed"), KeyboardInterrupt()]


def failing(error: BaseException) -> Callable[..., None]:
    def fail(*_: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize("error", DISASTERS, ids=repr)
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    step: str, error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    save({"weights": torch.ones(3)}, path)
    with monkeypatch.context() as patch:
        patch.setattr(os, step, failing(error))
        with pytest.raises(type(error)):
            save({"weights": torch.zeros(3)}, path)
    assert torch.equal(torch.load(path, weights_only=True)["weights"], torch.ones(3))
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_write_that_stops_halfway_leaves_nothing(tmp_path: Path) -> None:
    def stop() -> None:
        with replacing(tmp_path / "new.txt") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stop()
    assert not list(tmp_path.iterdir())


def test_temporary_files_lie_beside_their_target_wherever_tmpdir_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/nowhere")
    with replacing(tmp_path / "new.txt"):
        (temporary,) = tmp_path.iterdir()
        assert temporary.name.startswith(files.TEMPORARY)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such permissions")
def test_files_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "")
    (tmp_path / "b").touch()
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_json_has_no_word_for_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


class Payload:
    """Would touch a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_checkpoint_that_holds_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": Payload(tmp_path / "ran")}, tmp_path / "evil.ckpt")
    with pytest.raises(Exception, match="add trust_checkpoint=true"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "evil.ckpt", weights_only=False)
    assert not (tmp_path / "ran").exists()


def test_a_folder_is_held_until_the_first_to_hold_it_lets_go(tmp_path: Path) -> None:
    """As a sweep's job holds it, and the run inside once more."""
    with folder.lock(tmp_path, KeyError()):
        with folder.lock(tmp_path, KeyError()):
            assert folder.is_locked(tmp_path)
        assert folder.is_locked(tmp_path)
    assert not folder.is_locked(tmp_path) and not [*tmp_path.iterdir()]


def test_writing_leaves_the_umask_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It belongs to all threads of the process."""
    monkeypatch.setattr(os, "umask", failing(AssertionError("the umask was changed")))
    write_text(tmp_path / "a", "")


def test_an_error_of_writing_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(OSError(errno.ENOSPC, "disk full")))
    with pytest.raises(OSError, match="disk full") as raised:
        write_text(tmp_path / "a", "")
    assert files.explain(raised.value) == f"{tmp_path / 'a'}: disk full"


def test_a_lock_that_cannot_be_opened_is_not_held(tmp_path: Path) -> None:
    (tmp_path / folder.LOCK).mkdir()
    assert not folder.is_locked(tmp_path)


@pytest.mark.skipif(os.name != "posix", reason="Windows has other permissions")
def test_a_run_of_another_user_is_seen_to_be_running() -> None:
    """Whoever may read the folder and not write to it can tell, too."""
    with tempfile.TemporaryDirectory() as name, folder.lock(Path(name), KeyError()):
        os.chmod(name, 0o555)
        os.chmod(Path(name) / folder.LOCK, 0o444)
        user = os.geteuid()
        try:
            if user == 0:
                os.seteuid(65534)  # root may write everywhere
            assert folder.is_locked(Path(name))
        finally:
            if user == 0:
                os.seteuid(user)
            os.chmod(name, 0o755)
