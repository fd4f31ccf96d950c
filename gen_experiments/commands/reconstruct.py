"""`reconstruct`: given pictures beside what a checkpoint makes of them."""

import torch

from gen_experiments.callbacks.protocols import Reconstructs
from gen_experiments.data.sources import ImageFolder
from gen_experiments.images import grid, pairs_in_rows, save_image, to_float, to_uint8
from gen_experiments.models.checkpoints import load_model

BATCH, COLUMNS = 64, 8


@torch.inference_mode()
def reconstruct(checkpoint: str, images: str, out: str = "reconstructions.png") -> None:
    """Writes pictures of a folder above their reconstructions, as one grid.

    Args:
        checkpoint: a checkpoint of a model that reconstructs, such as a VQ-VAE.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: the grid's image file.

    Raises:
        UserError: the checkpoint or the folder cannot be used, or `out` cannot be written.
    """
    model = load_model(checkpoint, Reconstructs, "reconstruct")
    assert isinstance(model, Reconstructs)
    source = ImageFolder(images, model.image.channels)
    originals = torch.from_numpy(source.decode("train", model.image.size).images)
    remade = torch.cat([to_uint8(model.reconstruct(to_float(part))) for part in originals.split(BATCH)])
    save_image(grid(pairs_in_rows(originals, remade, COLUMNS), COLUMNS), out)
    print(f"wrote {len(originals)} images above their reconstructions to {out}")
