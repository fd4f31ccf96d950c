"""The cache folder, and files that are written completely or not at all."""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from gen_experiments.errors import UserError
from gen_experiments.temporaries import make_file, make_folder, remove_abandoned, temporary_beside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CACHE_VARIABLE = "GEN_EXPERIMENTS_CACHE"
GIB = 1 << 30  # bytes


class WriteError(UserError, OSError):
    """A file could not be written.

    It is an `OSError` too, for callers with a better message: `strerror` is the system's reason.

    Args:
        message: one line.
        reason: the system's error.
    """

    def __init__(self, message: str, reason: OSError) -> None:
        super().__init__(message)
        self.message, self.errno, self.strerror = message, reason.errno, reason.strerror or str(reason)

    def __str__(self) -> str:
        return self.message


def file_sha256(path: Path) -> str:
    """Returns the hash of a file, which is read in parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_root() -> Path:
    """Returns the cache folder: `$GEN_EXPERIMENTS_CACHE`, else `~/.cache/gen_experiments`.

    Raises:
        UserError: there is neither, as for a user without a home folder.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(os.path.expanduser(chosen))
    caches = user_caches()
    if caches is None:
        raise UserError(f"this user has no home folder: name a folder for the cache by {CACHE_VARIABLE}")
    return caches / "gen_experiments"


def user_caches() -> Path | None:
    """Returns the folder of the user's caches, `$XDG_CACHE_HOME`, else `~/.cache`; None without a home folder."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(chosen) if chosen else Path.home() / ".cache"
    except RuntimeError:
        return None


@contextmanager
def atomic_write(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside `path` to write to, and renames it to `path` when the block ends without an error.

    A reader never sees half a file; the last of several writers wins. Temporary files of killed writers are removed.

    Args:
        path: the file.
        durable: whether the data are on the disk before the rename, so that a power cut leaves the old file or the new
            one; this takes milliseconds, which thousands of small files that can be made again are not worth.

    Raises:
        WriteError: the file cannot be written; the old one is intact.
    """
    temporary: Path | None = None
    handle = -1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path, path.stem, path.suffix, in_cache=_in_cache(path))
        # The name is set before the file exists, so that any interruption removes the file.
        temporary = temporary_beside(path, path.stem, path.suffix)
        handle = make_file(temporary)
        yield temporary
        if durable:
            os.fsync(handle)
        temporary.replace(path)
        if durable:
            _sync_folder(path.parent)
    except WriteError:
        raise
    except OSError as error:
        advice = f": choose another cache by {CACHE_VARIABLE}" if _in_cache(path) else ""
        reason = error.strerror or " ".join(str(error).split())
        raise WriteError(f"cannot write {path}: {reason}{advice}", error) from error
    finally:
        if handle >= 0:
            os.close(handle)
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def write_array(path: Path, array: "NDArray[np.generic]") -> None:
    """Writes an array as a .npy file, completely or not at all.

    Raises:
        WriteError: as for `atomic_write`.
    """
    import numpy as np

    with atomic_write(path) as temporary, temporary.open("wb") as file:
        # Not into the file itself: on a full disk the error of NumPy's file writer names no reason.
        np.save(SimpleNamespace(write=file.write), array, allow_pickle=False)


def append_line(path: Path, line: str) -> None:
    """Appends a line to a file, completely or not at all; a half line that a power cut has left gets an end of its own.

    Args:
        path: the file, made if it does not exist.
        line: with its end.

    Raises:
        OSError: the file cannot be written; it is as before.
    """
    with path.open("a+b", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        text = line.encode()
        if end:
            file.seek(end - 1)
            text = text if file.read(1) == b"\n" else b"\n" + text
        try:
            while text:
                text = text[file.write(text) :]
        except OSError:
            file.truncate(end)
            raise


def check_empty(path: Path) -> None:
    """Makes sure that writing a folder to `path` overwrites nothing.

    Raises:
        UserError: `path` exists and is no empty folder.
        WriteError: `path` cannot be read.
    """
    try:
        if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
            raise UserError(f"{path} exists and is no empty folder: name another, or remove it")
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}", error) from error


def prepare_folder(path: Path) -> None:
    """Makes a folder into which long work will write, so that one that cannot be written to is refused before the work.

    Raises:
        WriteError: the folder cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror}", error) from error


def prepare_file(path: Path) -> None:
    """Makes the folder of a file; see `prepare_folder`.

    Raises:
        WriteError: the folder cannot be made or written to, or `path` is a folder.
    """
    prepare_folder(path.parent)
    if path.is_dir():
        raise WriteError(f"cannot write {path}: it is a folder", IsADirectoryError(errno.EISDIR, "it is a folder"))


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path` to fill, and renames it to `path` when the block ends without an error.

    Temporary folders of killed writers are removed.

    Raises:
        UserError: `path` exists and is no empty folder.
        WriteError: the folder cannot be written.
    """
    temporary: Path | None = None
    handle = -1
    try:
        check_empty(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path, path.name)
        temporary = temporary_beside(path, path.name)
        handle = make_folder(temporary)
        yield temporary
        for file in temporary.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or ' '.join(str(error).split())}", error) from error
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        with suppress(OSError):  # there is no handle where folders cannot be locked
            os.close(handle)


def _in_cache(path: Path) -> bool:
    """Returns whether a path lies in the cache folder, which a user without a home folder need not have."""
    try:
        return cache_root() in path.parents
    except UserError:
        return False


def _sync_folder(folder: Path) -> None:
    """Writes a rename to the disk, if the system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
