"""Small data sets in the real formats."""

import pickle
import struct
import zlib

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


def write_parquet(folder, pictures, image="image", **columns):
    """A data set of Hugging Face in Parquet files, with a column of the encoded files.

    Args:
        folder: where to.
        pictures: the files of each split.
        image: the column of the pictures.
        columns: the other columns, each a function of a file.
    """
    import datasets

    folder.mkdir(parents=True, exist_ok=True)
    for split, files in pictures.items():
        rows = {image: [{"bytes": file.read_bytes(), "path": file.name} for file in files]}
        rows |= {name: [column(file) for file in files] for name, column in columns.items()}
        table = datasets.Dataset.from_dict(rows).cast_column(image, datasets.Image())
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def write_array_parquet(folder, arrays, feature, **columns):
    """The same with a column of arrays.

    Args:
        folder: where to.
        arrays: the .npy files of each split.
        feature: of the library, such as Array2D, or bytes for the contents of the files.
        columns: as for `write_parquet`.
    """
    import datasets

    folder.mkdir(parents=True, exist_ok=True)
    for split, files in arrays.items():
        others = {name: [column(file) for file in files] for name, column in columns.items()}
        features = datasets.Dataset.from_dict(others).features if others else {}
        as_bytes = isinstance(feature, datasets.Value)
        rows = {"image": [file.read_bytes() if as_bytes else np.load(file) for file in files]} | others
        table = datasets.Dataset.from_dict(rows, features=datasets.Features({"image": feature, **features}))
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def write_shards(folder, pictures, label=None, each=10):
    """Tar files by webdataset's own writer.

    Args:
        folder: where to.
        pictures: the files of each split.
        label: the number of a file's class.
        each: samples of a shard.
    """
    import webdataset

    folder.mkdir(parents=True, exist_ok=True)
    for split, files in pictures.items():
        with webdataset.ShardWriter(f"{folder}/{split}-%06d.tar", maxcount=each, verbose=0) as writer:
            for number, file in enumerate(files):
                sample = {"__key__": f"{number:06d}", file.suffix[1:]: file.read_bytes()}
                writer.write(sample if label is None else sample | {"cls": label(file)})


def write_tiff(path, array, bits=None, sample_format=1, white_is_zero=False, largest=None):
    """An uncompressed TIFF after the specification (TIFF 6.0): Pillow writes fewer kinds of numbers than it reads.

    Args:
        path: the file.
        array: (height, width) or (height, width, channels), or the bytes of each row of numbers of other bits.
        bits: of a number; by default those of the array's.
        sample_format: 1 for unsigned, 2 for signed whole numbers, 3 for floating point.
        white_is_zero: whether the photometric interpretation is that.
        largest: MaxSampleValue.
    """
    height, width, channels = (*array.shape, 1)[:3]
    if bits is None:
        bits = 8 * array.dtype.itemsize
    else:
        width = width * 8 * array.dtype.itemsize // bits
    photometric = 2 if channels == 3 else 0 if white_is_zero else 1
    tags = {256: [width], 257: [height], 258: [bits] * channels, 259: [1], 262: [photometric], 273: [0]}
    tags |= {277: [channels], 278: [height], 279: [array.nbytes]}
    tags |= {} if largest is None else {281: [largest] * channels}
    tags |= {339: [sample_format] * channels}
    longs = {256, 257, 273, 278, 279}
    data = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"))).tobytes()
    table = 8 + 2 + 12 * len(tags) + 4
    outside = {tag: struct.pack(f"<{len(v)}H", *v) for tag, v in tags.items() if tag not in longs and len(v) > 2}
    tags[273] = [table + sum(map(len, outside.values()))]
    entries, place = b"", table
    for tag, values in sorted(tags.items()):
        if tag in outside:
            field, place = struct.pack("<I", place), place + len(outside[tag])
        else:
            field = struct.pack(f"<{len(values)}{'I' if tag in longs else 'H'}", *values).ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, 4 if tag in longs else 3, len(values)) + field
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directory + b"".join(outside.values()) + data)


def write_png16(path, array):
    """A PNG of 16 bits, of (height, width, channels): Pillow writes only grey ones."""
    height, width, channels = array.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def write_transparent(folder, count=40, mode="RGBA", size=(24, 24)):
    """Writes pictures of coloured squares on a transparent ground."""
    folder.mkdir(parents=True)
    source = np.random.default_rng(0)
    for number in range(count):
        array = np.zeros((*size, 4), dtype=np.uint8)
        top, left = source.integers(0, 12, 2)
        array[top : top + 10, left : left + 10] = (*source.integers(0, 256, 3), 255)
        Image.fromarray(array).convert(mode).save(folder / f"{number:02d}.png")
