"""Whether the training images of a checkpoint are those of the data that it is used with."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gen_experiments.images import evenly_spaced

if TYPE_CHECKING:
    from gen_experiments.data.datamodule import ImageDataModule

COMPARED = 64


def hash_of_images(data: "ImageDataModule", split: str = "train") -> str:
    """Returns a hash of the number of images of a split and of 64 of them, evenly spaced.

    It is the same on another machine and after a copy, unlike the fingerprint of a split, which contains the times of
    files. An image more or less, or another order, moves others to the 64 places.
    """
    images = data.split(split)
    pixels = images.read(evenly_spaced(len(images), COMPARED))
    return hashlib.sha256(f"{len(images)}|".encode() + pixels.numpy().tobytes()).hexdigest()


def changed_images(trained_on: Sequence[str], data: "ImageDataModule") -> str | None:
    """Returns a line if a checkpoint was trained on other images than the training images of `data`, else None.

    Held-out images are drawn by their place among all images, so that one picture more or less moves others between
    the splits: a score on images that were trained on looks better than it is.

    Args:
        trained_on: the `hash_of_images` of the training images at all starts; empty for checkpoints that
            do not say.
        data: the data as they are now.
    """
    if not trained_on or set(trained_on) == {hash_of_images(data)}:
        return None
    drawn = [name for name, facts in data.facts().items() if str(facts["origin"]).startswith("held out")]
    seen = (
        f"; {' and '.join(drawn)}, drawn anew, may hold images that it was trained on, so that scores flatter it: lay "
        "val and test in folders of their own, or train anew"
    )
    return (
        "the checkpoint was trained on other images than the training images as they are now (files or data options "
        f"changed){seen if drawn else ''}"
    )
