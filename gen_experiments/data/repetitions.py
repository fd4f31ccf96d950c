"""Held-out images that are also among the training images."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.cache import ImageArray
from gen_experiments.storage import GIB

MOST_BYTES = GIB  # of decoded images that are compared: half a second, if they are in memory


def repetitions(splits: Mapping[str, ImageArray]) -> dict[str, NDArray[np.int64]]:
    """Finds the images of each held-out split whose pixels all equal those of a training image.

    A score of such images says what a model has memorised. Compared are 64-bit hashes of the pixels.

    Args:
        splits: the images of each split, "train" among them.

    Returns:
        The numbers of these images in `ImageArray.pixels`, for each split that has any; nothing if images are decoded
        when they are read, or if all images take more than `MOST_BYTES`.
    """
    train = splits["train"]
    others = {name: splits[name] for name in ("val", "test") if splits.get(name, train) is not train}
    if not _are_few([train, *others.values()]):
        return {}
    known = _hashes(train)
    found = {name: images.members[np.isin(_hashes(images), known)] for name, images in others.items()}
    return {name: numbers for name, numbers in found.items() if len(numbers)}


def _are_few(splits: list[ImageArray]) -> bool:
    each = [images.pixels for images in splits]
    arrays = {id(pixels): pixels.nbytes for pixels in each if isinstance(pixels, np.ndarray)}
    return all(isinstance(pixels, np.ndarray) for pixels in each) and sum(arrays.values()) <= MOST_BYTES


def _hashes(images: ImageArray) -> NDArray[np.int64]:
    pixels = (images.pixels[images.members[i : i + 1]].tobytes() for i in range(len(images)))
    return np.fromiter(map(hash, pixels), np.int64, len(images))
