"""`sample`: pictures that a checkpoint generates."""

from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.callbacks.protocols import Samples
from gen_experiments.commands.labels import check_labels, one_label
from gen_experiments.commands.pictures import write_images
from gen_experiments.errors import UserError
from gen_experiments.images import IMAGE_SUFFIXES, to_uint8
from gen_experiments.models.checkpoints import load_model

BATCH = 64


@torch.inference_mode()
def sample(
    checkpoint: str,
    num: int = 64,
    out: str = "samples.png",
    seed: int = 0,
    class_: int | None = None,
    per_class: int | None = None,
    truncation: float = 1.0,
) -> None:
    """Writes images that a checkpoint's model generates, as one grid or as a folder of PNG files.

    Args:
        checkpoint: a checkpoint of a model that generates, such as a GAN or a prior.
        num: how many images.
        out: an image file for one grid; a folder for one file an image.
        seed: names the sequence of images; the same seed gives the same images on every machine.
        class_: the label of all images, for a model of classes; without it the labels are drawn.
        per_class: so many images of every class, instead of num: a row a class in a grid; in a folder, a sub-folder a
            class, which is an image folder to train on.
        truncation: factor in (0, 1] on the noise (GAN) or on the temperature of the codes (prior): smaller is more
            typical and less varied.

    Raises:
        UserError: the checkpoint cannot be used, a number is out of range or `out` cannot be written.
    """
    if num < 1 or (per_class is not None and per_class < 1):
        raise UserError("--num and --per_class must be at least 1")
    if not 0 < truncation <= 1:
        raise UserError(f"--truncation must be in (0, 1], not {truncation}")
    model = load_model(checkpoint, Samples, "sample")
    assert isinstance(model, Samples)
    labels = _labels(model.num_classes, num, class_, per_class)
    num = num if labels is None else len(labels)
    parts = [(first, min(BATCH, num - first)) for first in range(0, num, BATCH)]
    images = torch.cat(
        [to_uint8(model.sample(first, count, seed, _part(labels, first, count), truncation)) for first, count in parts]
    )
    if per_class is not None and Path(out).suffix.lower() not in IMAGE_SUFFIXES:
        for label, of_class in enumerate(images.split(per_class)):
            write_images(of_class, str(Path(out) / str(label)))
    else:
        write_images(images, out, per_class)
    print(f"wrote {num} images to {out}")


def _labels(classes: int | None, num: int, label: int | None, per_class: int | None) -> Tensor | None:
    """The labels that were asked for, or None if the model is to draw them."""
    if label is not None and per_class is not None:
        raise UserError("--class and --per_class exclude each other")
    if label is not None:
        check_labels("--class", [label], classes)
        return one_label(label, num)
    if per_class is not None:
        return torch.arange(check_labels("--per_class", [], classes)).repeat_interleave(per_class)
    return None


def _part(labels: Tensor | None, first: int, count: int) -> Tensor | None:
    return None if labels is None else labels[first : first + count]
