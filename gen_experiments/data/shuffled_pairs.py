"""Pairs that are made of A and B of different pairs, for models that learn without pairs."""

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.data.cache import ImageArray
from gen_experiments.data.pair_source import Shuffled
from gen_experiments.errors import UserError
from gen_experiments.randomness import Stream


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
