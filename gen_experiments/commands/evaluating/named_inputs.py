"""What the names given to `evaluate` and `stats` stand for, and the images that a checkpoint's model makes."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from gen_experiments.callbacks.protocols import Reconstructs, Samples, SamplesOfClasses, Translates
from gen_experiments.checkpoints.loading import load_model, read_checkpoint
from gen_experiments.checkpoints.paths import checkpoint_of, file_of
from gen_experiments.commands.evaluating.image_sets import (
    Archive,
    Images,
    Preprocessing,
    configured_data,
    images_or_archive,
    split_images,
)
from gen_experiments.commands.reading import reading_in, reading_of
from gen_experiments.commands.training_data import contents_of, training_data
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.errors import UserError
from gen_experiments.evaluation.feature_set import ClassLabels
from gen_experiments.images import to_uint8
from gen_experiments.models.base import ImageModel
from gen_experiments.models.code_model import CodeModel
from gen_experiments.models.sampling import GenerativeModel
from gen_experiments.storage import file_sha256


@dataclass(frozen=True)
class NamedInput:
    """A checkpoint, a run or a data configuration that was opened, or the name of a folder or an archive.

    Attributes:
        name: as `evaluate` takes it.
        preprocessing: of its images, if known: the pictures of a folder on the other side get the same.
        checkpoint: the file of a checkpoint or a run.
        model: the model of the checkpoint, on the device.
        data: the data of a data configuration, and the chosen split.
    """

    name: str
    preprocessing: Preprocessing | None = None
    checkpoint: Path | None = None
    model: ImageModel | None = None
    data: tuple[ImageDataModule, str] | None = None


def open_input(name: str, device: torch.device) -> NamedInput:
    """Opens what `evaluate` calls by a name: a checkpoint, a run or a data configuration; its model is on the device.

    Raises:
        UserError: it is a checkpoint or a data configuration that cannot be read.
    """
    checkpoint, configured = checkpoint_of(Path(name)), configured_data(name)
    if checkpoint is not None:
        model = load_model(checkpoint, ImageModel, "be evaluated").to(device)
        return NamedInput(
            name, Preprocessing(model.image, reading_of(str(checkpoint), compared=True)), checkpoint, model
        )
    if configured is not None:
        data, file, split = configured
        return NamedInput(
            name, Preprocessing(data.image, reading_in(contents_of(file), compared=True)), data=(data, split)
        )
    return NamedInput(name)


def images_of(named: NamedInput, preprocessing: Preprocessing | None, num: int, seed: int) -> Images | Archive:
    """Returns the images of a named input: `num` samples for a checkpoint or a run.

    The pictures of a folder are read by `preprocessing`; None leaves them as they are.

    Raises:
        UserError: the side does not exist, cannot be read, or its model cannot sample.
    """
    if named.model is not None and named.checkpoint is not None:
        return samples_of(named.model, named.checkpoint, num, seed)
    return images_or_archive(named.name, preprocessing) if named.data is None else split_images(*named.data)


def samples_of(model: ImageModel, checkpoint: Path, num: int, seed: int) -> Images:
    """Returns samples of a model, of the requested number.

    Raises:
        UserError: the model cannot sample.
    """
    if not isinstance(model, Samples):
        # Reconstructions and translations can be evaluated, but are no reference.
        first = f": name it first, as in evaluate {checkpoint}" if isinstance(model, (Reconstructs, Translates)) else ""
        raise UserError(f"{checkpoint} holds a {type(model).__name__}, which cannot sample{first}")
    described = {**checkpoint_description(model, checkpoint), "kind": "samples of a model", "seed": seed}
    if isinstance(model, GenerativeModel) and model.num_classes is not None:
        described["classes"] = "as often as in training" if model.class_counts else "all alike"
    if isinstance(model, CodeModel):
        described["decoding"] = asdict(model.decoding)

    def labels() -> ClassLabels | None:
        numbers = model.sample_labels(0, num, seed) if isinstance(model, SamplesOfClasses) else None
        return ClassLabels.of(numbers, model.image.class_labels)

    content = _content(checkpoint)
    return Images(
        described, num, lambda part: to_uint8(model.sample(part.start, len(part), seed)), content, labels=labels
    )


def _content(checkpoint: Path) -> str | None:
    """Returns what a model's training images show; None if its run does not say."""
    try:
        return training_data(str(checkpoint), None).source.content
    except UserError:
        return None


def checkpoint_description(model: ImageModel, path: Path) -> dict[str, Any]:
    """Returns the description of a model in the record of an evaluation."""
    checkpoint = read_checkpoint(path)
    return {
        "kind": "",
        "path": str(path),
        "sha256": file_sha256(file_of(path)),
        "model": type(model).__name__,
        "step": checkpoint["global_step"],
        "images_seen": checkpoint["images_seen"],
        # Of the weights that sample; 0: the raw ones.
        "ema_half_life": checkpoint["hyper_parameters"].get("ema_half_life"),
        "training": checkpoint.get("training"),  # by the callback Cost; earlier releases did not say
        "size": model.image.size,
    }
