"""Whether the training images of a checkpoint are those of the data that it is used with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gen_experiments.data.datamodule import ImageDataModule


def changed_images(trained_on: Sequence[str], data: "ImageDataModule") -> str | None:
    """Returns a line if a checkpoint was trained on other images than the training images of `data`, else None.

    Held-out images are drawn by their place among all images, so that one picture more or less moves others between
    the splits: a score on images that were trained on looks better than it is.

    Args:
        trained_on: the fingerprints of all training images so far; empty for checkpoints that do not say.
        data: the data as they are now.
    """
    facts = data.facts()
    if set(trained_on) <= {facts["train"]["fingerprint"]}:
        return None
    drawn = [name for name in ("val", "test") if str(facts[name]["origin"]).startswith("held out")]
    seen = (
        f"; {' and '.join(drawn)}, drawn anew, may hold images that it was trained on, so that scores flatter it: lay "
        "val and test in folders of their own, or train anew"
    )
    return (
        "the checkpoint was trained on other images than the training images as they are now (their files, dates, "
        f"classes or data options changed){seen if drawn else ''}"
    )
