"""Training pictures that are cropped anew in each epoch."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gen_experiments.data.decoded_as_read import DecodedAsRead
from gen_experiments.data.sampling import StreamedSet
from gen_experiments.randomness import Stream, seeds_of, uniform_of


class RandomCrops:
    """Images of a split that are decoded in every epoch, each at the place of its seed; an `images.ImageSet`.

    Both pictures of a pair are decoded at the same place: a `Place` is relative, so they may differ in size.

    Args:
        images: the images without random crops, which `read` returns.
        pixels: all pictures of the split.
        numbers: the numbers of each image's pictures, (N, pictures per image).
    """

    def __init__(self, images: StreamedSet, pixels: DecodedAsRead, numbers: NDArray[np.int64]) -> None:
        self._images, self._pixels, self._numbers = images, pixels, numbers

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the images without random crops."""
        return self._images.fingerprint

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self._images)

    def read(self, indices: NDArray[np.int64]) -> Tensor:
        """Returns the central parts of the images at `indices`: (len(indices), C, H, W) uint8; 2C of pairs."""
        return self._images.read(indices)

    def stream(
        self, batches: Iterable[NDArray[np.int64]], seeds: Iterable[NDArray[np.int64]] | None = None
    ) -> Iterator[Tensor]:
        """Yields the images of each batch at the places of their seeds."""
        of_each = self._numbers.shape[1]
        numbers = (self._numbers[indices].ravel() for indices in batches)
        places = None if seeds is None else (self._places(batch_seeds).repeat(of_each, axis=0) for batch_seeds in seeds)
        for pixels in self._pixels.ahead(numbers, places):
            yield torch.from_numpy(pixels).unflatten(0, (-1, of_each)).flatten(1, 2)

    def labels(self, indices: NDArray[np.int64]) -> Tensor | None:
        """Returns the labels at `indices`, int64, or None without labels."""
        return self._images.labels(indices)

    def _places(self, seeds: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the kept parts of N images, (N, 3), with the fields of `Place`."""
        drawn = uniform_of(seeds_of(torch.from_numpy(seeds), Stream.CROP), 3)
        least, most = self._pixels.framing.crop_scale
        drawn[:, 2] = (least + (most - least) * drawn[:, 2]).sqrt()  # of the sides; areas are uniform
        places: NDArray[np.float32] = drawn.numpy()
        return places
