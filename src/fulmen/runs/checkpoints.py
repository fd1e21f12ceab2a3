"""Checkpoint files: put in their place at once, read without running any code, found again after a crash.

`last.ckpt` is rewritten about once a second; the one before it is kept as `previous.ckpt` while the run is running, so
that a file that the disk or a copy has damaged costs a second of training and not all of it.
"""

import os
import pickle
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from fulmen.errors import CheckpointError, UntrustedCheckpoint, permission, warn
from fulmen.rules import type_of
from fulmen.runs.files import replacing
from fulmen.runs.folder import LAST, PREVIOUS

ADDRESS = ("http://", "https://")
LARGEST_DOWNLOAD = 4 * 2**30
"""Bytes of a downloaded checkpoint at most."""


def save(content: dict[str, Any], path: Path, *, flush: bool = True) -> None:
    """Replaces the file `path`; for `flush` see `replacing`."""
    with replacing(path, flush=flush) as file:
        torch.save(content, file)


def load(path: str | Path, *, trust: bool = False) -> dict[str, Any]:
    """Returns the content of a checkpoint, with its tensors on the CPU.

    Args:
        path: a file, or an address that begins with http:// or https://.
        trust: whether it may hold more than plain values; then reading it may run any code.

    Raises:
        UntrustedCheckpoint: it does, and is not trusted.
        CheckpointError: there is no such file, or it is damaged.
    """
    if str(path).startswith(ADDRESS):
        return _download(str(path), trust)
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of forms that torch does not write
            _check_archive(path)
            content = torch.load(path, map_location="cpu", weights_only=not trust)
    except CheckpointError:
        raise
    except Exception as error:  # of damaged files torch raises whatever the damage leads to
        if isinstance(error, pickle.UnpicklingError) and _is_pickle(path):
            raise UntrustedCheckpoint(
                f"{path} holds more than tensors and plain values, and reading that would run its author's code; "
                f"if you trust whoever made it, add {permission('trust_checkpoint', 'true')}"
            ) from error
        raise _damaged(path) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is no checkpoint: it holds {type_of(content)}")
    return content


def _is_pickle(path: Path) -> bool:
    """Returns whether a file that the safe loader refused is whole: torch's own form, or a bare pickle."""
    with path.open("rb") as file:
        return file.read(1) == b"\x80" or zipfile.is_zipfile(file)


def _damaged(path: str | Path) -> CheckpointError:
    return CheckpointError(f"{path} is no checkpoint, or a damaged one")


def _check_archive(path: Path) -> None:
    """Checks what torch itself does not look for: changed bytes, and entries that unpack to more than the file holds.

    Raises:
        CheckpointError: the file is not as it was written.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
        if size > path.stat().st_size or archive.testzip() is not None:  # torch compresses nothing
            raise _damaged(path)


def _download(address: str, trust: bool) -> dict[str, Any]:
    import requests

    with TemporaryDirectory() as folder, requests.Session() as session:
        file, size = Path(folder) / "downloaded.ckpt", 0
        if trust:
            del session.adapters["http://"]  # a redirect that leads there is refused as well
        try:
            with session.get(address, stream=True, timeout=60) as response, file.open("wb") as out:
                response.raise_for_status()
                for chunk in response.iter_content(2**20):
                    size += len(chunk)
                    if size > LARGEST_DOWNLOAD:
                        raise CheckpointError(
                            f"{address} is larger than {LARGEST_DOWNLOAD / 2**30:g} GiB, the most that is downloaded; "
                            "download it yourself and name the file"
                        )
                    out.write(chunk)
        except requests.exceptions.InvalidSchema as error:
            raise CheckpointError(
                f"{address} is not served over https all the way, so anyone on the way could change the code that "
                "trust_checkpoint=true lets it run; take an https:// address, or leave trust_checkpoint out"
            ) from error
        except (OSError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{address} could not be downloaded: {error}") from error
        try:
            return load(file, trust=trust)
        except CheckpointError as error:
            raise type(error)(str(error).replace(str(file), address)) from error


def newest(folder: Path, *, trust: bool) -> dict[str, Any] | None:
    """Returns the newest whole checkpoint in a run's `checkpoints/`, now `last.ckpt`, or None; warns of damaged ones.

    Raises:
        UntrustedCheckpoint: a checkpoint is not trusted.
    """
    for path in (folder / LAST, folder / PREVIOUS):
        if (content := whole(path, trust=trust)) is not None:
            os.replace(path, folder / LAST)
            return content
    return None


def whole(path: Path, *, trust: bool) -> dict[str, Any] | None:
    """Returns the content of a run's checkpoint; None if it is missing, or damaged, of which it warns."""
    if not path.exists():
        return None
    try:
        content = load(path, trust=trust)
    except UntrustedCheckpoint:
        raise
    except CheckpointError as error:
        warn(str(error))
        return None
    if "global_step" not in content:
        warn(f"{path} is no checkpoint of a run")
        return None
    return content


def keep_previous(folder: Path) -> None:
    """Keeps the `last.ckpt` that is there under another name, where the file system has hard links."""
    with suppress(OSError):
        (folder / PREVIOUS).unlink(missing_ok=True)
        os.link(folder / LAST, folder / PREVIOUS)
