"""The image convention: models and losses see float32 NCHW in [-1, 1]; disks, caches and metrics see uint8 NCHW."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.errors import UserError, quoted
from gen_experiments.sizes import Size, canonical_size, height_and_width
from gen_experiments.storage import atomic_write

LUMINANCE = (0.299, 0.587, 0.114)  # weights of red, green and blue: ITU-R BT.601, as in Pillow and JPEG
# Pillow's names of the formats of pictures; it passes others, such as PostScript, to programs.
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


def evenly_spaced(count: int, most: int) -> NDArray[np.int64]:
    """Returns at most `most` of the numbers 0 ... count - 1, evenly spaced, the first and the last included."""
    return np.linspace(0, count - 1, min(most, count)).astype(np.int64)


@dataclass(frozen=True)
class ImageSpec:
    """What a network must know about the images that it reads or makes.

    Attributes:
        channels: 1 (grey), 2 (grey and alpha, or any two), 3 (RGB) or 4 (RGB and alpha).
        size: pixels per side of squares, or height and width; two equal sides become one number.
        num_classes: number of labels, or None for data without labels.
        class_names: the names of the classes in the order of their numbers, each usable as the name of a folder; None
            if they have no names.

    Raises:
        UserError: the size is no size, there are more or fewer names than classes, two names are equal, or a folder
            cannot have one of them.
    """

    channels: int = 3
    size: Size = 32
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", canonical_size(self.size))
        names = self.class_names
        if names is None:
            return
        if len(names) != self.num_classes or len(set(names)) != len(names):
            raise UserError(f"{len(set(names))} different names cannot be those of {self.num_classes} classes")
        for name in names:
            # Samples are written into folders of these names: none may lead out of the chosen folder.
            if not name or name.startswith(".") or {"/", "\\", "\0"} & set(name):
                raise UserError(f"a class cannot be called {quoted(name)!r}: it must be a name for a folder")

    @property
    def class_labels(self) -> tuple[str, ...]:
        """The names of the classes; without names their numbers, padded with zeros so that they sort as numbers."""
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
        mirrored: (B,) bool, which images are flipped left to right on the device; None for none.
        indices: (B,) int64, the numbers of the images in their split; None for images of no split.
        seeds: (B,) int64, the seeds of random changes to each image on the device; None if there are none.
        source_images: (B, C, H, W) float32 in [-1, 1] on the device, the pictures that a model is to turn into
            `images`; None for data without any.
    """

    images: Tensor
    labels: Tensor | None
    mirrored: Tensor | None = None
    indices: Tensor | None = None
    seeds: Tensor | None = None
    source_images: Tensor | None = None

    @property
    def inputs(self) -> Tensor:
        """The input of a model that maps images to images: the sources or, without sources, the images themselves."""
        return self.images if self.source_images is None else self.source_images

    @property
    def places(self) -> Tensor:
        """(B,) int64, the images' places in an order over all batches: their indices or, without such, 0 to B - 1."""
        return torch.arange(len(self.images)) if self.indices is None else self.indices


class ImageSet(Protocol):
    """A fixed sequence of decoded images."""

    @property
    def fingerprint(self) -> str:
        """A hash of everything that the pixels depend on: equal fingerprints mean equal pixels."""

    def __len__(self) -> int:
        """Returns the number of images."""

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns the images at `indices`: (len(indices), C, H, W) uint8."""

    def labels(self, indices: NDArray[np.int64]) -> Tensor | None:
        """Returns the labels at `indices`, int64, or None without labels."""


def to_float(images: Tensor) -> Tensor:
    """Maps uint8 [0, 255], or uint16 [0, 65535], onto float32 [-1, 1], with both ends exact."""
    return images.to(torch.float32).div_(32767.5 if images.dtype == torch.uint16 else 127.5).sub_(1.0)


def to_uint8(images: Tensor) -> Tensor:
    """Maps float [-1, 1] onto uint8 [0, 255] by rounding; values outside are clamped."""
    return to_integers(images, torch.uint8)


def to_integers(images: Tensor, dtype: torch.dtype) -> Tensor:
    """Maps float [-1, 1] onto all of uint8 or uint16 by rounding; values outside are clamped."""
    largest = torch.iinfo(dtype).max
    return images.detach().float().add(1.0).mul_(largest / 2).round_().clamp_(0, largest).to(dtype)


def save_image(image: Tensor, path: str | Path) -> Path:
    """Writes one (C, H, W) uint8 image to `path`, whose suffix names the format; a missing folder is made.

    Raises:
        UserError: the suffix names no image format, or the file cannot be written.
    """
    return _save([image], path)


def save_animation(frames: list[Tensor], path: str | Path) -> Path:
    """Writes (C, H, W) uint8 frames to an endless .gif or .webp, each shown for 80 milliseconds.

    Raises:
        UserError: as for `save_image`.
    """
    return _save(frames, path, save_all=True, duration=80, loop=0, lossless=True)


def _save(frames: list[Tensor], path: str | Path, **options: Any) -> Path:
    from PIL import Image

    path = Path(path)
    arrays = [frame.cpu().permute(1, 2, 0).numpy() for frame in frames]
    pictures = [Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array) for array in arrays]
    if len(pictures) > 1:
        options["append_images"] = pictures[1:]
    # In memory first: on a full disk Pillow does not notice that only a part was written.
    encoded = io.BytesIO()
    try:
        pictures[0].save(encoded, Image.registered_extensions().get(path.suffix.lower(), path.suffix), **options)
        with atomic_write(path, durable=False) as temporary:
            temporary.write_bytes(encoded.getbuffer())
    except (ValueError, KeyError) as error:
        raise UserError(f"cannot write {path}: name a file that ends in one of {' '.join(IMAGE_SUFFIXES)}") from error
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path
