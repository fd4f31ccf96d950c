"""Where commands write their images: one grid, or a folder of files."""

from pathlib import Path

from torch import Tensor

from gen_experiments.images import IMAGE_SUFFIXES, grid, save_image


def write_images(images: Tensor, out: str, columns: int | None = None) -> None:
    """Writes (N, C, H, W) uint8 images to `out`: one grid if that is an image file, else a PNG file each in a folder.

    Args:
        images: what to write.
        out: ends in the name of an image format for a grid.
        columns: images in a row of the grid; by default it is as square as it can be.

    Raises:
        UserError: `out` cannot be written.
    """
    if Path(out).suffix.lower() in IMAGE_SUFFIXES:
        save_image(grid(images, columns), out)
        return
    for number, image in enumerate(images):
        save_image(image, Path(out) / f"{number:05d}.png")
