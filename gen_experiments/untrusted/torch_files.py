"""Files of `torch.save`: nothing in them is run, and they cannot claim more memory than they fill."""

import io
import pickletools
import re
import zipfile
from pathlib import Path
from typing import IO, Any

import torch

from gen_experiments.untrusted.unreadable import Unreadable, refusing_damage

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
    with refusing_damage():
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
