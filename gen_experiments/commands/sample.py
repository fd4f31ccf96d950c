"""`sample`: pictures that a checkpoint generates."""

from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.callbacks.protocols import Samples
from gen_experiments.commands.labels import check_labels, one_label
from gen_experiments.commands.progress import progress
from gen_experiments.errors import UserError, check_interval
from gen_experiments.images import IMAGE_SUFFIXES, MOST_IN_GRID, grid, save_image, to_uint8
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

    A folder fills image by image: one that is interrupted holds the first images, each of them whole.

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
    check_interval("[1, inf)", num=num, per_class=1 if per_class is None else per_class)
    check_interval("[0, inf)", seed=seed)
    check_interval("(0, 1]", truncation=truncation)
    if class_ is not None and per_class is not None:
        raise UserError("--class and --per_class exclude each other")
    model = load_model(checkpoint, Samples, "sample")
    assert isinstance(model, Samples)
    if class_ is not None:
        check_labels("--class", [class_], model.num_classes)
    if per_class is not None:
        num = per_class * check_labels("--per_class", [], model.num_classes)
    as_grid = Path(out).suffix.lower() in IMAGE_SUFFIXES
    if as_grid and num > MOST_IN_GRID:
        raise UserError(f"a grid has room for {MOST_IN_GRID} images, not {num}: name a folder by --out")
    shown = []
    for indices in progress(num, "images", BATCH):
        labels = _labels(indices, class_, per_class)
        images = to_uint8(model.sample(indices.start, len(indices), seed, labels, truncation))
        if as_grid:
            shown.append(images)
            continue
        for number, image in zip(indices, images, strict=True):
            save_image(image, Path(out) / _file(number, per_class))
    if as_grid:
        save_image(grid(torch.cat(shown), per_class), out)
    print(f"wrote {num} images to {out}")


def _labels(indices: range, label: int | None, per_class: int | None) -> Tensor | None:
    """Returns the labels that were asked for, or None if the model is to draw them."""
    if per_class is not None:
        return torch.tensor([number // per_class for number in indices])
    return one_label(label, len(indices))


def _file(number: int, per_class: int | None) -> str:
    """Returns the name of an image's file; images of given numbers have a sub-folder for each class."""
    if per_class is None:
        return f"{number:05d}.png"
    return f"{number // per_class}/{number % per_class:05d}.png"
