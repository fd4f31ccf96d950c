"""`reconstruct`: pictures beside a model's reconstructions of them, and their distances."""

import torch

from gen_experiments.callbacks.protocols import Reconstructs
from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import is_image_file, read_images
from gen_experiments.commands.outputs import check_names, write_by_name, write_rows
from gen_experiments.commands.reading import eight_bits, reading_of
from gen_experiments.images import to_float, to_uint8
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import Moments, frechet_distance, warn_of_few
from gen_experiments.metrics.reconstruction import psnr, ssim

BATCH = 64


@torch.inference_mode()
def reconstruct(
    checkpoint: str,
    images: str,
    out: str = "reconstructions.png",
    extractor: FeatureExtractor | None = None,
    device: str = "auto",
) -> None:
    """Writes reconstructions of a folder's pictures, and prints how close they are.

    PSNR and SSIM are means over the images; rFID compares the distributions of the pictures and their reconstructions.
    All are taken on uint8 images of the model's size.

    Args:
        checkpoint: a checkpoint of a model that reconstructs, such as a VQ-VAE.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: an image file, for a grid of at most 256 pictures above their reconstructions; or a folder, for PNG files
            of the same names.
        extractor: the feature extractor of the rFID, such as InceptionFeatures; None for no rFID.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint or the folder cannot be used, or `out` cannot be written.
    """
    model = load_on_device(checkpoint, Reconstructs, "reconstruct", device)
    names, kept = read_images(images, model.image, reading_of(checkpoint))
    check_names(names, images, out)
    remade = torch.cat(
        [to_uint8(model.reconstruct(to_float(part.to(model.device)))).cpu() for part in kept.split(BATCH)]
    )
    originals = eight_bits(kept)
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
    if is_image_file(out):
        write_rows([originals, remade], out, "images above their reconstructions")
    else:
        write_by_name(names, originals, remade, out, "reconstructions")
