"""Reading checkpoints: nothing in a file is run, and each mistake is described in one line."""

import json
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from gen_experiments.checkpoints.descriptions import build, described_by
from gen_experiments.checkpoints.exports import CONFIG, init_args_of, read_contents
from gen_experiments.checkpoints.paths import existing_checkpoint
from gen_experiments.checkpoints.size_limit import within_weights
from gen_experiments.errors import UserError, quoted
from gen_experiments.models.base import ImageModel
from gen_experiments.untrusted.file_kinds import what_it_is
from gen_experiments.untrusted.plain_values import check_plain
from gen_experiments.untrusted.torch_files import is_backed
from gen_experiments.untrusted.unreadable import Unreadable, being_built

Kind = TypeVar("Kind")  # of a model: a class, or a protocol

FOREIGN = "weights of other programs become a checkpoint by `fit --run.init_from=FILE --trainer.max_steps=0`"


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Returns the contents of a checkpoint that this project's command line wrote, or of the folder of an export.

    A run's folder stands for its best checkpoint, else its last. Only tensors and plain values are read; the classes
    that the file names are not imported.

    Raises:
        UserError: the file is missing, damaged, or no checkpoint of this project.
    """
    outer = being_built()
    if outer is not None:
        raise UserError(f"{outer} names another checkpoint, {path}, which is not read")
    path = existing_checkpoint(path)
    try:
        checkpoint: dict[str, Any] = read_contents(path)
    except Unreadable as error:
        if path.suffix == ".safetensors":
            raise UserError(
                f"{path} holds weights alone: name the folder that `export` wrote them to, with its {CONFIG}; {FOREIGN}"
            ) from error
        reason = quoted(what_it_is(path, error))
        then = f"; {FOREIGN}" if reason.startswith("it names") else ""
        raise UserError(
            f"{path} is no readable checkpoint (damaged, or not written by this program): {reason}{then}"
        ) from error
    hyperparameters = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if not isinstance(hyperparameters, dict) or "_class_path" not in hyperparameters or "images_seen" not in checkpoint:
        raise UserError(f"{path} was not written by gen_experiments fit; {FOREIGN}")
    check_plain(hyperparameters, path)
    if not isinstance(hyperparameters["_class_path"], str) or "." not in hyperparameters["_class_path"]:
        raise UserError(f"{path} names no class of a model")
    for key, kind in (("state_dict", dict), ("images_seen", int), ("global_step", int)):
        if not isinstance(checkpoint.get(key), kind):
            raise UserError(f"{path} is no whole checkpoint: its {key} is missing or no {kind.__name__}")
    for name, weight in checkpoint["state_dict"].items():
        if not isinstance(name, str) or not isinstance(weight, Tensor) or not is_backed(weight):
            raise UserError(f"{path} is no whole checkpoint: its weight {quoted(name)} is no array of numbers")
    return checkpoint


def check_fits(model: ImageModel, path: str | Path) -> dict[str, Any]:
    """Returns the contents of a checkpoint that can be loaded into `model`.

    Raises:
        UserError: it holds another kind of model, or weights of other shapes.
    """
    checkpoint = read_checkpoint(path)
    class_name = checkpoint["hyper_parameters"]["_class_path"].rpartition(".")[2]
    if class_name != type(model).__name__:
        raise UserError(f"{path} holds a {quoted(class_name)}, not a {type(model).__name__}")
    differing = _differing(model, checkpoint["state_dict"])
    if differing is not None:
        raise UserError(
            f"{path} does not fit this configuration ({quoted(differing)}): "
            f"use the config.yaml of the run that wrote it"
        )
    return checkpoint


def load_model(path: str | Path, required: type[Kind], task: str) -> Kind:
    """Rebuilds a checkpoint's model, in evaluation mode on the CPU.

    Args:
        path: the checkpoint.
        required: the class or protocol that the model must have.
        task: what the command wants to do with it, for the message.

    Raises:
        UserError: see `read_checkpoint`; the checkpoint names classes of a package that is not trusted, does not
            describe a model, or holds other weights than it describes or weights that are not finite; or the model
            cannot do the task.
    """
    checkpoint = read_checkpoint(path)
    state = checkpoint["state_dict"]
    with described_by(path):
        kind = _kind(checkpoint["hyper_parameters"], path)
        if issubclass(required, ImageModel) and not issubclass(kind, required):
            raise _unable(kind, path, task)
        with within_weights(state, f"{path} describes a larger model than the one whose weights it holds"):
            model = _build(kind, checkpoint["hyper_parameters"], path)
        if not isinstance(model, required):
            raise _unable(kind, path, task)
        differing = _differing(model, state)
        if differing is not None:
            raise UserError(f"{path} holds other weights than those of the model it describes ({quoted(differing)})")
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(state)
        broken = next((name for name, weight in model.named_parameters() if not weight.isfinite().all()), None)
        if broken is not None:
            # Its pictures would be black, and most of their scores numbers.
            raise UserError(f"{path} holds weights that are NaN or infinite ({broken}): name an earlier checkpoint")
        model.hparams.update(checkpoint["hyper_parameters"])  # for the checkpoints of further training
    return model.eval()


def _unable(kind: type[ImageModel], path: str | Path, task: str) -> UserError:
    advice = f": {kind.alternatives[task]}" if task in kind.alternatives else ""
    return UserError(f"{path} holds a {kind.__name__}, which cannot {task}{advice}")


def read_description(path: str | Path) -> str:
    """Returns the description of a checkpoint's model, without weights, as text for `build_model`."""
    return json.dumps(read_checkpoint(path)["hyper_parameters"])


def build_model(description: str, expected: type[ImageModel] = ImageModel) -> ImageModel:
    """Returns the model of a description, with initial weights.

    Args:
        description: what `read_description` returned.
        expected: the class of the model.

    Raises:
        UserError: it names classes of a package that is not trusted, or what it names is no such model.
    """
    path = being_built() or "the description of a model"
    with described_by(path):
        hyper_parameters = json.loads(description)
        check_plain(hyper_parameters, path)
        if not isinstance(hyper_parameters, dict) or not isinstance(hyper_parameters.get("_class_path"), str):
            raise UserError(f"{path} holds a description of no model")
        kind = _kind(hyper_parameters, path)
        if not issubclass(kind, expected):
            raise UserError(f"{path} describes a {kind.__name__} where a {expected.__name__} is needed")
        return _build(kind, hyper_parameters, path)


def _kind(hyper_parameters: dict[str, Any], path: str | Path) -> type[ImageModel]:
    """Returns the class of a model, imported only if it is allowed."""
    kind: type[ImageModel] = build(
        lambda parser: parser.add_argument("--described", type=type[ImageModel]),
        hyper_parameters["_class_path"],
        path,
    )
    return kind


def _build(kind: type[ImageModel], hyper_parameters: dict[str, Any], path: str | Path) -> ImageModel:
    model: ImageModel = build(
        lambda parser: parser.add_class_arguments(kind, "described", fail_untyped=False),
        init_args_of(hyper_parameters),
        path,
    )
    return model


def _differing(model: nn.Module, state: dict[str, Tensor]) -> str | None:
    """Returns what is wrong with the first weight that does not fit, in the order of the model; None if all fit."""
    expected = model.state_dict()
    for name in (*expected, *state):
        if name not in state:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} is unknown"
        if state[name].shape != expected[name].shape:
            return f"{name} has the shape {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
    return None
