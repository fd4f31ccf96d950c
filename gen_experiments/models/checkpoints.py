"""Reading checkpoints: nothing in a file is run, and what does not fit is said in one line."""

import importlib
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.cli import instantiate_module

from gen_experiments.errors import UserError
from gen_experiments.models.base import ImageModel

TRUST_VARIABLE = "GEN_EXPERIMENTS_TRUST"
TRUSTED_PACKAGES = ("gen_experiments", "torch", "lightning")


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The contents of a checkpoint that this project's command line wrote.

    Only tensors and plain values are read (`weights_only`). The classes that the checkpoint names would be imported to
    rebuild the model, so they must belong to this project, to torch, or to a package named in `$GEN_EXPERIMENTS_TRUST`.

    Raises:
        UserError: the file is missing, damaged, no such checkpoint, or names classes of a package that is not trusted.
    """
    if not Path(path).is_file():
        raise UserError(f"there is no checkpoint at {path}")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no readable checkpoint (damaged, or not written by this program)") from error
    hyperparameters = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if "_class_path" not in hyperparameters or "images_seen" not in checkpoint:
        raise UserError(f"{path} was not written by gen_experiments fit")
    check_trust(hyperparameters, path)
    return checkpoint


def check_fits(model: ImageModel, path: str | Path) -> dict[str, Any]:
    """Returns the contents of a checkpoint that can be loaded into `model`.

    Raises:
        UserError: it holds another kind of model, or weights of other shapes.
    """
    checkpoint = read_checkpoint(path)
    held = checkpoint["hyper_parameters"]["_class_path"].rpartition(".")[2]
    if held != type(model).__name__:
        raise UserError(f"{path} holds a {held}, not a {type(model).__name__}")
    expected, found = model.state_dict(), checkpoint["state_dict"]
    differing = sorted(expected.keys() ^ found.keys()) + [
        name for name in expected.keys() & found.keys() if expected[name].shape != found[name].shape
    ]
    if differing:
        raise UserError(
            f"{path} does not fit this configuration ({differing[0]} differs): "
            f"use the config.yaml of the run that wrote it"
        )
    return checkpoint


def load_model(path: str | Path, able: type, task: str) -> ImageModel:
    """Rebuilds a checkpoint's model, in evaluation mode on the CPU.

    Args:
        path: the checkpoint.
        able: the protocol that the model must meet.
        task: the command's word for that, for the message.

    Raises:
        UserError: see `read_checkpoint`; or the model cannot do the task.
    """
    checkpoint = read_checkpoint(path)
    model = _build(checkpoint["hyper_parameters"], path)
    if not isinstance(model, able):
        raise UserError(f"{path} holds a {type(model).__name__}, which cannot {task}")
    model.on_load_checkpoint(checkpoint)
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()


def described(path: str | Path) -> str:
    """The model of a checkpoint without its weights, as text from which `build_model` makes it anew."""
    return json.dumps(read_checkpoint(path)["hyper_parameters"])


def build_model(description: str) -> ImageModel:
    """The model of a description, with the weights that it starts from.

    Raises:
        UserError: it names classes of a package that is not trusted, or what it names is no model.
    """
    return _build(json.loads(description), "the checkpoint")


def _build(hyper_parameters: dict[str, Any], path: str | Path) -> ImageModel:
    check_trust(hyper_parameters, path)
    arguments = {
        name: value for name, value in hyper_parameters.items() if name not in ("_class_path", "_instantiator")
    }
    module, _, name = hyper_parameters["_class_path"].rpartition(".")
    kind = getattr(importlib.import_module(module), name, None)
    if not (isinstance(kind, type) and issubclass(kind, ImageModel)):
        raise UserError(f"{path} names {module}.{name}, which is no model")
    model: ImageModel = instantiate_module(kind, arguments)
    return model


def check_trust(hyper_parameters: dict[str, Any], path: str | Path) -> None:
    """Makes sure that every class which a file names may be imported.

    Args:
        hyper_parameters: what stands in the file.
        path: the file, for the message.

    Raises:
        UserError: a class belongs neither to this project, to torch nor to a package in `$GEN_EXPERIMENTS_TRUST`.
    """
    trusted = {*TRUSTED_PACKAGES, *filter(None, os.environ.get(TRUST_VARIABLE, "").split(","))}
    for class_path in _class_paths(hyper_parameters):
        package = class_path.partition(".")[0]
        if package not in trusted:
            raise UserError(
                f"{path} names {class_path}, whose import would run code: "
                f"if you trust it, set {TRUST_VARIABLE}={package}"
            )


def _class_paths(value: Any) -> Iterator[str]:
    """Every class that nested dicts and lists name: of parts, and of the models that hold them."""
    if isinstance(value, dict):
        yield from (value[key] for key in ("class_path", "_class_path") if isinstance(value.get(key), str))
        for item in value.values():
            yield from _class_paths(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _class_paths(item)
