"""`interpolate`: images between samples of a GAN."""

from pathlib import Path

import torch
from torch import Tensor

from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import check_image_file, read_latents
from gen_experiments.commands.labels import class_names, class_numbers, one_label
from gen_experiments.errors import UserError, check_interval
from gen_experiments.grids import MAX_IN_GRID, grid, page_names, save_grid
from gen_experiments.images import save_animation, to_uint8
from gen_experiments.models.gan import GAN
from gen_experiments.models.sampling import sample_rngs

ANIMATED = (".gif", ".webp")


@torch.inference_mode()
def interpolate(
    checkpoint: str,
    out: str = "interpolation.png",
    points: int = 4,
    steps: int = 8,
    seed: int = 0,
    classes: list[str | int] | None = None,
    latents: str | None = None,
    device: str = "auto",
) -> None:
    """Writes the images along arcs between samples: a row per arc, or an animation along all arcs.

    The noise is interpolated spherically: a straight line would leave the shell on which normal noise lies.

    Args:
        checkpoint: a checkpoint of a GAN.
        out: an image file for a grid; one that ends in .gif or .webp for an animation.
        points: the number of samples that the arcs connect; an animation returns from the last to the first.
        steps: the number of images of an arc; in a grid, its two ends included.
        seed: the seed whose first samples are the points.
        classes: names or numbers of classes for a conditional GAN: the arcs are drawn once for each. Without them all
            images have the label of the first point.
        latents: a file of noise that `project` wrote, whose rows are the points.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint or the file cannot be used, a number is out of range, or `out` cannot be written.
    """
    check_image_file(out)
    model = load_on_device(checkpoint, GAN, "interpolate: it has no noise to go through", device)
    check_interval("[2, inf)", points=points, steps=steps)
    check_interval("[0, inf)", seed=seed)
    if points * steps > MAX_IN_GRID:
        raise UserError(f"--points times --steps must be at most {MAX_IN_GRID}, not {points * steps}")
    wanted = [] if classes is None else class_numbers("--classes", classes, model)
    rngs = sample_rngs(0, points, seed)
    labels = None if wanted else model.drawn_labels(rngs)  # before the noise, as `sample` does
    ends = model.noise(rngs).cpu()
    if latents is not None:
        ends = read_latents(latents, model.generator.latent_dim)
        if len(ends) < 2:
            raise UserError(f"{latents} holds the noise of one picture: an interpolation needs two")
    animated = Path(out).suffix.lower() in ANIMATED
    starts, stops = (ends, ends.roll(-1, 0)) if animated else (ends[:-1], ends[1:])
    # An animation shows each end once, as the start of the next arc.
    shares = torch.linspace(0, 1, steps + 1)[:-1] if animated else torch.linspace(0, 1, steps)
    path = torch.cat([slerp(start, stop, shares) for start, stop in zip(starts, stops, strict=True)])
    chosen: list[int | None] = [*wanted] or [None if labels is None else int(labels[0])]
    ways = [images_at(model, path, label) for label in chosen]
    if animated:
        save_animation([grid(torch.stack(frame)) for frame in zip(*ways, strict=True)], out)
        print(f"wrote an animation of {len(path)} frames to {out}")
    else:
        names = class_names("--classes", model) if wanted else None
        rows = None if names is None else [names[label] for label in wanted for _ in starts]
        out = page_names(save_grid(torch.cat(ways), out, steps, row_names=rows))
        print(f"wrote {len(ways) * len(starts)} rows of {steps} images to {out}")


def slerp(start: Tensor, stop: Tensor, shares: Tensor) -> Tensor:
    """Interpolates spherically (https://arxiv.org/abs/1609.04468): sin((1−t)Ω)/sin Ω · a + sin(tΩ)/sin Ω · b.

    Args:
        start: (D,), a.
        stop: (D,), b.
        shares: (T,), t in [0, 1].

    Returns:
        (T, D). Where a and b are parallel, or one is zero, the straight line.
    """
    cosine = torch.nn.functional.cosine_similarity(start.double(), stop.double(), dim=0).clamp(-1, 1)
    angle, t = torch.arccos(cosine), shares.double()[:, None]
    sine = torch.sin(angle)
    if sine < 1e-6 or not (start.any() and stop.any()):
        return torch.lerp(start, stop, shares[:, None])
    mixed = (torch.sin((1 - t) * angle) * start.double() + torch.sin(t * angle) * stop.double()) / sine
    return mixed.to(start.dtype)


def images_at(model: GAN, noise: Tensor, label: int | None) -> Tensor:
    """Returns (N, C, H, W) uint8 images of (N, latent_dim) noise, all of one label."""
    images: Tensor = model(noise.to(model.device), one_label(label, len(noise), model.device))
    return to_uint8(images).cpu()
