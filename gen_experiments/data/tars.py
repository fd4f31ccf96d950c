"""Pictures in tar files: finds their positions once, and reads them from there."""

import hashlib
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.picture_decoding import Encoded
from gen_experiments.errors import UserError, quoted
from gen_experiments.storage import cache_root, write_array
from gen_experiments.untrusted.arrays import map_array

NO_LABEL = -1
COLUMNS = SHARD, OFFSET, SIZE, LABEL = range(4)
HEADER = 512  # bytes before a member, of which the first hundred hold its name
MAX_ANNOTATION = 1 << 20  # bytes
OPEN_AT_ONCE = 256  # shards; a process may have 1024 files


class Members:
    """Pictures in tar files, by their numbers.

    Args:
        shards: the files.
        index: (N, 4) int64: the number of the shard, the picture's offset in it, its length in bytes, its label.
    """

    def __init__(self, shards: Sequence[Path], index: NDArray[np.int64]) -> None:
        self._shards, self._index = shards, index
        self._opened = lru_cache(OPEN_AT_ONCE)(_Opened)

    def __len__(self) -> int:
        """Returns the number of pictures."""
        return len(self._index)

    def __getitem__(self, number: int, /) -> Encoded:
        """Reads a picture, and its name for messages."""
        shard, offset, size, _ = self._index[number].tolist()
        path = self._shards[shard]
        try:
            file = self._opened(path)  # held here, so that it stays open while it is read
            data = os.pread(file.number, HEADER + size, offset - HEADER)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        name = data[:100].partition(b"\0")[0].decode(errors="replace")
        return Encoded(f"{path}:{quoted(name)}", data[HEADER:])


class _Opened:
    """An open file that is closed when its last reader drops it."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


def index_of(shards: Sequence[Path], key: str, suffixes: Sequence[str]) -> NDArray[np.int64]:
    """Returns the positions of the pictures, (N, 4) int64 as for `Members`, from the cache or found and stored there.

    Args:
        shards: the tar files.
        key: a text that changes with the shards and with the suffixes.
        suffixes: the file name extensions of pictures.

    Raises:
        UserError: a shard is damaged, cut short or compressed; there are no pictures, or one is a link or sparse; a
            label is no number, or some pictures have none; or the cache cannot be written.
    """
    path = cache_root() / "shards" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
    index = _read_index(path, shards)
    if index is None:
        rows = [row for number, shard in enumerate(shards) for row in _members(number, shard, suffixes)]
        if not rows:
            raise UserError(f"{shards[0].parent} has no pictures in its shards (members in {' '.join(suffixes)})")
        index = np.array(rows, dtype=np.int64)
        without = int((index[:, LABEL] == NO_LABEL).sum())
        if 0 < without < len(index):
            first = Members(shards, index)[int(np.argmin(index[:, LABEL]))].name
            raise UserError(f"{without} of {len(index)} pictures have no label, such as {first}: give all one, or none")
        write_array(path, index)
    return index


def _read_index(path: Path, shards: Sequence[Path]) -> NDArray[np.int64] | None:
    """Returns the stored index; None if there is none, or if it points outside the shards."""
    index = map_array(path, np.int64, (None, len(COLUMNS)))
    if index is None or not len(index):
        return None
    within = ((index[:, SHARD] >= 0) & (index[:, SHARD] < len(shards))).all()
    if not within or (index[:, OFFSET] < HEADER).any() or (index[:, SIZE] < 0).any():
        return None
    lengths = np.array([shard.stat().st_size for shard in shards])
    return index if (index[:, OFFSET] + index[:, SIZE] <= lengths[index[:, SHARD]]).all() else None


def _members(number: int, shard: Path, suffixes: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yields the rows of a shard's pictures, in its order."""
    pictures: dict[str, tuple[int, int]] = {}
    labels: dict[str, int] = {}
    try:
        with tarfile.open(shard, "r:") as file:
            for member in file:
                folder, _, base = member.name.rpartition("/")
                stem, _, ending = base.partition(".")
                is_picture = bool(stem) and f".{ending.lower()}" in suffixes
                if is_picture and (member.islnk() or member.issym() or member.sparse is not None):
                    raise UserError(
                        f"{shard}:{quoted(member.name)} is a link or a sparse file, whose pixels are elsewhere: make "
                        "the shard anew by tar with --dereference --hard-dereference and without --sparse"
                    )
                if not member.isreg() or not stem:
                    continue
                # As in webdataset, the name up to its first dot identifies the sample.
                sample = f"{folder}/{stem}"
                if is_picture:
                    if sample in pictures:
                        raise UserError(f"{shard} has two pictures called {quoted(sample.lstrip('/'))}: keep one")
                    pictures[sample] = member.offset_data, member.size
                elif ending in ("cls", "json") and member.size <= MAX_ANNOTATION:
                    content = file.extractfile(member)
                    label = None if content is None else _label(content, ending, f"{shard}:{quoted(member.name)}")
                    if label is not None:
                        labels[sample] = label
                # tarfile keeps all members, which nothing here needs again.
                file.members = []  # type: ignore[attr-defined]
            # tarfile takes a header that is cut or damaged, but for the first one, for the end.
            with shard.open("rb") as again:
                again.seek(file.offset)
                if again.read(HEADER) != bytes(HEADER):
                    raise tarfile.ReadError("it ends without the blocks of zeros that close it")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(
            f"{shard} is no uncompressed tar file, or is damaged ({quoted(error)}): make it anew"
        ) from error
    for sample, (offset, size) in pictures.items():
        yield number, offset, size, labels.get(sample, NO_LABEL)


def _label(content: IO[bytes], ending: str, name: str) -> int | None:
    """Returns the label in a member; None for a JSON file without a label."""
    try:
        value = int(content.read()) if ending == "cls" else json.load(content)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} holds no {'whole number' if ending == 'cls' else 'JSON'}: mend it") from error
    if ending == "json":
        value = value.get("label") if isinstance(value, dict) else None
        if value is None:
            return None
    if type(value) is not int or not 0 <= value < 2**31:
        raise UserError(f"{name} holds a label {quoted(value)}: it must be a whole number in 0 and up")
    return value
