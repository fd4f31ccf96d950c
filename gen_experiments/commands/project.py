"""`project`: finds the noise from which a GAN makes given pictures, and changes their classes."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import check_image_file, checked_pictures, read_images
from gen_experiments.commands.labels import class_names, class_numbers, one_label
from gen_experiments.commands.reading import eight_bits, reading_of
from gen_experiments.errors import UserError, check_interval
from gen_experiments.grids import in_rows, page_names, save_grid
from gen_experiments.images import to_float, to_uint8
from gen_experiments.losses.perceptual import Perceptual
from gen_experiments.metrics.reconstruction import psnr
from gen_experiments.models.gan import GAN
from gen_experiments.models.sampling import sample_rngs
from gen_experiments.progress import progress
from gen_experiments.storage import atomic_write, prepare_file

CANDIDATES, COLUMNS = 512, 8


def project(
    checkpoint: str,
    images: str,
    out: str = "projections.png",
    latents: str = "latents.npz",
    steps: int = 300,
    lr: float = 0.05,
    shell: float = 0.01,
    seed: int = 0,
    class_: str | None = None,
    classes: list[str | int] | None = None,
    perceptual: float = 0.0,
    net: Literal["vgg", "alex"] = "vgg",
    weights: str | None = None,
    device: str = "auto",
) -> None:
    """Finds noise from which the GAN makes the pictures of a folder, and carries their style to other classes.

    Adam descends the mean squared error of the pixels on [-1, 1] + perceptual · LPIPS + shell · (‖z‖² / D − 1)², which
    keeps z near the shell on which normal noise lies, from the best of 512 samples; the best z is kept.

    Args:
        checkpoint: a checkpoint of a GAN.
        images: the folder; its pictures are cropped and resized to what the model was trained on.
        out: the grid's image file; without `classes` it has the pictures above their projections.
        latents: the file of the noise: a NumPy archive with `latents` (N, D), which `interpolate` takes.
        steps: the number of steps of Adam.
        lr: Adam's learning rate.
        shell: the factor of the term of the shell.
        seed: the seed of the samples to start from.
        class_: the class of all pictures, by name or number; needed for a conditional GAN.
        classes: names or numbers of classes in which the pictures are made again: a picture's noise holds what its
            label does not, such as slant and weight of a stroke. Each row of the grid holds the picture, the projection
            and these classes.
        perceptual: the factor of LPIPS; 0 compares pixels alone and needs no network of features.
        net: LPIPS' backbone, VGG-16 or AlexNet.
        weights: a local copy of torchvision's weights of the backbone; by default they are fetched.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint or the folder cannot be used, a number is out of range, or a file cannot be written.
    """
    check_image_file(out)
    prepare_file(Path(latents))
    check_interval("[1, inf)", steps=steps)
    check_interval("(0, inf)", lr=lr)
    check_interval("[0, inf)", shell=shell, perceptual=perceptual, seed=seed)
    reading = reading_of(checkpoint)
    files, _ = checked_pictures(images, reading)
    model = load_on_device(checkpoint, GAN, "project: it has no noise to look for", device)
    model.requires_grad_(False)
    if class_ is None and model.num_classes is not None:
        raise UserError("the GAN is conditional: name the pictures' --class")
    label = None if class_ is None else class_numbers("--class", [class_], model)[0]
    others = [] if classes is None else class_numbers("--classes", classes, model)
    kept = read_images(files, model.image, reading)
    originals = eight_bits(kept)
    features = Perceptual(net=net, weights=weights) if perceptual > 0 else None

    def distances(images: Tensor, targets: Tensor) -> Tensor:
        pixels = (images - targets).square().flatten(1).mean(dim=1)
        return pixels if features is None else pixels + perceptual * features.lpips(images, targets)

    projections = _descend(model, to_float(kept.to(model.device)), label, distances, steps, lr, shell, seed)
    shown_as = [label, *others]
    projected, *restyled = [
        to_uint8(model(projections, one_label(shown, len(projections), model.device))).cpu() for shown in shown_as
    ]
    if restyled:
        names = class_names("--classes", model)
        columns = ["picture", "projection", *(names[other] for other in others)]
        stacked = torch.stack([originals, projected, *restyled], dim=1).flatten(0, 1)
        pages = save_grid(stacked, out, len(columns), column_names=columns)
    else:
        pages = save_grid(in_rows(originals, projected, columns=COLUMNS), out, COLUMNS, together=2)
    try:
        with atomic_write(Path(latents)) as temporary, temporary.open("wb") as file:
            np.savez(file, latents=projections.cpu().numpy())
    except OSError as error:
        raise UserError(f"cannot write {latents}: {error.strerror}") from error
    for number, decibels in enumerate(psnr(projected, originals)):
        print(f"picture {number}: PSNR {float(decibels):.2f} dB")
    print(f"wrote {len(originals)} pictures and their projections to {page_names(pages)}, their noise to {latents}")


def _descend(
    model: GAN,
    targets: Tensor,
    label: int | None,
    distances: Callable[[Tensor, Tensor], Tensor],
    steps: int,
    lr: float,
    shell: float,
    seed: int,
) -> Tensor:
    """Returns (N, D) noise for (N, C, H, W) targets; each picture's is found as if it were alone."""
    with torch.no_grad():
        candidates = model.noise(sample_rngs(0, CANDIDATES, seed))
        images = torch.cat([model(part, one_label(label, len(part), model.device)) for part in candidates.split(64)])
        nearest = torch.cdist(targets.flatten(1), images.flatten(1)).argmin(dim=1)
    noise = candidates[nearest].clone().requires_grad_()
    optimizer = torch.optim.Adam([noise], lr=lr)
    best, best_errors = noise.detach().clone(), torch.full((len(targets),), torch.inf, device=model.device)
    for _ in progress(steps + 1, "steps"):
        now = distances(model(noise, one_label(label, len(noise), model.device)), targets)
        better = now.detach() < best_errors
        best[better], best_errors[better] = noise.detach()[better], now.detach()[better]
        optimizer.zero_grad()
        (now + shell * (noise.square().mean(dim=1) - 1).square()).sum().backward()
        optimizer.step()
    return best
