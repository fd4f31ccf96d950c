"""Weights in files of other programs: the tensors of a state dict, a training checkpoint or safetensors, by container.

What the file begins with decides how it is read, not its name.
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gen_experiments.checkpoints.paths import WEIGHTS
from gen_experiments.errors import quoted
from gen_experiments.untrusted.file_kinds import CUT_SHORT, is_safetensors, what_it_is
from gen_experiments.untrusted.plain_values import MAX_BYTES
from gen_experiments.untrusted.torch_files import is_backed, read_tensors
from gen_experiments.untrusted.unreadable import Unreadable

INDEX = ".safetensors.index.json"
# Names of the weights in the folder of a model of diffusers, which may hold those of half precision beside them.
OF_DIFFUSERS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
# pytorch-CycleGAN-and-pix2pix writes each network of a model to a file of its own, such as `latest_net_G_A.pth`.
OF_A_NETWORK = re.compile(r".+_(net_[GD](?:_[AB])?)\.pth")
MAX_DEPTH = 3  # dictionaries within dictionaries; no known program nests its weights deeper
LIGHTNINGS = "pytorch-lightning_version"


def read_weights(path: Path) -> dict[str, dict[str, Tensor]]:
    """Returns the tensors in a file, on the CPU, by the name of the dictionary that holds them ("" for the outermost).

    Read are files of `torch.save`, also of torch before 1.6, and of safetensors; the index of safetensors in parts, and
    a folder with such an index or with one file of safetensors; and a folder of pytorch-CycleGAN-and-pix2pix, whose
    files become one dictionary. Nothing in a file is run. Of a checkpoint of Lightning only the `state_dict` is
    returned; optimizers' states are not.

    Raises:
        Unreadable: the file is damaged, another kind of file, or holds no tensors under names.
    """
    if path.is_dir():
        files = _files_in(path)
        if len(files) == 1:
            return read_weights(files[0])
        return {"": {name: weight for file in files for name, weight in read_weights(file)[""].items()}}
    if path.name.endswith(INDEX):
        return {"": _of_index(path)}
    if is_safetensors(path):
        return {"": read_safetensors(path)}
    contents = _of_torch(path, inert=True)
    containers = dict(_containers(contents)) if isinstance(contents, Mapping) else {}
    if not containers:
        raise Unreadable("it holds no weights under names, as a state_dict does")
    for name, weight in ((name, weight) for weights in containers.values() for name, weight in weights.items()):
        if not is_backed(weight):
            raise Unreadable(f"its weight {quoted(name)} is no array of numbers")
    network = OF_A_NETWORK.fullmatch(path.name)
    if network is not None and [*containers] == [""]:
        return {"": {f"{network[1]}.{name}": weight for name, weight in containers[""].items()}}
    return containers


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """Returns the tensors in a file of safetensors, on the CPU.

    Raises:
        Unreadable: it is cut short, damaged or no such file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        reason = quoted(error)
        if "not fully covered" in reason or "invalid header length" in reason.lower():
            raise Unreadable(f"{path.name} cannot be read as safetensors: it {CUT_SHORT}") from error
        raise Unreadable(f"{path.name} cannot be read as safetensors: {reason}") from error


def read_state(path: Path) -> Any:
    """Returns the contents of a file that should hold one state dict: of safetensors, or of `torch.save`.

    Raises:
        Unreadable: it is damaged, another kind of file, or holds other things than tensors and plain values.
    """
    return read_safetensors(path) if is_safetensors(path) else _of_torch(path, inert=False)


