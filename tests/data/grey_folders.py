"""Folders of small grey pictures, each told by its level."""

from PIL import Image


def grey(path, level):
    """A picture of one level, by which it is known again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), level).save(path)


def levels(folder, split="train"):
    """The level and the class of each picture."""
    read = folder.decode(split, 4)
    names = [None] * len(read.images) if read.labels is None else [folder.class_names[label] for label in read.labels]
    return list(zip(read.images[:, 0, 0, 0].tolist(), names, strict=True))


def make(root, *paths):
    for path in paths:
        grey(root / path, 10)
