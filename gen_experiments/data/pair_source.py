"""The bases of sources of pairs: sources and targets of a translation."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from gen_experiments.data.framing import Framing
from gen_experiments.data.picture_decoding import Numbers, Pictures, decode_all
from gen_experiments.data.sources.base import Source
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
