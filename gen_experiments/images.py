"""The image convention: models and losses see float32 NCHW in [-1, 1]; disks, caches and metrics see uint8 NCHW."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.channels import viewable
from gen_experiments.errors import UserError, quoted
from gen_experiments.sizes import Size, height_and_width, normalised
from gen_experiments.storage import atomic_write

MOST_IN_GRID = 2**14
LUMINANCE = (0.299, 0.587, 0.114)  # the shares of red, green and blue in it: ITU-R BT.601, as Pillow and JPEG
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    """Returns at most so many of the numbers 0 ... count - 1, the first and the last among them."""
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)


@dataclass(frozen=True)
class ImageSpec:
    """What a network must know of the images it reads or makes.

    Attributes:
        channels: 1 (grey), 2 (grey and alpha, or any two), 3 (RGB) or 4 (RGB and alpha).
        size: pixels a side of squares, or height and width; two equal sides become one number.
        num_classes: number of labels, or None for data without labels.
        class_names: their names in the order of their numbers, each of which can be that of a folder; None if they have
            none.

    Raises:
        UserError: the size is no size, there are more or fewer names than classes, two are equal, or one cannot be that
            of a folder.
    """

    channels: int = 3
    size: Size = 32
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", normalised(self.size))
        names = self.class_names
        if names is None:
            return
        if len(names) != self.num_classes or len(set(names)) != len(names):
            raise UserError(f"{len(set(names))} different names cannot be those of {self.num_classes} classes")
        for name in names:
            # What is sampled is written into folders of these names: none may lead out of the one that was asked for.
            if not name or name.startswith(".") or {"/", "\\", "\0"} & set(name):
                raise UserError(f"a class cannot be called {quoted(name)!r}: it must be a name for a folder")

    @property
    def class_labels(self) -> tuple[str, ...]:
        """The names of the classes, or where they have none their numbers, written so that they sort as numbers do."""
        digits = len(str((self.num_classes or 1) - 1))
        return self.class_names or tuple(f"{number:0{digits}d}" for number in range(self.num_classes or 0))

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return height_and_width(self.size)[0]

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return height_and_width(self.size)[1]

    @property
    def shorter(self) -> int:
        """Pixels of the shorter side."""
        return min(height_and_width(self.size))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.channels, self.height, self.width


class Batch(NamedTuple):
    """A batch of images.

    Attributes:
        images: (B, C, H, W), uint8 or uint16 on its way to the device and float32 in [-1, 1] on it.
        labels: (B,) int64 in [0, num_classes), or None for data without labels.
        mirrored: (B,) bool, which images are flipped left to right once they are on the device; None for none.
        indices: (B,) int64, which images of their split these are; None if they are of none.
        seeds: (B,) int64, of what is done to each image at random on the device; None if nothing can be.
        sources: (B, C, H, W) float32 in [-1, 1], the pictures that are to be turned into `images`, once on the device;
            None for data without such.
    """

    images: Tensor
    labels: Tensor | None
    mirrored: Tensor | None = None
    indices: Tensor | None = None
    seeds: Tensor | None = None
    sources: Tensor | None = None

    @property
    def inputs(self) -> Tensor:
        """What a model that remakes images is given: the sources or, where there are none, the images themselves."""
        return self.images if self.sources is None else self.sources

    @property
    def places(self) -> Tensor:
        """(B,) int64, the images' places in an order over all batches: their indices or, without such, 0 to B - 1."""
        return torch.arange(len(self.images)) if self.indices is None else self.indices


class ImageSet(Protocol):
    """A fixed sequence of decoded images."""

    @property
    def fingerprint(self) -> str:
        """A hash of what the images are made from: equal fingerprints mean equal pixels."""

    def __len__(self) -> int:
        """Returns the number of images."""

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns the images at `indices`: (len(indices), C, H, W) uint8."""

    def labels(self, indices: NDArray[np.int64]) -> Tensor | None:
        """Returns the labels at `indices`, int64, or None without labels."""


def to_float(images: Tensor) -> Tensor:
    """Maps uint8 [0, 255], or uint16 [0, 65535], onto float32 [-1, 1]; both ends fall exactly on the ends."""
    return images.to(torch.float32).div_(32767.5 if images.dtype == torch.uint16 else 127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Maps float [-1, 1] onto uint8 [0, 255] by rounding; what lies outside is clamped."""
    return images.detach().float().add(1.0).mul_(127.5).round_().clamp_(0, 255).to(torch.uint8)


def grid(images: Tensor, columns: int | None = None, padding: int = 2) -> Tensor:
    """Lays images out row by row on a mid-grey ground.

    Args:
        images: (N, C, H, W) uint8.
        columns: images in a row; by default the grid is as square as it can be.
        padding: grey pixels between and around the images.

    Returns:
        (C, rows * (H + padding) + padding, columns * (W + padding) + padding) uint8; of images of two channels one that
        shows both beside each other (`viewable`). Its ground is opaque.

    Raises:
        UserError: more than 2^14 images.
    """
    images = viewable(images)
    count, channels, height, width = images.shape
    if count > MOST_IN_GRID:
        raise UserError(f"a grid has room for {MOST_IN_GRID} images, not {count}")
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    sheet = images.new_full((channels, rows * (height + padding) + padding, columns * (width + padding) + padding), 128)
    sheet[3:] = 255
    for i, image in enumerate(images):
        top = padding + (i // columns) * (height + padding)
        left = padding + (i % columns) * (width + padding)
        sheet[:, top : top + height, left : left + width] = image
    return sheet


def in_rows(*parts: Tensor, columns: int) -> Tensor:
    """Orders images for a grid: `columns` of the first part, under them those of the second, and so on.

    Args:
        parts: (N, C, H, W) each.
        columns: images in a row of the grid.

    Returns:
        (parts · N, C, H, W), N rounded up to full rows by grey images.
    """
    missing = -parts[0].shape[0] % columns
    grey = parts[0].new_full((missing, *parts[0].shape[1:]), 128)
    grey[:, 3:] = 255
    rows = [torch.cat([part, grey]).split(columns) for part in parts]
    return torch.cat([row for together in zip(*rows, strict=True) for row in together])


def save_image(image: Tensor, path: str | Path) -> Path:
    """Writes one (C, H, W) uint8 image to `path` (its ending names the format), making the folder it needs.

    Raises:
        UserError: the ending names no image format, or the file cannot be written.
    """
    return _save([image], path)


def save_animation(frames: list[Tensor], path: str | Path, milliseconds: int = 80) -> Path:
    """Writes (C, H, W) uint8 frames to an endless .gif or .webp, each shown for so many milliseconds.

    Raises:
        UserError: as for `save_image`.
    """
    return _save(frames, path, save_all=True, duration=milliseconds, loop=0, lossless=True)


def _save(frames: list[Tensor], path: str | Path, **options: Any) -> Path:
    from PIL import Image

    path = Path(path)
    arrays = [frame.cpu().permute(1, 2, 0).numpy() for frame in frames]
    pictures = [Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array) for array in arrays]
    if len(pictures) > 1:
        options["append_images"] = pictures[1:]
    try:
        with atomic_write(path) as temporary:
            pictures[0].save(temporary, **options)
    except ValueError as error:
        raise UserError(f"cannot write {path}: name a file that ends in one of {' '.join(IMAGE_SUFFIXES)}") from error
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path
