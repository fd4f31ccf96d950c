"""Images that a checkpoint's model makes, to be scored."""

from pathlib import Path
from typing import Any

import torch

from gen_experiments.callbacks.protocols import Samples, SamplesOfClasses
from gen_experiments.commands.inputs import SPLITS, Archive, Images, configured_data, stored
from gen_experiments.commands.training_data import training_data
from gen_experiments.errors import UserError
from gen_experiments.evaluation.collected import Labels
from gen_experiments.exported import file_of
from gen_experiments.images import ImageSpec, to_uint8
from gen_experiments.models.base import ImageModel
from gen_experiments.models.checkpoints import load_model, read_checkpoint
from gen_experiments.runs.checkpoint_files import checkpoint_of
from gen_experiments.storage import file_sha256


def images_of(name: str, spec: ImageSpec | None, num: int, seed: int, device: torch.device) -> Images | Archive:
    """Returns what a name stands for; of a checkpoint or a run, samples.

    Args:
        name: as `evaluate` takes it.
        spec: to whose size and channels pictures are brought; None leaves them as they are.
        num: how many samples.
        seed: names their sequence.
        device: where they are made.

    Raises:
        UserError: it stands for nothing, cannot be read, or its model cannot sample.
    """
    checkpoint = checkpoint_of(Path(name))
    if checkpoint is None:
        return stored(name, spec)
    return samples_of(load_model(checkpoint, Samples, "sample").to(device), checkpoint, num, seed)


def common_spec(*names: str | None) -> ImageSpec | None:
    """Returns the images of the first name that has a size of its own: a checkpoint, a run or a data configuration."""
    for name in names:
        if name is None or name in SPLITS:
            continue
        checkpoint, configured = checkpoint_of(Path(name)), configured_data(name)
        if checkpoint is not None:
            return load_model(checkpoint, ImageModel, "be evaluated").image
        if configured is not None:
            return configured[0].image
    return None


def samples_of(model: ImageModel, checkpoint: Path, num: int, seed: int) -> Images:
    """Returns as many samples of a model as are asked for.

    Raises:
        UserError: the model cannot sample.
    """
    if not isinstance(model, Samples):
        raise UserError(f"{checkpoint} holds a {type(model).__name__}, which cannot sample")
    described = {**described_checkpoint(model, checkpoint), "kind": "samples of a model", "seed": seed}

    def labels() -> Labels | None:
        numbers = model.sample_labels(0, num, seed) if isinstance(model, SamplesOfClasses) else None
        return None if numbers is None else Labels(numbers, model.image.class_labels)

    content = _content(checkpoint)
    return Images(
        described, num, lambda part: to_uint8(model.sample(part.start, len(part), seed)), content, labels=labels
    )


def _content(checkpoint: Path) -> str | None:
    """Returns what the images show that a model was trained on; None where its run does not say."""
    try:
        return training_data(str(checkpoint), None).source.content
    except UserError:
        return None


def described_checkpoint(model: ImageModel, path: Path) -> dict[str, Any]:
    """Returns what the record of an evaluation says of a model."""
    held = read_checkpoint(path)
    return {
        "kind": "",
        "path": str(path),
        "sha256": file_sha256(file_of(path)),
        "model": type(model).__name__,
        "step": held["global_step"],
        "images_seen": held["images_seen"],
        "ema_half_life": held["hyper_parameters"].get("ema_half_life"),  # of the weights that sample; 0: the raw ones
        "size": model.image.size,
    }
