"""Splits as memory-mapped arrays on disk, decoded once for all processes and runs, or decoded when they are read."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.data.decoded_as_read import DecodedAsRead, decode_in_order
from gen_experiments.data.depth import in_eight_bits
from gen_experiments.data.footprint import image_bytes, say_size
from gen_experiments.data.framing import USUAL, Framing
from gen_experiments.data.picture_decoding import Numbers
from gen_experiments.data.sources.base import Decoded, PictureSource, Source, decode_framed
from gen_experiments.errors import UserError
from gen_experiments.progress import progress
from gen_experiments.sizes import Size, height_and_width
from gen_experiments.storage import CACHE_VARIABLE, atomic_write, cache_root, write_array
from gen_experiments.untrusted.arrays import map_array

# Increased whenever decoding changes pixels.
DECODING = 2
DECODING_WITH_ALPHA = 4  # the same for pictures of two or four channels
CHUNK = 1 << 27  # bytes that are decoded between two writes


class Pixels(Protocol):
    """Decoded images by their numbers, such as an array."""

    def __len__(self) -> int:
        """Returns how many there are."""

    def __getitem__(self, indices: NDArray[np.int64], /) -> Numbers:
        """Returns those at `indices`: (len(indices), C, H, W)."""


@dataclass(frozen=True)
class ImageArray:
    """Some of the images of a split; an `images.ImageSet`.

    Attributes:
        pixels: (N, C, H, W) uint8 or uint16: memory-mapped, in memory, or decoded when they are read.
        all_labels: (N,) int64, or None without labels.
        members: the numbers of these images among the N, int64.
        fingerprint: a hash of everything that the pixels and the members depend on.
    """

    pixels: Pixels
    all_labels: NDArray[np.int64] | None
    members: NDArray[np.int64]
    fingerprint: str

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.members)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns the images at `indices`: (len(indices), C, H, W) uint8, rounded from 16 bits if necessary."""
        return torch.from_numpy(in_eight_bits(self.pixels[self.members[indices]]))

    def kept(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns the images at `indices` in their stored depth: uint8 or uint16."""
        return torch.from_numpy(self.pixels[self.members[indices]])

    def stream(
        self, batches: Iterable[NDArray[np.int64]], seeds: Iterable[NDArray[np.int64]] | None = None
    ) -> Iterator[Tensor]:
        """Yields the result of `kept` for each batch of indices; pictures are decoded ahead."""
        members = (self.members[indices] for indices in batches)
        ahead = (
            self.pixels.ahead(members)
            if isinstance(self.pixels, DecodedAsRead)
            else map(self.pixels.__getitem__, members)
        )
        return map(torch.from_numpy, ahead)

    def labels(self, indices: NDArray[np.int64]) -> Tensor | None:
        """Returns the labels at `indices`, int64, or None without labels."""
        return None if self.all_labels is None else torch.from_numpy(self.all_labels[self.members[indices]])

    def part(self, members: NDArray[np.int64]) -> "ImageArray":
        """Returns only the images at `members`."""
        fingerprint = hashlib.sha256(self.fingerprint.encode() + np.ascontiguousarray(members).tobytes()).hexdigest()
        return ImageArray(self.pixels, self.all_labels, self.members[members], fingerprint)

    def planes(self, first: int, last: int) -> "ImageArray":
        """Returns the images of channels `first` ... `last` - 1: one side of pairs."""
        fingerprint = hashlib.sha256(f"{self.fingerprint}|{first}:{last}".encode()).hexdigest()
        assert isinstance(self.pixels, np.ndarray)  # pairs are always in the cache
        return ImageArray(self.pixels[:, first:last], self.all_labels, self.members, fingerprint)


def decoded_as_read(
    source: PictureSource, split: str, size: Size, workers: int, framing: Framing = USUAL
) -> ImageArray:
    """Returns a split whose pictures are decoded when they are read, with the fingerprint of the cached split.

    Args:
        source: where the pictures are.
        split: the name of the split.
        size: of the images.
        workers: threads that decode.
        framing: how pictures are brought to the size.

    Raises:
        UserError: the source's labels are invalid. A picture that cannot be decoded is refused when it is read.
    """
    source.fetch()
    pictures, labels = source.pictures(split), source.labels(split)
    _check_labels(labels, len(pictures), source, split, f"{type(source).__name__}.labels({split!r})")
    pixels = DecodedAsRead(pictures, size, source.channels, workers, framing)
    return ImageArray(pixels, labels, np.arange(len(pictures)), _fingerprint(source, split, size, framing))


def cached_split(source: Source, split: str, size: Size, framing: Framing = USUAL) -> ImageArray:
    """Returns a split of a source from the cache, into which it is decoded the first time.

    Several processes may do so at once: each writes its own file and renames it, so that every reader finds a whole
    file. A file that is damaged or of another shape is made anew.

    Args:
        source: where the images are.
        split: the name of the split.
        size: of the images.
        framing: how images are brought to the size.

    Raises:
        UserError: see `Source.decode`; or the cache cannot be written, or the disk is full.
    """
    source.fetch()
    key = _fingerprint(source, split, size, framing)
    folder = cache_root() / "images"
    pixels, labels = folder / f"{key[:32]}.npy", folder / f"{key[:32]}-labels.npy"
    stored = _read(pixels, labels, source, split, size, framing)
    if stored is None:
        if isinstance(source, PictureSource):
            _decode_pictures(pixels, labels, source, split, size, framing)
        else:
            _decode(pixels, labels, source, split, size, framing)
        stored = _read(pixels, labels, source, split, size, framing)
    if stored is None:
        raise UserError(f"{pixels} cannot be read after it was written: choose another cache by {CACHE_VARIABLE}")
    images, known = stored
    return ImageArray(images, known, np.arange(len(images)), key)


def _fingerprint(source: Source, split: str, size: Size, framing: Framing) -> str:
    key = framing.key if isinstance(source, PictureSource) else framing.exact.key
    decoding = DECODING_WITH_ALPHA if source.channels in (2, 4) else DECODING
    description = f"{key}{decoding}|{type(source).__qualname__}|{source.key(split)}|{split}|{size}"
    return hashlib.sha256(description.encode()).hexdigest()


def _decode_pictures(
    pixels: Path, labels: Path, source: PictureSource, split: str, size: Size, framing: Framing
) -> None:
    """Decodes a split into the cache, with at most a few hundred megabytes in memory."""
    pictures, known = source.pictures(split), source.labels(split)
    _check_labels(known, len(pictures), source, split, f"{type(source).__name__}.labels({split!r})")
    shape = (len(pictures), source.channels, *height_and_width(size))
    size_of_one = image_bytes(source, size, framing.depth)
    say_size(
        pixels.parent, split, len(pictures), size_of_one, ", or set data.cache_limit=0 to decode them as they are read"
    )
    if known is not None:
        write_array(labels, known)
    # The pixels are written last, because readers look for them. They are written part by part: on a full disk that is
    # an error, while writing to a memory-mapped file would end the process.
    parts = progress(len(pictures), f"images of {split} decoded", max(1, CHUNK // size_of_one))
    with atomic_write(pixels) as temporary, temporary.open("wb") as file:
        header = {"descr": np.dtype(framing.dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in decode_in_order(pictures, size, source.channels, framing, parts):
            file.write(chunk.data)


def _decode(pixels: Path, labels: Path, source: Source, split: str, size: Size, framing: Framing) -> None:
    """Decodes a split of any other source into the cache, and refuses wrong results of a user's source."""
    contents = decode_framed(source, split, size, framing)
    name = f"{type(source).__name__}.decode({split!r}, {size})"
    if not isinstance(contents, Decoded):
        raise UserError(f"{name} must return a gen_experiments.data.sources.Decoded, not a {type(contents).__name__}")
    images = contents.images
    channels = source.sides * source.channels
    shape = (len(images), channels, *height_and_width(size))
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != shape or not len(images):
        got = f"{getattr(images, 'dtype', type(images).__name__)} of shape {tuple(np.shape(images))}"
        sides = ", ".join(map(str, shape[1:]))
        raise UserError(f"{name} must return images as a uint8 array (N, {sides}), not {got}")
    _check_labels(contents.labels, len(images), source, split, name)
    say_size(pixels.parent, split, len(images), math.prod(shape[1:]))
    if contents.labels is not None:
        write_array(labels, contents.labels)
    write_array(pixels, images)


def _check_labels(labels: NDArray[np.int64] | None, count: int, source: Source, split: str, name: str) -> None:
    """Refuses invalid labels."""
    if source.num_classes is None or not source.labelled(split):
        return
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.shape != (count,):
        kind = "None" if labels is None else f"{getattr(labels, 'dtype', '')} of shape {tuple(np.shape(labels))}"
        raise UserError(f"{name} must return labels as an int64 array ({count},), one an image, not {kind}")
    if not 0 <= labels.min() <= labels.max() < source.num_classes:
        kind = f"from {labels.min()} to {labels.max()}"
        raise UserError(f"{name} returns labels {kind}: they must be in 0 ... {source.num_classes - 1}")


def _read(
    pixels: Path, labels: Path, source: Source, split: str, size: Size, framing: Framing
) -> tuple[Numbers, NDArray[np.int64] | None] | None:
    """Returns the images and labels of a split, or None if they are missing or do not fit the source."""
    images = map_array(pixels, framing.dtype, (None, source.sides * source.channels, *height_and_width(size)))
    if images is None or not len(images):
        return None
    if source.num_classes is None or not source.labelled(split):
        return images, None
    known = map_array(labels, np.int64, (len(images),))
    if known is None or not 0 <= known.min() <= known.max() < source.num_classes:
        return None
    return images, np.array(known)