@contextmanager
def torch_file(path: Path) -> Iterator[Path]:
    """Yields a file of `torch.save` with tensors and plain values alone, for libraries that unpickle whatever they get.

    It is the file itself, or a temporary copy of one of safetensors.

    Raises:
        Unreadable: as for `read_state`.
    """
    state = read_state(path)
    if not is_safetensors(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "weights.pth"
        torch.save(state, copy)
        yield copy


def _of_torch(path: Path, inert: bool) -> Any:
    try:
        if path.suffix == ".safetensors":  # by which torch.load chooses another reader
            raise Unreadable("it is called .safetensors and is none")
        return read_tensors(path, old_format=True, inert=inert)
    except Unreadable as error:
        save = "; save the state_dict alone where it was made: torch.save(model.state_dict(), FILE)"
        if str(error).startswith("it names"):
            raise Unreadable(f"{error}{save}") from error
        raise Unreadable(what_it_is(path, error)) from error


def files_of(path: Path) -> list[Path]:
    """Returns the files that `read_weights` reads.

    Raises:
        Unreadable: it is a folder that holds none, or several of which none is the one.
    """
    files = _files_in(path) if path.is_dir() else [path]
    parts = sorted({str(part) for file in files if file.name.endswith(INDEX) for part in _parts(file).values()})
    return [*files, *(files[0].parent / part for part in parts)]


def _files_in(folder: Path) -> list[Path]:
    """Returns the files of weights in a folder, or the index of their parts."""
    for name in (WEIGHTS, *OF_DIFFUSERS):
        if (folder / name).is_file():
            return [folder / name]
    indices, parts = sorted(folder.glob(f"*{INDEX}")), sorted(folder.glob("*.safetensors"))
    for file in (indices, parts):
        if len(file) == 1:
            return file
    networks = [path for path in sorted(folder.glob("latest_net_*.pth")) if OF_A_NETWORK.fullmatch(path.name)]
    if networks and not parts:
        return networks
    models = sorted(path.parent.name for name in OF_DIFFUSERS for path in folder.glob(f"*/{name}"))
    if models:
        raise Unreadable(f"it is the folder of several models: name the folder of one, {folder / models[0]}")
    raise Unreadable("it is a folder: name the file of weights in it")


def _of_index(path: Path) -> dict[str, Tensor]:
    """Returns the tensors of all parts that an index names, which must lie beside it."""
    named = _parts(path)
    state: dict[str, Tensor] = {}
    for file in sorted({*named.values()}):
        if Path(file).name != file or not (path.parent / file).is_file():
            raise Unreadable(f"the part {quoted(file)} that {path.name} names does not lie beside it")
        state |= read_safetensors(path.parent / file)
    lacking = sorted(named.keys() - state.keys())
    if lacking or not state:
        raise Unreadable(f"the parts lack {quoted(lacking[0]) if lacking else 'weights'}, which {path.name} names")
    return state


def _parts(index: Path) -> dict[str, str]:
    """Returns the file that holds each weight, as an index says."""
    files = _json(index).get("weight_map")
    if not isinstance(files, dict):
        raise Unreadable(f"{index.name} is no index of weights: it has no weight_map")
    return {name: str(file) for name, file in files.items()}


def settings_of(path: Path, name: str) -> dict[str, Any] | None:
    """Returns the contents of a JSON file in the folder of weights, or beside their file; None if it is not there.

    Args:
        path: of the weights.
        name: of the JSON file.

    Raises:
        Unreadable: it is damaged, or larger than any settings.
    """
    file = (path if path.is_dir() else path.parent) / name
    return _json(file) if file.is_file() else None


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Unreadable(f"{path.name} has more than {MAX_BYTES >> 20} MiB")
        contents = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"{path.name} cannot be read: {quoted(error)}") from error
    if not isinstance(contents, dict):
        raise Unreadable(f"{path.name} holds no object of JSON")
    return contents


def _containers(contents: Mapping[Any, Any], name: str = "", depth: int = 0) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yields the dictionaries of arrays and their names; single numbers, as of a best score, make none."""
    weights = {key: value for key, value in contents.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if any(weight.ndim for weight in weights.values()):
        yield name, weights
    of_lightning = LIGHTNINGS in contents and isinstance(contents.get("state_dict"), Mapping)
    for key, value in contents.items():
        inner = isinstance(key, str) and isinstance(value, Mapping) and not key.startswith("optim")
        if inner and depth < MAX_DEPTH and (not of_lightning or key == "state_dict"):
            yield from _containers(value, f"{name}.{key}" if name else key, depth + 1)
