"""`reconstruct`: pictures beside a model's reconstructions of them, and their distances."""

from collections.abc import Iterator

import torch
from torch import Tensor

from gen_experiments.callbacks.protocols import Reconstructs
from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import read_in_batches
from gen_experiments.commands.outputs import at_once, find_originals, write_batches
from gen_experiments.commands.reading import eight_bits, reading_of
from gen_experiments.images import to_float, to_uint8
from gen_experiments.metrics.features import FeatureExtractor
from gen_experiments.metrics.frechet import FeatureSums, frechet_distance, warn_of_few
from gen_experiments.metrics.reconstruction import psnr, ssim


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
    reading = reading_of(checkpoint)
    files, names = find_originals(images, reading, [out])
    model = load_on_device(checkpoint, Reconstructs, "reconstruct", device)
    batches = read_in_batches(files, model.image, reading, at_once())
    distances: list[tuple[Tensor, Tensor]] = []
    sums: list[FeatureSums] = []
    if extractor is not None:
        extractor.to(model.device)
        sums = [FeatureSums(extractor.num_features).to(model.device) for _ in range(2)]

    def remade() -> Iterator[tuple[Tensor, Tensor]]:
        for kept in batches:
            pictures = to_uint8(model.reconstruct(to_float(kept.to(model.device)))).cpu()
            originals = eight_bits(kept)
            distances.append((psnr(pictures, originals), ssim(pictures, originals)))
            if extractor is not None:
                for of_side, side in zip(sums, (originals, pictures), strict=True):
                    of_side.update(extractor(side.to(model.device)))
            yield originals, pictures

    write_batches(names, remade(), [out], "reconstructions", "images above their reconstructions")
    decibels, similarity = (float(torch.cat(values).mean()) for values in zip(*distances, strict=True))
    print(f"PSNR {decibels:.2f} dB, SSIM {similarity:.4f}")
    if extractor is not None:
        moments = [of_side.moments() for of_side in sums]
        warn_of_few(*moments)
        distance = float(frechet_distance(*moments))
        print(f"rFID {distance:.4f} of {len(names)} images by {type(extractor).__name__}")
