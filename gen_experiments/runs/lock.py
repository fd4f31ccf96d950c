"""Locks a run, so that only one process writes to it."""

import os
import socket
import warnings
from contextlib import suppress
from pathlib import Path

LOCK_FILE = ".lock"

# Open files by folder: a lock lasts as long as its file is open, at most until this process ends.
_held: dict[Path, int] = {}


def lock(folder: Path) -> bool:
    """Takes the lock of a run for the life of this process; returns False if another process holds it.

    On a file system without locks it returns True, and warns.
    """
    folder = folder.resolve()
    if folder in _held:
        return True
    file = _try(folder)
    if file is not None and file >= 0:
        _held[folder] = file
        with suppress(OSError):  # on a full disk the lock holds without a name
            os.truncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
    elif file is not None:
        warnings.warn(f"{folder} cannot be locked: make sure that no other job writes to this run", stacklevel=2)
    return file is not None


def holder(folder: Path) -> str:
    """Returns who holds the lock of a run, for a message, such as "process 4711 on node3"."""
    try:
        return (folder / LOCK_FILE).read_text(encoding="utf-8", errors="replace") or "another process"
    except OSError:
        return "another process"


def is_locked(folder: Path) -> bool:
    """Returns whether another process holds the lock of a run."""
    if folder.resolve() in _held:
        return False
    file = _try(folder)
    if file is not None and file >= 0:
        os.close(file)
    return file is None


def release(folder: Path) -> None:
    """Releases the lock if this process holds it."""
    file = _held.pop(folder.resolve(), None)
    if file is not None:
        os.close(file)


def _try(folder: Path) -> int | None:
    """Returns an open file that holds the lock; -1 on a system without locks; None if another process holds it."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        return -1
    try:
        file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError:
        return -1
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    except OSError:  # NFS without its lock manager, Lustre mounted without `flock`
        os.close(file)
        return -1
    return file
