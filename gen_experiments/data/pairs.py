"""Pairs that are made of the pictures of another source."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.framing import USUAL, Framing
from gen_experiments.data.pair_source import PairSource, Shuffled
from gen_experiments.data.sources.base import Decoded, Source, decode_framed
from gen_experiments.data.sources.digits import Digits
from gen_experiments.sizes import Size


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

    def groups(self, split: str) -> NDArray[np.int64] | None:
        """Returns the number of each picture's group in the source."""
        return self.source.groups(split)

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
