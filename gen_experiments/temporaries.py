"""Temporary files and folders beside what they are to become; those of killed writers are found and removed."""

import os
import re
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

LONGEST_STEM = 40  # characters of a file's name in the name of its temporary file
TEMPORARY = re.compile(r"\..+-[0-9a-f]{8}(\.[^.]*)?", re.DOTALL)
OF_CACHE = re.compile(r"\.[0-9a-f]{32}(-labels)?-[0-9a-f]{8}\.\w+")  # in the cache the names of files are hashes

# What each folder held of such names when this process first wrote to it: to list a folder for each of its files would
# take longer the more files it has.
_found: dict[Path, set[str]] = {}


def temporary_beside(path: Path, stem: str, suffix: str = "") -> Path:
    """Returns a new name beside `path` for what is to become it: `.STEM-XXXXXXXX` and the suffix."""
    return path.with_name(f".{stem[:LONGEST_STEM]}-{secrets.token_hex(4)}{suffix}")


def make_file(temporary: Path) -> int:
    """Makes an empty file; returns its open handle, which locks it.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        # Not by `tempfile`, which denies other users to read its files.
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        lock(handle, wait=True)
        if os.fstat(handle).st_nlink:
            return handle
        os.close(handle)  # before it was locked, another process has removed it as abandoned


def make_folder(temporary: Path) -> int:
    """Makes an empty folder; returns a handle that locks it, -1 where folders cannot be locked.

    Raises:
        OSError: it cannot be made.
    """
    temporary.mkdir()
    try:
        handle = os.open(temporary, os.O_RDONLY)
    except OSError:
        return -1
    lock(handle)
    return handle


def lock(handle: int, wait: bool = False) -> bool:
    """Locks a file while it is open; returns False if another process holds the lock or the system has none."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def remove_abandoned(path: Path, stem: str, suffix: str = "", in_cache: bool = False) -> None:
    """Removes what killed writers of `path` have left beside it; living writers lock theirs.

    Only what was there when this process first wrote to the folder is found.

    Args:
        path: what is to be written.
        stem: the name that its temporary files have before their numbers.
        suffix: the suffix of their names.
        in_cache: also remove what killed writers of other files have left, which nobody may ever write again.
    """
    folder = path.parent.absolute()
    if folder not in _found:
        _found[folder] = set()
        with suppress(OSError):  # a folder that can be written to need not be readable
            _found[folder] = set(filter(TEMPORARY.fullmatch, os.listdir(folder)))
    if not _found[folder]:
        return  # to compile an expression for each of many files would take as long as to write them
    own = re.compile(rf"\.{re.escape(stem[:LONGEST_STEM])}-[0-9a-f]{{8}}{re.escape(suffix)}", re.DOTALL)
    for name in [name for name in _found[folder] if own.fullmatch(name) or (in_cache and OF_CACHE.fullmatch(name))]:
        if _remove(folder / name):
            _found[folder].discard(name)


def _remove(path: Path) -> bool:
    """Removes a file or folder that nobody locks; returns whether it is gone."""
    with suppress(OSError):
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            if not lock(handle):
                return False
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        finally:
            os.close(handle)
    return not path.exists()
