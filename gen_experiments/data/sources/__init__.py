"""Sources of images; the command line knows all classes by their short names.

- `base`: what a source is;
- `digits`: the embedded digits; `torchvision`: MNIST, Fashion-MNIST and CIFAR-10;
- `folder`: pictures in folders; `shards`: tar files for clusters; `huggingface`: data sets of Hugging Face.
"""

from gen_experiments.data.sources.base import Decoded, PictureSource, Source, stamp
from gen_experiments.data.sources.digits import DIGITS, Digits
from gen_experiments.data.sources.folder import ImageFolder
from gen_experiments.data.sources.huggingface import HuggingFace
from gen_experiments.data.sources.shards import Shards
from gen_experiments.data.sources.torchvision import CIFAR10, MNIST, FashionMNIST

__all__ = [
    "CIFAR10",
    "DIGITS",
    "MNIST",
    "Decoded",
    "Digits",
    "FashionMNIST",
    "HuggingFace",
    "ImageFolder",
    "PictureSource",
    "Shards",
    "Source",
    "stamp",
]
