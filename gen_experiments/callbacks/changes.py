"""Whether the training images and classes of a checkpoint are those of the data that it is used with."""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gen_experiments.errors import quoted, shortened
from gen_experiments.images import evenly_spaced

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

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


def say_what_changed(trainer: "Trainer", checkpoint: dict[str, Any]) -> None:
    """Prints if the training images are not those of the checkpoint, or if its classes have other names."""
    data: ImageDataModule | None = trainer.datamodule  # type: ignore[attr-defined]
    if data is None or not trainer.is_global_zero:
        return
    changed = changed_images(checkpoint.get("training", {}).get("images", ()), data)
    if changed is not None:
        print(changed, flush=True)
    image = checkpoint.get("hyper_parameters", {}).get("image") or {}
    before, now = image.get("class_names"), data.image.class_names
    if before and now and tuple(before) != now:
        print(f"classes were {_listed(before)} and are {_listed(now)}", flush=True)


def _listed(names: Sequence[str]) -> str:
    return shortened(", ".join(map(quoted, names)), 300)
