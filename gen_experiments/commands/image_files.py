"""Reads and writes folders of pictures, grids and noise for the commands."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gen_experiments.commands.reading import Reading
from gen_experiments.data.decoded_as_read import decode_in_order
from gen_experiments.data.folder import find_pictures
from gen_experiments.data.picture_decoding import check_headers, decode_all
from gen_experiments.errors import UserError
from gen_experiments.grids import save_grid
from gen_experiments.images import IMAGE_SUFFIXES, ImageSpec, save_image
from gen_experiments.progress import progress
from gen_experiments.storage import prepare_file, prepare_folder
from gen_experiments.untrusted.arrays import read_archive
from gen_experiments.untrusted.unreadable import Unreadable


def read_images(files: Sequence[Path], image: ImageSpec, reading: Reading) -> Tensor:
    """Returns pictures as the run trains on them: (N, C, H, W) uint8, or uint16 if the run's data keep 16 bits.

    Raises:
        UserError: a picture cannot be decoded.
    """
    return torch.from_numpy(decode_all(files, image.size, image.channels, reading.framing))


def found_pictures(folder: str, reading: Reading) -> tuple[list[Path], list[Path]]:
    """Returns the pictures below a folder, sorted, and their names: paths below the folder.

    Raises:
        UserError: the folder is missing or empty.
    """
    files, _ = find_pictures(Path(folder), reading.suffixes)
    return files, [file.relative_to(folder) for file in files]


def checked_pictures(folder: str, reading: Reading, first: int | None = None) -> tuple[list[Path], list[Path]]:
    """Returns the `first` of the pictures that `found_pictures` does, before a model is loaded to work on them.

    Raises:
        UserError: the folder is missing or empty, or files are no pictures as far as their headers tell.
    """
    files, names = (found[:first] for found in found_pictures(folder, reading))
    check_headers(files, reading.framing)
    return files, names


def decoded_batches(files: Sequence[Path], image: ImageSpec, reading: Reading, batch: int) -> Iterator[Tensor]:
    """Yields pictures, which may be more than fit into memory, as `read_images` returns them.

    Args:
        files: the pictures.
        image: their shape, to which they are cropped and resized.
        reading: how they are read.
        batch: pictures of a batch.

    Raises:
        UserError: a picture cannot be decoded.
    """
    parts = (range(first, min(first + batch, len(files))) for first in range(0, len(files), batch))
    yield from map(torch.from_numpy, decode_in_order(files, image.size, image.channels, reading.framing, parts))


def read_in_batches(files: Sequence[Path], image: ImageSpec, reading: Reading, batch: int) -> Iterator[Tensor]:
    """Yields what `decoded_batches` does, and shows the progress.

    The progress is that of what is done with each batch, as decoding is ahead of it.
    """
    decoded = decoded_batches(files, image, reading, batch)
    for _ in progress(len(files), "images", batch):
        yield next(decoded)


def read_latents(file: str, dim: int) -> Tensor:
    """Returns the noise that `project` wrote: (N, dim) float32.

    Raises:
        UserError: the file holds no noise of this length.
    """
    try:
        latents = torch.from_numpy(read_archive(file, "latents", "f", (dim,)).astype(np.float32))
    except Unreadable as error:
        raise UserError(f"{file} holds no noise of this model ({error}): name a file that `project` wrote") from error
    if not latents.isfinite().all():
        raise UserError(f"{file} holds noise that is not finite: name a file that `project` wrote")
    return latents


def write_images(images: Tensor, out: str, names: Sequence[str] | None = None) -> None:
    """Writes (N, C, H, W) uint8 images to `out`: one grid if that is an image file, else a PNG file each in a folder.

    The files in the folder have the `names`, or numbers.

    Raises:
        UserError: `out` cannot be written, or there are too many images for a grid.
    """
    if is_image_file(out):
        save_grid(images, out)
        return
    for number, image in enumerate(images):
        save_image(image, Path(out) / (f"{number:05d}.png" if names is None else names[number]))


def is_image_file(out: str) -> bool:
    """Returns whether an output path is an image file and not a folder."""
    return Path(out).suffix.lower() in IMAGE_SUFFIXES


def prepare_output(out: str) -> None:
    """Makes the folder of an image file, or the folder, that is to be written to, before a model computes.

    Raises:
        UserError: it cannot be written.
    """
    if is_image_file(out):
        prepare_file(Path(out))
    else:
        prepare_folder(Path(out))


def check_image_file(out: str) -> None:
    """Makes sure, before a model computes, that a grid can be written to `out`; a missing folder is made.

    Raises:
        UserError: `out` is no image file, or its folder cannot be written.
    """
    if not is_image_file(out):
        raise UserError(f"cannot write {out}: name a file that ends in one of {' '.join(IMAGE_SUFFIXES)}")
    prepare_file(Path(out))
