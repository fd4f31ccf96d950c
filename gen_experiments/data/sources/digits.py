"""The digits that scikit-learn embeds."""

import numpy as np

from gen_experiments.data.framing import USUAL, Framing
from gen_experiments.data.picture_decoding import resize_all
from gen_experiments.data.sources.base import Decoded, Source
from gen_experiments.sizes import Size

DIGITS = tuple("0123456789")


class Digits(Source):
    """1,797 real handwritten digits of 8x8 pixels (UCI, Alpaydin & Kaynak 1998), embedded in scikit-learn.

    They are enlarged bicubically. There is only one split.
    """

    channels = 1
    num_classes = 10
    class_names = DIGITS
    content = "handwritten digits"

    def splits(self) -> set[str]:
        """Returns the only split, "train"."""
        return {"train"}

    def key(self, split: str) -> str:
        """Returns a constant."""
        return "sklearn-digits"

    def decode(self, split: str, size: Size, framing: Framing = USUAL) -> Decoded:
        """Decodes scikit-learn's arrays."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        pixels = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
        return Decoded(resize_all(pixels, size, framing), labels.astype(np.int64))
