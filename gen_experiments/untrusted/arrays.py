"""NumPy's files and archives: nothing in them is run, and they cannot claim more memory than they fill."""

import io
import pickle
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gen_experiments.untrusted.unreadable import Unreadable, refusing_damage

# Archives of codes are compressed, so that a small one may expand a lot, but a large one never without limit.
FREE_BYTES, RATIO = 64 << 20, 100
KINDS = {"u": "unsigned integers", "i": "integers", "f": "floating-point numbers", "U": "text"}  # NumPy's letters

# NumPy parses headers as Python literals, which fails now and then in several threads at once: "AST constructor
# recursion depth mismatch" (https://github.com/python/cpython/issues/106905).
_parsing = threading.Lock()


def archive_names(path: str | Path) -> set[str]:
    """Returns the names of the arrays in a NumPy archive (.npz).

    Raises:
        Unreadable: it is no NumPy archive.
    """
    with refusing_damage(), zipfile.ZipFile(path) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


def read_archive(path: str | Path, name: str, kinds: str, shape: tuple[int | None, ...]) -> NDArray[Any]:
    """Returns an array of a NumPy archive (.npz).

    Args:
        path: the archive.
        name: of the array.
        kinds: the kinds of values that it may hold: "ui" for integers, "f" for floating-point numbers, "U" for text.
        shape: of one item: the array is (N, *shape); None allows any length.

    Raises:
        Unreadable: there is no such array, it has another shape or kind, or its header claims more than such a file
            can hold.
    """
    with refusing_damage():
        with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as entry:
            lengths, dtype = _header(entry)
            if dtype.kind not in kinds:
                raise Unreadable(f"it holds {name} of {dtype}; needed are {' or '.join(map(KINDS.__getitem__, kinds))}")
            lengths_fit = len(lengths) == len(shape) + 1 and all(
                wanted in (None, length) for wanted, length in zip(shape, lengths[1:], strict=True)
            )
            if not lengths_fit or lengths[0] < 1:
                needed = ", ".join("any" if wanted is None else str(wanted) for wanted in shape)
                raise Unreadable(f"it holds {name} of shape {lengths}; needed is (N, {needed})")
            size = dtype.itemsize * int(np.prod(lengths, dtype=object))
            if size > FREE_BYTES + RATIO * Path(path).stat().st_size:
                raise Unreadable(f"it claims {size} bytes of {name}")
        with np.load(path, allow_pickle=False) as opened:
            array: NDArray[Any] = opened[name]
        return array


def map_array(path: Path, dtype: type, shape: tuple[int | None, ...]) -> NDArray[Any] | None:
    """Returns a memory-mapped array of a .npy file, or None if there is none of this dtype and shape.

    Args:
        path: the file.
        dtype: of the numbers.
        shape: None allows any length.
    """
    try:
        array = open_mapped(path)
    except (OSError, EOFError, ValueError, SyntaxError, TypeError, pickle.UnpicklingError):
        return None
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != len(shape):
        return None
    fits = all(wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True))
    return array if fits else None


def open_mapped(path: Path) -> NDArray[Any]:
    """Returns a memory-mapped array of a .npy file, of which only the header is read.

    Raises:
        OSError, EOFError, ValueError, SyntaxError, TypeError, pickle.UnpicklingError: it cannot be read.
    """
    with _parsing:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return array


def array_in(contents: bytes) -> NDArray[Any]:
    """Returns the array in the contents of a .npy file.

    Raises:
        Unreadable: there is none, or its header claims more bytes than there are.
    """
    with refusing_damage(), _parsing:
        shape, dtype = _header(io.BytesIO(contents))
        if dtype.itemsize * int(np.prod(shape, dtype=object)) > len(contents):
            raise Unreadable(f"it claims {shape} numbers of {dtype} in {len(contents)} bytes")
        array: NDArray[Any] = np.load(io.BytesIO(contents), allow_pickle=False)
        return array


def _header(entry: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Returns the shape and dtype in the header of a .npy file."""
    version = np.lib.format.read_magic(entry)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(entry)
    return shape, dtype
