"""What a file is that should hold weights, by its first bytes: a failed download, an archive, a text."""

import string
import zipfile
from pathlib import Path

from gen_experiments.untrusted.unreadable import Unreadable

FIRST_BYTES = 512  # with the mark of a tar archive
CUT_SHORT = "is cut short: copy or download it again"
ARCHIVES = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7z", b"\x28\xb5\x2f\xfd": "zstd"}
OTHERS = {
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x93NUMPY": "an array of NumPy",
    b"\x89HDF": "a file of HDF5",
}
PICKLE = b"\x80"  # how torch before 1.6 begins


def is_safetensors(path: Path) -> bool:
    """Returns whether a file begins as those of safetensors do: eight bytes of a length, then a JSON object.

    Raises:
        Unreadable: it cannot be opened.
    """
    return _start(path)[8:9] == b"{"


def what_it_is(path: Path, error: Unreadable) -> str:
    """Returns what a file is that could not be read as weights, and what to do, if its bytes tell; else the error.

    Of a folder it returns the error.
    """
    try:
        return (None if path.is_dir() else _kind(path)) or str(error)
    except Unreadable as unopened:
        return str(unopened)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(FIRST_BYTES)
    except OSError as error:
        raise Unreadable(f"it cannot be opened: {error.strerror or error}") from error


def _kind(path: Path) -> str | None:
    start = _start(path)
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "it is empty: copy or download it again"
    if text.startswith(b"version https://git-lfs"):
        return "it is the pointer of Git LFS and not the file: fetch that by `git lfs pull`"
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page and not the file: download it again"
    if start.startswith(b"PK\x03\x04"):
        return _of_zip(path)
    for mark, program in ARCHIVES.items():
        if start.startswith(mark):
            return f"it is an archive of {program}: unpack it, and name the file in it"
    if start[257:262] == b"ustar":
        return "it is an archive of tar: unpack it, and name the file in it"
    for mark, name in OTHERS.items():
        if start.startswith(mark):
            return f"it is {name} and holds no weights: name another file"
    if all(byte in string.printable.encode() for byte in start):
        return "it is a text and holds no weights: name another file"
    if start.startswith(PICKLE) or start[8:9] == b"{":
        return None
    return "it was written neither by torch nor by safetensors, or is damaged"


def _of_zip(path: Path) -> str | None:
    """Returns what a ZIP archive is, as torch's files are; None if its names are those of torch."""
    if not zipfile.is_zipfile(path):  # the directory stands at the end
        return f"it {CUT_SHORT}"
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile, ValueError):
        return None
    if any(name.endswith("/data.pkl") for name in names):
        return None
    if names and all(name.endswith(".npy") for name in names):
        return "it is an archive of NumPy's arrays and holds no weights: name another file"
    return "it is a ZIP archive that torch did not write: unpack it, and name the file in it"
