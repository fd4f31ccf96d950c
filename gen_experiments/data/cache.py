"""Splits as memory-mapped uint8 arrays on disk, decoded once for all processes and runs, or as they are read."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.data.depth import in_eight_bits
from gen_experiments.data.footprint import image_bytes, say_size
from gen_experiments.data.framing import USUAL, Framing
from gen_experiments.data.pictures import Numbers, decode_one
from gen_experiments.data.reading import DecodedAsRead, usable_cores
from gen_experiments.data.refused import refusal
from gen_experiments.data.sources.base import PictureSource, Source, decode_framed
from gen_experiments.errors import UserError
from gen_experiments.progress import progress
from gen_experiments.sizes import Size, height_and_width
from gen_experiments.storage import CACHE_VARIABLE, atomic_write, cache_root
from gen_experiments.untrusted import map_array

# Raised whenever decoding would give other pixels.
DECODING = 2
DECODING_WITH_ALPHA = 4  # likewise, of pictures of two or four channels
CHUNK = 1 << 27  # bytes that are decoded between two writes


class Pixels(Protocol):
    """Decoded images by their numbers; an array is one."""

    def __len__(self) -> int:
        """Returns how many there are."""

    def __getitem__(self, indices: NDArray[np.int64], /) -> Numbers:
        """Returns those at `indices`: (len(indices), C, H, W)."""


@dataclass(frozen=True)
class ImageArray:
    """Some of the images of a split; an `images.ImageSet`.

    Attributes:
        pixels: (N, C, H, W) uint8 or uint16, perhaps memory-mapped, or decoded as they are read.
        all_labels: (N,) int64, or None without labels.
        members: which of the N are meant, int64.
        fingerprint: a hash of what the images are made from and which are meant.
    """

    pixels: Pixels
    all_labels: NDArray[np.int64] | None
    members: NDArray[np.int64]
    fingerprint: str

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.members)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns the images at `indices`: (len(indices), C, H, W) uint8, rounded where they are kept with 16 bits."""
        return torch.from_numpy(in_eight_bits(self.pixels[self.members[indices]]))

    def kept(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns the images at `indices` in the depth in which they are kept: uint8 or uint16."""
        return torch.from_numpy(self.pixels[self.members[indices]])

    def stream(
        self, batches: Iterable[NDArray[np.int64]], seeds: Iterable[NDArray[np.int64]] | None = None
    ) -> Iterator[Tensor]:
        """Yields what `kept` returns for each batch of indices; what is decoded as it is read is decoded ahead."""
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
        """Returns the images made of channels `first` ... `last` - 1 alone: one side of pairs."""
        fingerprint = hashlib.sha256(f"{self.fingerprint}|{first}:{last}".encode()).hexdigest()
        assert isinstance(self.pixels, np.ndarray)  # pairs are always in the cache
        return ImageArray(self.pixels[:, first:last], self.all_labels, self.members, fingerprint)


def decoded_as_read(
    source: PictureSource, split: str, size: Size, workers: int, framing: Framing = USUAL
) -> ImageArray:
    """Returns a split of a source that is nowhere decoded as a whole, with the fingerprint of the one that is.

    Args:
        source: where the pictures are.
        split: which of them are meant.
        size: of the images.
        workers: threads that decode.
        framing: how they are brought to the size.

    Raises:
        UserError: the source's labels are no labels. A picture that cannot be decoded is named when it is read.
    """
    source.fetch()
    pictures, labels = source.pictures(split), source.labels(split)
    _check_labels(labels, len(pictures), source, split, f"{type(source).__name__}.labels({split!r})")
    pixels = DecodedAsRead(pictures, size, source.channels, workers, framing)
    return ImageArray(pixels, labels, np.arange(len(pictures)), _fingerprint(source, split, size, framing))


def decoded(source: Source, split: str, size: Size, framing: Framing = USUAL) -> ImageArray:
    """Returns a split of a source, from the cache or, the first time, decoded into it.

    Several processes may ask at once: each writes a file of its own and renames it, so whoever reads finds a whole one.
    A file that is damaged or of another shape is made anew.

    Args:
        source: where the images are.
        split: which of them are meant.
        size: of the images.
        framing: how images are brought to the size.

    Raises:
        UserError: see `Source.decode`; or the cache cannot be written, or has no room.
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
    """Decodes a split into the cache, of which never more than a few hundred megabytes are in memory."""
    pictures, known = source.pictures(split), source.labels(split)
    _check_labels(known, len(pictures), source, split, f"{type(source).__name__}.labels({split!r})")
    shape = (len(pictures), source.channels, *height_and_width(size))
    each = image_bytes(source, size, framing.depth)
    say_size(pixels.parent, split, len(pictures), each)
    if known is not None:
        _save(labels, known)
    # Last, because it is what is looked for. It is written as it comes: a full disk is an error, and under a
    # memory-mapped file would end the process.
    parts = progress(len(pictures), f"images of {split} decoded", max(1, CHUNK // each))
    chunks = (np.arange(part.start, part.stop) for part in parts)
    with atomic_write(pixels) as temporary, temporary.open("wb") as file:
        header = {"descr": np.dtype(framing.dtype).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        done = 0
        try:
            for chunk in DecodedAsRead(pictures, size, source.channels, usable_cores(), framing).ahead(chunks):
                file.write(chunk.data)
                done += len(chunk)
        except UserError as error:

            def decode(number: int) -> object:
                return decode_one(pictures[number], size, source.channels, framing)

            raise refusal(error, pictures, decode, range(done, len(pictures))) from error


def _decode(pixels: Path, labels: Path, source: Source, split: str, size: Size, framing: Framing) -> None:
    """Takes a split of any other source into the cache, after refusing what one's own may return by mistake."""
    found = decode_framed(source, split, size, framing)
    images, name = found.images, f"{type(source).__name__}.decode({split!r}, {size})"
    channels = source.sides * source.channels
    shape = (len(images), channels, *height_and_width(size))
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape != shape or not len(images):
        got = f"{getattr(images, 'dtype', type(images).__name__)} of shape {tuple(np.shape(images))}"
        sides = ", ".join(map(str, shape[1:]))
        raise UserError(f"{name} must return images as a uint8 array (N, {sides}), not {got}")
    _check_labels(found.labels, len(images), source, split, name)
    if found.labels is not None:
        _save(labels, found.labels)
    _save(pixels, images)


def _check_labels(labels: NDArray[np.int64] | None, count: int, source: Source, split: str, name: str) -> None:
    """Refuses labels that are none."""
    if source.num_classes is None or not source.labelled(split):
        return
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.shape != (count,):
        found = "None" if labels is None else f"{getattr(labels, 'dtype', '')} of shape {tuple(np.shape(labels))}"
        raise UserError(f"{name} must return labels as an int64 array ({count},), one an image, not {found}")
    if not 0 <= labels.min() <= labels.max() < source.num_classes:
        found = f"from {labels.min()} to {labels.max()}"
        raise UserError(f"{name} returns labels {found}: they must be in 0 ... {source.num_classes - 1}")


def _read(
    pixels: Path, labels: Path, source: Source, split: str, size: Size, framing: Framing
) -> tuple[Numbers, NDArray[np.int64] | None] | None:
    """Returns the images and labels of a split, or None if they are not there or not what the source gives."""
    images = map_array(pixels, framing.dtype, (None, source.sides * source.channels, *height_and_width(size)))
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
