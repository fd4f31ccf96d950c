"""Sources: where images come from."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.framing import USUAL, Framing
from gen_experiments.data.picture_decoding import Numbers, Pictures, decode_all
from gen_experiments.errors import UserError
from gen_experiments.sizes import Size

STAMPED_BYTES = 1 << 16  # of each file whose beginning `stamp` reads


@dataclass(frozen=True)
class Decoded:
    """The images of a split.

    Attributes:
        images: (N, C, H, W) uint8.
        labels: (N,) int64, or None without labels.
    """

    images: Numbers
    labels: NDArray[np.int64] | None


class Source(ABC):
    """Images in splits: always "train", perhaps "val" and "test".

    Attributes:
        channels: 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha).
        num_classes: number of labels, or None without labels.
        class_names: the names of the classes in the order of their numbers, each usable as the name of a folder; None
            without names.
        sides: pictures per item: 2 for a source of pairs (`data.pair_source`), whose channels are concatenated.
        content: what the images show, in the words of feature extractors for such images only.
    """

    channels: int
    num_classes: int | None
    class_names: tuple[str, ...] | None = None
    content: str | None = None
    sides: ClassVar[int] = 1

    @abstractmethod
    def splits(self) -> set[str]:
        """Returns the names of the splits; nothing is fetched or decoded."""

    def fetch(self) -> None:  # noqa: B027 (most sources have their files here)
        """Fetches the files if they are elsewhere; called before the methods below.

        Raises:
            UserError: they cannot be fetched.
        """

    def origin(self, split: str) -> str:
        """Returns the origin of a split in a few words."""
        return "the source's own"

    def labelled(self, split: str) -> bool:
        """Returns whether a split has labels; with classes, the training split must have them."""
        return self.num_classes is not None

    def groups(self, split: str) -> NDArray[np.int64] | None:
        """Returns the number of each image's group, (N,), the same number in all splits; None without groups.

        A group, such as the images of a patient or a scene, is never divided between splits.
        """
        return None

    def passed_over(self) -> Mapping[str, Sequence[str]]:
        """Returns the names of unused files, by the reason."""
        return {}

    @abstractmethod
    def key(self, split: str) -> str:
        """Returns a string that changes whenever the pixels of a split change for another reason than their size."""

    @abstractmethod
    def decode(self, split: str, size: Size, framing: Framing = USUAL) -> Decoded:
        """Decodes a split.

        Args:
            split: the name of the split.
            size: pixels per side of squares, or height and width.
            framing: how images are brought to the size. A user's source may omit this argument, which mypy has to be
                told by `# type: ignore[override]`; it is then called only for the default framing.

        Raises:
            UserError: an image is missing or cannot be decoded.
        """


class PictureSource(Source):
    """A source of encoded pictures, each of which can be decoded alone."""

    @abstractmethod
    def pictures(self, split: str) -> Pictures:
        """Returns the pictures of a split in order; none is read yet."""

    @abstractmethod
    def labels(self, split: str) -> NDArray[np.int64] | None:
        """Returns the labels of a split, (N,), or None without labels."""

    @final
    def decode(self, split: str, size: Size, framing: Framing = USUAL) -> Decoded:
        """Decodes every picture into memory."""
        return Decoded(decode_all(self.pictures(split), size, self.channels, framing), self.labels(split))


def decode_framed(source: Source, split: str, size: Size, framing: Framing) -> Decoded:
    """Decodes a split of a source, which may support only the default framing; see `Source.decode`."""
    return source.decode(split, size) if framing.is_usual else source.decode(split, size, framing.exact)


def check_channels(channels: int) -> None:
    """Refuses other numbers of channels than 1 to 4.

    Raises:
        UserError: it is another number.
    """
    if not 1 <= channels <= 4:
        raise UserError(f"images have 1 channel (grey), 2 (with alpha), 3 (RGB) or 4 (with alpha), not {channels}")


def stamp(root: Path, names: Iterable[str]) -> str:
    """Returns a hash of files under `root` that changes when one of them does: of their names, sizes and times.

    Archives give all files one time, and uncompressed pictures have one size, so that two folders of the same names can
    agree in all three: the beginning of the files of numbers 0, 1, 2, 4, 8, ... is hashed too.

    Raises:
        UserError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for number, name in enumerate(names):
            path = f"{root}/{name}"  # faster than a `Path` for each of a million files
            stat = os.stat(path)
            described = f"{name}|{stat.st_size}|{stat.st_mtime_ns}\n"
            digest.update(described.encode(errors="surrogateescape"))  # the name of a file need not be text
            if number & (number - 1) == 0:
                with open(path, "rb") as file:
                    digest.update(file.read(STAMPED_BYTES))
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()
