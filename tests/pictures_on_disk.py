"""Small data sets in the real formats."""

import pickle
import struct

import numpy as np
from PIL import Image


def write_mnist(root, train=40, test=10, name="MNIST"):
    """IDX files as torchvision wants them."""
    raw = root / name / "raw"
    raw.mkdir(parents=True)
    source = np.random.default_rng(0)
    for prefix, count in (("train", train), ("t10k", test)):
        images = source.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = np.arange(count, dtype=np.uint8) % 10
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 2051, count, 28, 28) + images.tobytes())
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, count) + labels.tobytes())


def write_cifar10(root, patch, each=8):
    """The pickled batches of CIFAR-10; `patch` makes torchvision expect their checksums."""
    import hashlib

    from torchvision.datasets import CIFAR10

    folder = root / CIFAR10.base_folder
    folder.mkdir(parents=True)
    source = np.random.default_rng(0)

    def write(name, content):
        (folder / name).write_bytes(pickle.dumps(content))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    def batch(name):
        data = source.integers(0, 256, (each, 3072), dtype=np.uint8)
        return [name, write(name, {"data": data, "labels": [i % 10 for i in range(each)]})]

    patch.setattr(CIFAR10, "train_list", [batch(f"data_batch_{i}") for i in range(1, 6)])
    patch.setattr(CIFAR10, "test_list", [batch("test_batch")])
    names = {"label_names": [str(i) for i in range(10)]}
    meta = {"filename": "batches.meta", "key": "label_names", "md5": write("batches.meta", names)}
    patch.setattr(CIFAR10, "meta", meta)


def write_pictures(folder, count=12, size=(20, 16), mode="RGB", seed=0, suffix=".png"):
    """Pictures of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    source = np.random.default_rng(seed)
    for i in range(count):
        array = source.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(array).convert(mode).save(folder / f"{i:03d}{suffix}")
