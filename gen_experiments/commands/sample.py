"""`sample`: pictures that a checkpoint generates."""

from pathlib import Path

import torch

from gen_experiments.callbacks.protocols import Samples
from gen_experiments.errors import UserError
from gen_experiments.images import IMAGE_SUFFIXES, grid, save_image, to_uint8
from gen_experiments.models.checkpoints import load_model

BATCH = 64


@torch.inference_mode()
def sample(checkpoint: str, num: int = 64, out: str = "samples.png", seed: int = 0) -> None:
    """Writes images that a checkpoint's model generates, as one grid or as a folder of PNG files.

    Args:
        checkpoint: a checkpoint of a model that generates, such as a GAN.
        num: how many images.
        out: an image file for one grid; a folder for one file an image.
        seed: names the sequence of images; the same seed gives the same images on every machine.

    Raises:
        UserError: the checkpoint cannot be used, `num` is not positive or `out` cannot be written.
    """
    if num < 1:
        raise UserError(f"--num must be at least 1, not {num}")
    model = load_model(checkpoint, Samples, "sample")
    assert isinstance(model, Samples)
    images = torch.cat([to_uint8(model.sample(first, min(BATCH, num - first), seed)) for first in range(0, num, BATCH)])
    if Path(out).suffix.lower() in IMAGE_SUFFIXES:
        save_image(grid(images), out)
    else:
        for number, image in enumerate(images):
            save_image(image, Path(out) / f"{number:05d}.png")
    print(f"wrote {num} images to {out}")
