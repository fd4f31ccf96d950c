"""The files in a folder of pictures."""

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gen_experiments.errors import UserError
from gen_experiments.images import IMAGE_SUFFIXES

# Why files are passed over.
HIDDEN, NO_PICTURE, BROKEN, NO_FILE = "hidden", "no picture by their ending", "broken link", "pipe, socket or device"


class Files:
    """Files below a folder, with 8 bytes and the name for each: a million names of 28 characters take 36 MB.

    Args:
        root: the folder.
        names: their paths below it, with forward slashes.
    """

    def __init__(self, root: Path, names: Sequence[str]) -> None:
        self.root = root
        encoded = [os.fsencode(name) for name in names]  # the name of a file need not be text
        self._ends = np.cumsum([0, *map(len, encoded)])
        self._names = b"".join(encoded)

    def __len__(self) -> int:
        """Returns how many there are."""
        return len(self._ends) - 1

    def __getitem__(self, number: int, /) -> Path:
        """Returns the path of one."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.root / os.fsdecode(self._names[self._ends[number] : self._ends[number + 1]])

    def names(self) -> Iterator[str]:
        """Yields the names in order."""
        for start, end in itertools.pairwise(self._ends.tolist()):
            yield os.fsdecode(self._names[start:end])


def find_pictures(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> tuple[list[Path], dict[str, list[str]]]:
    """Returns the paths of the pictures below a folder, in order, and the files passed over; see `list_pictures`."""
    names, passed_over = list_pictures(folder, suffixes)
    return [folder / name for name in names], passed_over


def list_pictures(folder: Path, suffixes: Sequence[str] = IMAGE_SUFFIXES) -> tuple[list[str], dict[str, list[str]]]:
    """Returns the names of the pictures below a folder, and of the files passed over by the reason.

    Links are followed, except back into a folder that contains them. The names are paths below the folder, with forward
    slashes, sorted by their parts.

    Raises:
        UserError: the folder is missing or holds no picture, or a folder below it cannot be read.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file: name the folder that it lies in")
    if not folder.is_dir():
        raise UserError(f"there is no image folder {folder} in {Path.cwd()}: mend its path")
    names: list[str] = []
    passed_over: defaultdict[str, list[str]] = defaultdict(list)
    pending: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while pending:
        below, above = pending.pop()
        identity, entries = _contents(folder / below)
        for entry in entries if identity not in above else ():
            is_folder, is_file = _kind(entry)
            name = f"{below}{entry.name}{'/' if is_folder else ''}"
            if entry.name.startswith("."):
                passed_over[HIDDEN].append(name)
            elif is_folder:
                pending.append((name, above | {identity}))
            elif os.path.splitext(entry.name)[1].lower() not in suffixes:
                passed_over[NO_PICTURE].append(name)
            elif is_file:
                names.append(name)
            else:
                passed_over[NO_FILE if os.path.exists(entry.path) else BROKEN].append(name)
    if not names:
        raise UserError(f"{folder} holds no picture (files ending in {' '.join(suffixes)})")
    # With the slash as the smallest character names are sorted by parts: `a/b` comes before `a-b`.
    names.sort(key=lambda name: name.replace("/", "\0"))
    return names, {reason: sorted(left) for reason, left in sorted(passed_over.items())}


def _contents(folder: Path) -> tuple[tuple[int, int], list[os.DirEntry[str]]]:
    """Returns what identifies a folder, by whatever path, and its entries in the order of their names."""
    try:
        stat = folder.stat()
        return (stat.st_dev, stat.st_ino), sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"{folder} cannot be read: {error.strerror or error}") from error


def _kind(entry: os.DirEntry[str]) -> tuple[bool, bool]:
    """Returns whether an entry is a folder, and whether it is a file; a link to itself is neither."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:
        return False, False


def __getattr__(name: str) -> object:
    """Returns `ImageFolder` from its present module: the configurations of earlier runs name this one."""
    if name == "ImageFolder":
        from gen_experiments.data.sources.folder import ImageFolder

        return ImageFolder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
