"""`explore`: images along the main directions of a GAN's latent space."""

import torch
from torch import Tensor

from gen_experiments.commands.devices import load_on_device
from gen_experiments.commands.image_files import check_image_file
from gen_experiments.errors import UserError, check_interval
from gen_experiments.grids import MAX_IN_GRID, page_names, save_grid
from gen_experiments.images import to_uint8
from gen_experiments.models.gan import GAN
from gen_experiments.models.sampling import sample_rngs
from gen_experiments.networks.base import Generator


@torch.inference_mode()
def explore(
    checkpoint: str,
    out: str = "directions.png",
    directions: int = 8,
    reach: float = 4.0,
    steps: int = 9,
    number: int = 0,
    seed: int = 0,
    device: str = "auto",
) -> None:
    """Writes a sample moved along the directions that change the generator's first layer most: a row per direction.

    The directions are SeFa's closed form (https://arxiv.org/abs/2007.06600): the eigenvectors of AᵀA, A being the
    matrix by which the first layer multiplies the noise. The strongest is the first row; the middle column is the
    sample itself.

    Args:
        checkpoint: a checkpoint of a GAN.
        out: the grid's image file.
        directions: the number of directions, the strongest first.
        reach: the distance of a row's ends from its middle, in standard deviations of the noise; > 0.
        steps: the number of images in a row; odd, so that there is a middle.
        number: the number of the sample in the sequence of the seed.
        seed: the seed of the sample.
        device: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises:
        UserError: the checkpoint cannot be used, a number is out of range, or `out` cannot be written.
    """
    check_image_file(out)
    model = load_on_device(checkpoint, GAN, "explore: it has no latent directions", device)
    dim = model.generator.latent_dim
    check_interval(f"[1, {dim}]", directions=directions)
    check_interval("(0, inf)", reach=reach)
    check_interval("[0, inf)", number=number, seed=seed)
    if steps % 2 == 0 or not 3 <= steps <= MAX_IN_GRID // directions:
        raise UserError(f"steps must be odd and in [3, {MAX_IN_GRID // directions}], not {steps}")
    rngs = sample_rngs(number, 1, seed)
    labels, noise = model.drawn_labels(rngs), model.noise(rngs)  # in the order of `sample`
    generator = model.ema.module
    assert isinstance(generator, Generator)
    axes, gains = semantic_directions(generator.first_weight)
    moves = torch.linspace(-reach, reach, steps, device=model.device)[:, None] * axes[:directions, None]
    moved = (noise + moves).flatten(0, 1)
    images: Tensor = model(moved, None if labels is None else labels.to(model.device).expand(len(moved)))
    out = page_names(save_grid(to_uint8(images).cpu(), out, steps))
    shares = ", ".join(f"{float(share):.1%}" for share in (gains / gains.sum())[:directions])
    print(f"wrote {directions} directions, of {shares} of the first layer's gain, to {out}")


def semantic_directions(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the eigenvectors of AᵀA as rows, the strongest first, and their eigenvalues, for A = `weight` (F, D).

    Returns:
        (D, D) orthonormal rows, each with its largest entry positive, and (D,) eigenvalues.
    """
    values, vectors = torch.linalg.eigh(weight.T.double() @ weight.double())
    rows = vectors.T.flip(0)
    signs = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True)).sign()
    return (signs * rows).to(weight.dtype), values.flip(0).to(weight.dtype)
