"""Writes checkpoint files, completely or not at all, and finds them."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gen_experiments.checkpoints.paths import CHECKPOINTS, LAST
from gen_experiments.errors import UserError
from gen_experiments.storage import atomic_write


def write_checkpoint(checkpoint: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint beside `path` and renames it to `path` once it is on the disk.

    Until then the old file stays, so that neither a kill nor a full disk destroys it.

    Raises:
        UserError: the file cannot be written.
    """
    # In memory first: on a full disk the error of torch's file writer names no reason.
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
    """Returns whether a checkpoint file is complete, by the directory of the ZIP archive, which is written last."""
    try:
        with zipfile.ZipFile(path):
            return True
    except (OSError, zipfile.BadZipFile, ValueError):
        return False


def readable_checkpoints(folder: Path) -> Iterator[Path]:
    """Yields the readable checkpoints of a run, `last.ckpt` first and then from the newest to the oldest."""
    found = [path for path in (folder / CHECKPOINTS).glob("[!.]*.ckpt") if path.is_file()]
    for path in sorted(found, key=lambda path: (path.name == LAST, path.stat().st_mtime_ns), reverse=True):
        if is_readable(path):
            yield path
