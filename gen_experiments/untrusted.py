"""Files from elsewhere: nothing in them is run, and they cannot claim more memory than they fill.

The directory and the headers of a file are checked before memory is allocated for what they announce.
"""

import io
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray

from gen_experiments.errors import quoted

# Names in torch's files of tensors and plain values. `weights_only` accepts more, such as a bytearray of any length.
NAMES = re.compile(
    r"collections (OrderedDict|Counter|defaultdict)|builtins (set|complex)|_codecs encode"
    r"|torch (Size|device|\w+Storage|[a-z]+\d\w*|bool|half|double|long)|torch\.storage (Untyped|Typed)Storage"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|parameter|parameter_with_state)"
    r"|torch\.nn\.parameter Parameter"
)
# What other programs' checkpoints name beside tensors: states of Lightning's callbacks, settings, single numbers.
INERT = re.compile(
    r"(pytorch_lightning|lightning|lightning_fabric|omegaconf)\.[\w.]+|argparse\.Namespace|typing\.\w+"
    r"|numpy\.(_?core\.multiarray\.(scalar|_reconstruct)|ndarray|dtype)"
    r"|pathlib\.\w+Path|builtins\.(dict|list|tuple|str|int|float|bool|object)"
)
# In a file of torch before 1.6: a number, a version, a system, the contents, the names of the storages that follow.
PICKLES = 5
# Archives of codes are compressed, so that a small one may expand a lot, but a large one never without limit.
FREE_BYTES, RATIO = 64 << 20, 100
KINDS = {"u": "unsigned integers", "i": "integers", "f": "floating-point numbers", "U": "text"}  # NumPy's letters
building: ContextVar[str | None] = ContextVar("building", default=None)


class Unreadable(Exception):  # noqa: N818 - callers turn it into an error of their own
    """A file is damaged or hostile; the message is one line."""


def being_built() -> str | None:
    """Returns the file whose description is being built, if any: it must not cause another file to be read."""
    return building.get()


@contextmanager
def _refusing_damage() -> Iterator[None]:
    """Turns whatever a damaged file makes its reader raise into `Unreadable`."""
    try:
        yield
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(quoted(error) or type(error).__name__) from error


class Inert:
    """Stands for an object of a class that is not imported: it keeps nothing and does nothing."""

    def __new__(cls, *_: Any) -> "Inert":
        """Takes what its class would have taken."""
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        """Does nothing with it."""

    def __setstate__(self, _: Any) -> None:
        """Forgets its state."""


def read_tensors(path: str | Path, old_format: bool = False, inert: bool = False) -> Any:
    """Returns what `torch.save` wrote: tensors and plain values on the CPU, memory-mapped.

    Args:
        path: the file.
        old_format: also read the format of torch before version 1.6, as of some published weights, without mapping.
        inert: read past the objects of Lightning, OmegaConf and the like that other programs' checkpoints hold beside
            their tensors: nothing of these packages is imported, and an `Inert` takes the place of each object.

    Raises:
        Unreadable: it is damaged, claims more than it holds, or holds other things than tensors and plain values.
    """
    with _refusing_damage():
        if zipfile.is_zipfile(path):
            _check_archive(Path(path), inert)
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path) if inert else []
            with torch.serialization.safe_globals([(Inert, name) for name in names]):
                return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if not old_format:
            raise Unreadable("it is cut short or was not written by torch")
        with Path(path).open("rb") as file:
            for _ in range(PICKLES):
                _check_names(file, inert=False)
        return torch.load(path, map_location="cpu", weights_only=True)


def _check_archive(path: Path, inert: bool) -> None:
    """Refuses an archive of torch whose directory claims more than the file holds, or that names functions."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 for entry in entries):
            raise Unreadable("its entries are compressed, as torch never writes them")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise Unreadable("its directory claims more bytes than the file has")
        for entry in entries:
            if entry.filename.endswith("/data.pkl"):
                _check_names(io.BytesIO(archive.read(entry)), inert)


def _check_names(pickled: IO[bytes], inert: bool) -> None:
    """Refuses the next pickle of a file if it names anything that files of tensors do not."""
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name in ("GLOBAL", "INST") and not NAMES.fullmatch(str(argument)):
            name = str(argument).replace(" ", ".").replace("__builtin__", "builtins")
            if not inert or not INERT.fullmatch(name):
                raise Unreadable(f"it names {name}")
        if operation.name in ("STACK_GLOBAL", "EXT1", "EXT2", "EXT4"):
            raise Unreadable("it names things in a way that torch never does")


def is_backed(tensor: torch.Tensor) -> bool:
    """Returns whether a tensor's storage holds every one of its numbers, rather than a few that are repeated."""
    return (
        tensor.layout == torch.strided
        and not tensor.is_quantized
        and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    )


def archive_names(path: str | Path) -> set[str]:
    """Returns the names of the arrays in a NumPy archive (.npz).

    Raises:
        Unreadable: it is no NumPy archive.
    """
    with _refusing_damage(), zipfile.ZipFile(path) as archive:
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
    with _refusing_damage():
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
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError, SyntaxError, TypeError, pickle.UnpicklingError):
        return None
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != len(shape):
        return None
    fits = all(wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True))
    return array if fits else None


def array_in(contents: bytes) -> NDArray[Any]:
    """Returns the array in the contents of a .npy file.

    Raises:
        Unreadable: there is none, or its header claims more bytes than there are.
    """
    with _refusing_damage():
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
