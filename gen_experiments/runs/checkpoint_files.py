"""The files of checkpoints: written whole or not at all, and found again."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gen_experiments.errors import UserError
from gen_experiments.exported import is_exported
from gen_experiments.storage import atomic_write

CHECKPOINTS = "checkpoints"
LAST = "last.ckpt"
RUN_CHECKPOINTS = ("best.ckpt", LAST)


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint beside `path` and renames it to `path` once it is on the disk.

    The old file stays until then: neither a kill nor a full disk can destroy it.

    Raises:
        UserError: the file cannot be written.
    """
    # In memory first: on a full disk torch's writer to a file raises an error that names no reason.
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    try:
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            file.write(buffer.getbuffer())
    except OSError as error:
        previous = f"the one written before, {path}, is intact" if path.is_file() else "none was written before"
        then = "go on by --ckpt_path=last" if any(path.parent.glob("[!.]*.ckpt")) else "start anew"
        raise UserError(
            f"cannot write the checkpoint {path}: {error.strerror or error} ({previous}); "
            f"make room or choose another place by --run.root, then {then}"
        ) from None


def is_readable(path: Path) -> bool:
    """Returns whether a checkpoint's file is whole, as far as its directory, which is written last, can tell."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = path.stat().st_size
            return all(entry.header_offset + entry.compress_size <= size for entry in archive.infolist())
    except (OSError, zipfile.BadZipFile, ValueError):
        return False


def readable_checkpoints(folder: Path) -> Iterator[Path]:
    """Yields the readable checkpoints of a run, `last.ckpt` first and then from the newest to the oldest."""
    found = [path for path in (folder / CHECKPOINTS).glob("[!.]*.ckpt") if path.is_file()]
    for path in sorted(found, key=lambda path: (path.name == LAST, path.stat().st_mtime_ns), reverse=True):
        if is_readable(path):
            yield path


def checkpoint_of(path: Path) -> Path | None:
    """Returns the checkpoint that a path names: itself, or the best, else the last one of a run; None for other things.

    The folder of an exported model is one.

    Raises:
        UserError: it is the folder of a run without a checkpoint.
    """
    if is_exported(path):
        return path
    if run_of(path) is not None:
        for name in RUN_CHECKPOINTS:
            if (path / CHECKPOINTS / name).is_file():
                return path / CHECKPOINTS / name
        raise UserError(f"the run {path} has no checkpoint yet: name another, or wait for its first validation")
    return path if path.suffix == ".ckpt" else None


def run_of(path: Path) -> Path | None:
    """Returns the folder of a run if a path is one."""
    return path if path.is_dir() and (path / "config.yaml").is_file() else None
