"""Pairs of pictures: sources and targets of a translation."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.data.cache import ImageArray
from gen_experiments.data.framing import USUAL, Framing
from gen_experiments.data.pictures import Numbers, Pictures, decode_all
from gen_experiments.data.sources.base import Decoded, Source, decode_framed
from gen_experiments.data.sources.digits import Digits
from gen_experiments.errors import UserError
from gen_experiments.randomness import Stream
from gen_experiments.sizes import Size

Shuffled = bool | Literal["within_classes"]


class PairSource(Source, ABC):
    """Pairs of pictures A and B; a model learns to turn A into B.

    `decode` returns (N, 2C, H, W): the channels of A, then those of B. A pair is an item like any other: it has one
    label, is mirrored as a whole, belongs to one split, and is cached once.

    Attributes:
        paired: whether A and B of an item show the same, so that a translation can be compared with B.
        shuffled: whether training sees every A with the B of another pair; "within_classes", of one of the same class.
    """

    sides: ClassVar[int] = 2
    paired: bool = True
    shuffled: Shuffled = False


class PicturePairs(PairSource):
    """Pairs of encoded pictures, each of which can be decoded alone."""

    @abstractmethod
    def pictures(self, split: str) -> Pictures:
        """Returns the pictures of a split, A and B of each pair in turn; none is read yet."""

    def decode_pairs(self, split: str, size: Size, framing: Framing) -> Numbers:
        """Decodes every pair into memory: (N, 2C, H, W)."""
        images = decode_all(self.pictures(split), size, self.channels, framing)
        return images.reshape(-1, 2 * self.channels, *images.shape[2:])


class Edges(PairSource):
    """Pictures of another source as B, and their dark outlines on white as A: pix2pix's edges to photos.

    The outline is the norm of the central differences along both axes, over a quarter of the range of values, clamped
    to 1; the maximum over the channels is taken.

    Args:
        source: where the pictures come from; None for the embedded digits.
        shuffled: train on outlines with the pictures of others, for unpaired models; "within_classes" of others of the
            same class.
    """

    def __init__(self, source: Source | None = None, shuffled: Shuffled = False) -> None:
        self.source, self.shuffled = source or Digits(), shuffled
        self.channels, self.num_classes = self.source.channels, self.source.num_classes
        self.class_names, self.content = self.source.class_names, self.source.content

    def splits(self) -> set[str]:
        """Returns those of the source."""
        return self.source.splits()

    def fetch(self) -> None:
        """Fetches the source."""
        self.source.fetch()

    def origin(self, split: str) -> str:
        """Returns where the pictures of a split come from."""
        return f"outlines of {self.source.origin(split)}"

    def labelled(self, split: str) -> bool:
        """Returns whether a split of the source has labels."""
        return self.source.labelled(split)

    def passed_over(self) -> Mapping[str, Sequence[str]]:
        """Returns the files that the source passes over."""
        return self.source.passed_over()

    def key(self, split: str) -> str:
        """Returns the source's, with what is made of it."""
        return f"edges-{type(self.source).__qualname__}-{self.source.key(split)}"

    def decode(self, split: str, size: Size, framing: Framing = USUAL) -> Decoded:
        """Returns outlines and pictures."""
        decoded = decode_framed(self.source, split, size, framing)
        return Decoded(np.concatenate([outlines(decoded.images), decoded.images], axis=1), decoded.labels)


def outlines(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the outlines of (N, C, H, W) uint8 images, dark on white, in the same shape; see `Edges`."""
    result = np.empty_like(images)
    for number, image in enumerate(images):
        padded = np.pad(image.astype(np.float32), ((0, 0), (1, 1), (1, 1)), mode="edge")
        across = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
        down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
        strength = np.sqrt(across**2 + down**2).max(axis=0) / (255 / 4)
        result[number] = np.rint(255 * (1 - strength.clip(0, 1))).astype(np.uint8)
    return result


class ShuffledPairs:
    """Pairs with the B of other pairs, fixed throughout a run; an `images.ImageSet`.

    Args:
        items: (N, 2C, H, W) pairs.
        channels: C.
        seed: of the order of the B.
        how: "within_classes" takes the B of a pair with the same label, of another one where the class has several.

    Raises:
        UserError: within classes, and the pairs have no labels.
    """

    def __init__(self, items: ImageArray, channels: int, seed: int, how: Shuffled = True) -> None:
        self._items, self._channels = items, channels
        self._partners = order = np.random.default_rng([Stream.SHUFFLE, seed]).permutation(len(items))
        self._share_labels = how == "within_classes"
        if self._share_labels:
            labels = items.labels(order)
            if labels is None:
                raise UserError(
                    "pairs without labels have no classes to be shuffled within: set source.shuffled to true"
                )
            self._partners = np.empty_like(order)
            for label in labels.unique():
                of_class = order[(labels == label).numpy()]
                self._partners[of_class] = np.roll(of_class, 1)

    @property
    def members(self) -> NDArray[np.int64]:
        """(N, 2), the numbers of the pairs that A and B of each item come from, among all pairs of the source."""
        return np.stack([self._items.members, self._items.members[self._partners]], axis=1)

    @property
    def fingerprint(self) -> str:
        """A hash of the items and of their partners."""
        return hashlib.sha256(self._items.fingerprint.encode() + self._partners.tobytes()).hexdigest()

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self._items)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns the A at `indices` and their new partners: (len(indices), 2C, H, W) uint8."""
        first, second = self._items.read(indices), self._items.read(self._partners[indices])
        return torch.cat([first[:, : self._channels], second[:, self._channels :]], dim=1)

    def stream(
        self, batches: Iterable[NDArray[np.int64]], seeds: Iterable[NDArray[np.int64]] | None = None
    ) -> Iterator[Tensor]:
        """Yields what `read` returns for each batch of indices."""
        return map(self.read, batches)

    def labels(self, indices: NDArray[np.int64]) -> Tensor | None:
        """Returns the labels of the pairs, which they have only if A and B are of one class."""
        return self._items.labels(indices) if self._share_labels else None
