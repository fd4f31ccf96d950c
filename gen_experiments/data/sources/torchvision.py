"""Data sets of torchvision, in its own files."""

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from gen_experiments.data.framing import USUAL, Framing
from gen_experiments.data.picture_decoding import resize_all
from gen_experiments.data.sources.base import Decoded, Source, stamp
from gen_experiments.data.sources.digits import DIGITS
from gen_experiments.errors import UserError
from gen_experiments.sizes import Size


class _Torchvision(Source):
    """A data set of torchvision with images in `.data` and labels in `.targets`.

    Args:
        root: torchvision's folder of data sets.
        download: download the data set if it is missing.
    """

    dataset: ClassVar[str]
    folder: ClassVar[str]
    num_classes = 10

    def __init__(self, root: str = "data", download: bool = True) -> None:
        self.root, self.download = root, download

    def splits(self) -> set[str]:
        """Returns the two official splits."""
        return {"train", "test"}

    def fetch(self) -> None:
        """Downloads the files if their folder is missing and `download` allows it."""
        if not (Path(self.root) / self.folder).is_dir():
            self._load("train", self.download)

    def key(self, split: str) -> str:
        """Returns the data set's name, and the names, sizes and times of its files."""
        root = Path(self.root) / self.folder
        return f"{self.dataset}-{split}-{stamp(root, sorted(os.listdir(root)))}"

    def decode(self, split: str, size: Size, framing: Framing = USUAL) -> Decoded:
        """Reads a split; images of another size are resized with antialiasing."""
        loaded = self._load(split, download=False)
        images = np.asarray(loaded.data)
        pixels = images.reshape(*images.shape[:3], self.channels)
        return Decoded(resize_all(pixels, size, framing), np.asarray(loaded.targets, dtype=np.int64))

    def _load(self, split: str, download: bool) -> Any:
        import torchvision.datasets

        try:
            return getattr(torchvision.datasets, self.dataset)(self.root, train=split == "train", download=download)
        except (RuntimeError, OSError) as error:
            raise UserError(
                f"{self.dataset} is not in {self.root} and cannot be fetched: connect to the network, or bring "
                "torchvision's files and name their folder by --data.source.root"
            ) from error


class MNIST(_Torchvision):
    """60,000 + 10,000 handwritten digits of 28x28 pixels (LeCun et al. 1998).

    Args:
        root: the folder that holds `MNIST/raw`.
        download: download the data set if it is missing.
    """

    dataset = "MNIST"
    folder = "MNIST/raw"
    channels = 1
    class_names = DIGITS
    content = "handwritten digits"


class FashionMNIST(_Torchvision):
    """60,000 + 10,000 grey pictures of clothes of 28x28 pixels (https://arxiv.org/abs/1708.07747).

    Args:
        root: the folder that holds `FashionMNIST/raw`.
        download: download the data set if it is missing.
    """

    dataset = "FashionMNIST"
    folder = "FashionMNIST/raw"
    channels = 1
    # The description's T-shirt/top cannot be the name of a folder.
    class_names = (
        *("T-shirt or top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


class CIFAR10(_Torchvision):
    """50,000 + 10,000 colour photographs of 32x32 pixels in ten classes (Krizhevsky 2009).

    Args:
        root: the folder that holds `cifar-10-batches-py`.
        download: download the data set if it is missing.
    """

    dataset = "CIFAR10"
    folder = "cifar-10-batches-py"
    channels = 3
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
