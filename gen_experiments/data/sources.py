"""Sources: where images come from."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.pictures import resize_all
from gen_experiments.errors import UserError


@dataclass(frozen=True)
class Decoded:
    """The images of a split.

    Attributes:
        images: (N, C, S, S) uint8.
        labels: (N,) int64, or None without labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None


class Source(ABC):
    """Images in splits: always "train", perhaps "val" and "test".

    Attributes:
        channels: 1 (grey) or 3 (RGB).
        num_classes: number of labels, or None without labels.
        class_names: the names of the classes in the order of their numbers, or None without names. Each may be the name
            of a folder.
        content: what the images show, in the words of the feature extractors that are for such images alone.
        sides: pictures of an item: 2 of a source of pairs (`data.pairs`), whose channels lie one behind the other.
    """

    channels: int
    num_classes: int | None
    class_names: tuple[str, ...] | None = None
    content: str | None = None
    sides: ClassVar[int] = 1

    @abstractmethod
    def splits(self) -> set[str]:
        """Returns the splits there are; nothing is fetched or decoded."""

    def fetch(self) -> None:  # noqa: B027 (most sources have their files here)
        """Brings the files here where they are elsewhere; called before all that follows.

        Raises:
            UserError: they cannot be had.
        """

    def origin(self, split: str) -> str:
        """Returns in a few words where a split comes from."""
        return "the source's own"

    def labelled(self, split: str) -> bool:
        """Returns whether a split has labels; training images have, where there are classes."""
        return self.num_classes is not None

    def passed_over(self) -> Mapping[str, Sequence[str]]:
        """Returns the names of files that are there and not used, by the reason why."""
        return {}

    @abstractmethod
    def key(self, split: str) -> str:
        """Returns what the pixels of a split are made from, apart from their size, as a string."""

    @abstractmethod
    def decode(self, split: str, size: int) -> Decoded:
        """Decodes a split at size x size pixels.

        Raises:
            UserError: an image is missing or cannot be decoded.
        """


DIGITS = tuple("0123456789")


class Digits(Source):
    """1,797 real handwritten digits of 8x8 pixels (UCI, Alpaydin & Kaynak 1998), embedded in scikit-learn.

    They are blown up bicubically. There is only one split.
    """

    channels = 1
    num_classes = 10
    class_names = DIGITS
    content = "handwritten digits"

    def splits(self) -> set[str]:
        """Returns the only one, "train"."""
        return {"train"}

    def key(self, split: str) -> str:
        """Returns a constant."""
        return "sklearn-digits"

    def decode(self, split: str, size: int) -> Decoded:
        """Takes them out of scikit-learn."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        pixels = np.rint(images.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
        return Decoded(resize_all(pixels, size), labels.astype(np.int64))


class _Torchvision(Source):
    """A data set of torchvision with images in `.data` and labels in `.targets`.

    Args:
        root: the folder that torchvision keeps it in.
        download: fetch it if it is not there.
    """

    dataset: ClassVar[str]
    folder: ClassVar[str]
    num_classes = 10

    def __init__(self, root: str = "data", download: bool = True) -> None:
        self.root, self.download = root, download

    def splits(self) -> set[str]:
        """Returns both official ones."""
        return {"train", "test"}

    def fetch(self) -> None:
        """Downloads the files if their folder is not there and that is allowed."""
        if not (Path(self.root) / self.folder).is_dir():
            self._load("train", self.download)

    def key(self, split: str) -> str:
        """Returns the data set's name, and the names, sizes and times of its files."""
        root = Path(self.root) / self.folder
        return f"{self.dataset}-{split}-{stamp(root, sorted(root.iterdir()))}"

    def decode(self, split: str, size: int) -> Decoded:
        """Reads a split; images of another size are resized with antialiasing."""
        loaded = self._load(split, download=False)
        images = np.asarray(loaded.data)
        pixels = images.reshape(*images.shape[:3], self.channels)
        return Decoded(resize_all(pixels, size), np.asarray(loaded.targets, dtype=np.int64))

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
        download: fetch it if it is not there.
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
        download: fetch it if it is not there.
    """

    dataset = "FashionMNIST"
    folder = "FashionMNIST/raw"
    channels = 1
    # The first is T-shirt/top in the data set's description, which no folder can be called.
    class_names = (
        *("T-shirt or top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


class CIFAR10(_Torchvision):
    """50,000 + 10,000 colour photographs of 32x32 pixels in ten classes (Krizhevsky 2009).

    Args:
        root: the folder that holds `cifar-10-batches-py`.
        download: fetch it if it is not there.
    """

    dataset = "CIFAR10"
    folder = "cifar-10-batches-py"
    channels = 3
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def stamp(root: Path, files: Sequence[Path]) -> str:
    """Returns a hash of the names under `root`, sizes and times of files, which changes when one of them does."""
    digest = hashlib.sha256()
    for file in files:
        stat = file.stat()
        described = f"{file.relative_to(root)}|{stat.st_size}|{stat.st_mtime_ns}\n"
        digest.update(described.encode(errors="surrogateescape"))  # the name of a file need not be text
    return digest.hexdigest()


def __getattr__(name: str) -> object:
    """Returns `ImageFolder` from the module that it is in now: the configurations of earlier runs name this one."""
    if name == "ImageFolder":
        from gen_experiments.data.folder import ImageFolder

        return ImageFolder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
