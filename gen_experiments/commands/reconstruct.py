"""`reconstruct`: pictures beside a model's reconstructions of them, and their distances."""

import torch

from gen_experiments.callbacks.protocols import Reconstructs
from gen_experiments.commands.devices import loaded
from gen_experiments.commands.pictures import read_images
from gen_experiments.commands.reading import eight_bits, reading_of
from gen_experiments.grids import grid, in_rows
from gen_experiments.images import save_image, to_float, to_uint8
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import Moments, frechet_distance, warn_of_few
from gen_experiments.metrics.reconstruction import psnr, ssim

BATCH, COLUMNS, SHOWN = 64, 8, 256


@torch.inference_mode()
def reconstruct(
    checkpoint: str,
    images: str,
    out: str = "reconstructions.png",
    extractor: FeatureExtractor | None = None,
    device: str = "auto",
) -> None:
    """Writes pictures of a folder above their reconstructions, as one grid, and prints how close they are.

    PSNR and SSIM are means over the images; rFID compares the distributions of the pictures and their reconstructions.
    All are taken on uint8 images of the model's size.

    Args:
        checkpoint: a checkpoint of a model that reconstructs, such as a VQ-VAE.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: the grid's image file; it shows at most 256 pictures.
        extractor: the feature extractor of the rFID, such as InceptionFeatures; None for no rFID.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint or the folder cannot be used, or `out` cannot be written.
    """
    model = loaded(checkpoint, Reconstructs, "reconstruct", device)
    assert isinstance(model, Reconstructs)
    _, kept = read_images(images, model.image, reading_of(checkpoint))
    remade = torch.cat(
        [to_uint8(model.reconstruct(to_float(part.to(model.device)))).cpu() for part in kept.split(BATCH)]
    )
    originals = eight_bits(kept)
    save_image(grid(in_rows(originals[:SHOWN], remade[:SHOWN], columns=COLUMNS), COLUMNS), out)
    print(f"PSNR {float(psnr(remade, originals).mean()):.2f} dB, SSIM {float(ssim(remade, originals).mean()):.4f}")
    if extractor is not None:
        extractor.to(model.device)
        moments = [
            Moments.of_features(torch.cat([extractor(part.to(model.device)) for part in images.split(BATCH)]))
            for images in (originals, remade)
        ]
        warn_of_few(*moments)
        distance = float(frechet_distance(*moments))
        print(f"rFID {distance:.4f} of {len(originals)} images by {type(extractor).__name__}")
    print(f"wrote {len(originals[:SHOWN])} images above their reconstructions to {out}")
