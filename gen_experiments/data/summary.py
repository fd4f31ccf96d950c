"""Describes the images of a run in lines of text."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.cache import ImageArray
from gen_experiments.data.repetitions import repetitions
from gen_experiments.data.sources.base import PictureSource, Source
from gen_experiments.errors import quoted, shortened
from gen_experiments.images import ImageSpec
from gen_experiments.sizes import Size, height_and_width

CHANNELS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha"}
MAX_CLASSES, MAX_FILES = 12, 3  # named in a line


def summary(source: Source, size: Size, splits: Mapping[str, ImageArray], origins: Mapping[str, str]) -> list[str]:
    """Returns lines about the images, the classes, the splits and, if any, repetitions and files that were passed over.

    Args:
        source: the source of the images.
        size: the size of the images.
        splits: the images of each split.
        origins: a short text for each split on where its images come from.
    """
    # If nothing is held out, the validation images are the training images.
    count = sum(len(images) for name, images in splits.items() if name == "train" or images is not splits["train"])
    named = getattr(source, "root", getattr(source, "path", None))
    place = "" if named is None else f" in {named}"
    parts = []
    for name in ("train", "val", "test"):
        if name in splits:
            unlabelled = source.num_classes is not None and splits[name].all_labels is None
            parts.append(f"{name} {len(splits[name])} ({origins[name]}{', without labels' if unlabelled else ''})")
    height, width = height_and_width(size)
    lines = [
        f"images: {count} of {height}x{width} pixels, {CHANNELS[source.channels]}, from {type(source).__name__}{place}",
        f"classes: {_classes(source, splits['train'])}",
        f"splits: {', '.join(parts)}",
    ]
    repeated = repetitions(splits)
    if repeated:
        each = (_repeated(source, splits, name, repeated[name]) for name in repeated)
        lines.append("also among the training images, pixel by pixel: " + "; ".join(each))
    passed_over = source.passed_over()
    if passed_over:
        lines.append("passed over: " + "; ".join(_files(reason, passed_over[reason]) for reason in passed_over))
    return [shortened(line) for line in lines]


def _classes(source: Source, train: ImageArray) -> str:
    if source.num_classes is None or train.all_labels is None:
        return "none"
    counts = np.bincount(train.all_labels[train.members], minlength=source.num_classes)
    names = ImageSpec(source.channels, 1, source.num_classes, source.class_names).class_labels
    shown = [f"{quoted(name)} {count}" for name, count in zip(names, counts, strict=True)]
    if len(shown) > MAX_CLASSES:
        shown = [*shown[:MAX_CLASSES], f"… of {counts.min()} to {counts.max()} each"]
    return f"{len(counts)} (training images: {', '.join(shown)})"


def _repeated(source: Source, splits: Mapping[str, ImageArray], name: str, numbers: NDArray[np.int64]) -> str:
    if not isinstance(source, PictureSource):
        return f"{len(numbers)} of {name}"
    pictures = source.pictures("train" if splits[name].pixels is splits["train"].pixels else name)
    root = getattr(source, "root", None)
    inside = "" if root is None else f"{root}/"
    names = [str(pictures[int(number)]).removeprefix(inside) for number in numbers[: MAX_FILES + 1]]
    return f"{len(numbers)} of {name} ({_names(names)})"


def _files(reason: str, names: Sequence[str]) -> str:
    return f"{len(names)} {reason} ({_names(names)})"


def _names(names: Sequence[str]) -> str:
    more = ", …" if len(names) > MAX_FILES else ""
    return f"{', '.join(map(quoted, names[:MAX_FILES]))}{more}"
