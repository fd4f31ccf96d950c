"""Decoded once: splits as memory-mapped uint8 arrays on disk, shared by all processes and runs."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.data.sources import Decoded, Source
from gen_experiments.errors import UserError
from gen_experiments.storage import CACHE_VARIABLE, atomic_write, cache_root
from gen_experiments.untrusted import map_array

# Raised whenever decoding would give other pixels.
DECODING = 2


@dataclass(frozen=True)
class ImageArray:
    """Some of the images of a decoded array; an `images.ImageSet`.

    Attributes:
        pixels: (N, C, S, S) uint8, perhaps memory-mapped.
        all_labels: (N,) int64, or None without labels.
        members: which of the N are meant, int64.
        fingerprint: a hash of what the images are made from and which are meant.
    """

    pixels: NDArray[np.uint8]
    all_labels: NDArray[np.int64] | None
    members: NDArray[np.int64]
    fingerprint: str

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.members)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns the images at `indices`: (len(indices), C, S, S) uint8."""
        return torch.from_numpy(self.pixels[self.members[indices]])

    def labels(self, indices: NDArray[np.int64]) -> Tensor | None:
        """Returns the labels at `indices`, int64, or None without labels."""
        return None if self.all_labels is None else torch.from_numpy(self.all_labels[self.members[indices]])

    def part(self, members: NDArray[np.int64]) -> "ImageArray":
        """Returns only the images at `members`."""
        fingerprint = hashlib.sha256(self.fingerprint.encode() + np.ascontiguousarray(members).tobytes()).hexdigest()
        return ImageArray(self.pixels, self.all_labels, self.members[members], fingerprint)

    def planes(self, first: int, last: int) -> "ImageArray":
        """Returns the images made of channels `first` ... `last` - 1 alone: one side of pairs."""
        fingerprint = hashlib.sha256(f"{self.fingerprint}|{first}:{last}".encode()).hexdigest()
        return ImageArray(self.pixels[:, first:last], self.all_labels, self.members, fingerprint)


def decoded(source: Source, split: str, size: int) -> ImageArray:
    """Returns a split of a source, from the cache or, the first time, decoded into it.

    Several processes may ask at once: each writes a file of its own and renames it, so whoever reads finds a whole one.
    A file that is damaged or of another shape is made anew.

    Raises:
        UserError: see `Source.decode`; or the cache cannot be written.
    """
    source.fetch()
    description = f"{DECODING}|{type(source).__qualname__}|{source.key(split)}|{split}|{size}"
    key = hashlib.sha256(description.encode()).hexdigest()
    folder = cache_root() / "images"
    pixels, labels = folder / f"{key[:32]}.npy", folder / f"{key[:32]}-labels.npy"
    stored = _read(pixels, labels, source, split, size)
    if stored is None:
        split_decoded = source.decode(split, size)
        _check(split_decoded, source, split, size)
        if split_decoded.labels is not None:
            _save(labels, split_decoded.labels)
        # Last, because it is what is looked for.
        _save(pixels, split_decoded.images)
        stored = _read(pixels, labels, source, split, size)
    if stored is None:
        raise UserError(f"{pixels} cannot be read after it was written: choose another cache by {CACHE_VARIABLE}")
    images, known = stored
    return ImageArray(images, known, np.arange(len(images)), key)


def _check(images: Decoded, source: Source, split: str, size: int) -> None:
    """Refuses what a source of the user's own may return by mistake, before it is cached."""
    pixels, labels = images.images, images.labels
    name = f"{type(source).__name__}.decode({split!r}, {size})"
    channels = source.sides * source.channels
    shape = (len(pixels), channels, size, size)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != shape or not len(pixels):
        found = f"{getattr(pixels, 'dtype', type(pixels).__name__)} of shape {tuple(np.shape(pixels))}"
        raise UserError(f"{name} must return images as a uint8 array (N, {channels}, {size}, {size}), not {found}")
    if source.num_classes is None or not source.labelled(split):
        return
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.shape != (len(pixels),):
        found = "None" if labels is None else f"{getattr(labels, 'dtype', '')} of shape {tuple(np.shape(labels))}"
        raise UserError(f"{name} must return labels as an int64 array ({len(pixels)},), one an image, not {found}")
    if not 0 <= labels.min() <= labels.max() < source.num_classes:
        found = f"from {labels.min()} to {labels.max()}"
        raise UserError(f"{name} returns labels {found}: they must be in 0 ... {source.num_classes - 1}")


def _read(
    pixels: Path, labels: Path, source: Source, split: str, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None] | None:
    """Returns the images and labels of a split, or None if they are not there or not what the source gives."""
    images = map_array(pixels, np.uint8, (None, source.sides * source.channels, size, size))
    if images is None or not len(images):
        return None
    if source.num_classes is None or not source.labelled(split):
        return images, None
    known = map_array(labels, np.int64, (len(images),))
    if known is None or not 0 <= known.min() <= known.max() < source.num_classes:
        return None
    return images, np.array(known)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with atomic_write(path) as temporary:
        np.save(temporary, array)
