"""The folder of an exported model: its weights as safetensors; what it is built from, and its pictures, as JSON."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from gen_experiments.checkpoints.paths import WEIGHTS, is_exported
from gen_experiments.untrusted.plain_values import MAX_BYTES
from gen_experiments.untrusted.torch_files import read_tensors
from gen_experiments.untrusted.unreadable import Unreadable

CONFIG = "config.json"
FORMAT = 1


def read_contents(path: Path) -> Any:
    """Returns the contents of a checkpoint, or of an export in the form of a checkpoint.

    Raises:
        Unreadable: see `read_tensors` and `read_exported`.
    """
    return read_exported(path) if is_exported(path) else read_tensors(path)


def weights_bytes(state: dict[str, Tensor]) -> bytes:
    """Returns the contents of a file of weights, each in its own dtype."""
    from safetensors.torch import save

    # safetensors has neither strides nor weights that share memory.
    return save({name: weight.detach().contiguous().clone() for name, weight in state.items()})


def config_of(
    checkpoint: dict[str, Any], image: dict[str, Any], pictures: dict[str, Any] | None, functions: dict[str, Any]
) -> dict[str, Any]:
    """Returns the configuration of an exported model, as plain values.

    Args:
        checkpoint: what `read_exported` returns, without the weights.
        image: what the images are like.
        pictures: what `pictures_of` returns: how the data of its run frame pictures; None if that is not known.
        functions: the inputs, outputs and files of each exported function.
    """
    hyper_parameters = checkpoint["hyper_parameters"]
    return {
        "format": FORMAT,
        "model": {"class_path": hyper_parameters["_class_path"], "init_args": init_args_of(hyper_parameters)},
        "image": image,
        "pictures": pictures,
        "images_seen": checkpoint["images_seen"],
        "global_step": checkpoint["global_step"],
        "training": checkpoint.get("training"),
        "class_counts": checkpoint.get("class_counts"),
        "functions": functions,
    }


def init_args_of(hyper_parameters: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a model among the hyperparameters that Lightning keeps in a checkpoint."""
    return {key: value for key, value in hyper_parameters.items() if key not in ("_class_path", "_instantiator")}


def read_exported(folder: Path) -> dict[str, Any]:
    """Returns an export in the form of a checkpoint: hyperparameters, weights, images seen and step.

    The files are data: no pickle is read, and nothing that they name is imported.

    Raises:
        Unreadable: a file is missing, damaged, or not of this format.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = _read_config(folder / CONFIG)
    model = config.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("init_args"), dict):
        raise Unreadable(f"its {CONFIG} describes no model")
    try:
        state = load_file(folder / WEIGHTS)
    except (OSError, SafetensorError, ValueError, KeyError, RuntimeError, AttributeError) as error:
        raise Unreadable(f"its {WEIGHTS} cannot be read: {error}") from error
    return {
        "hyper_parameters": {**model["init_args"], "_class_path": model.get("class_path")},
        "state_dict": state,
        "images_seen": config.get("images_seen"),
        "global_step": config.get("global_step"),
        "training": config.get("training"),
        "class_counts": config.get("class_counts"),
    }


def pictures_of(folder: Path) -> dict[str, Any] | None:
    """Returns what an export says of how pictures are framed for its model; None of one that says nothing.

    Raises:
        Unreadable: as for `read_exported`.
    """
    pictures = _read_config(folder / CONFIG).get("pictures")
    return pictures if isinstance(pictures, dict) else None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if not path.is_file():
            raise Unreadable(f"it has no {CONFIG}")
        if path.stat().st_size > MAX_BYTES:
            raise Unreadable(f"its {CONFIG} has more than {MAX_BYTES >> 20} MiB")
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise Unreadable(f"its {CONFIG} cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise Unreadable(f"its {CONFIG} is not of format {FORMAT}, which this version reads")
    return config
