"""The inputs of `evaluate` and `stats`: a checkpoint, a run, a folder, a data configuration or an archive."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from gen_experiments.checkpoints.paths import check_images_exist
from gen_experiments.commands.reading import Reading, eight_bits
from gen_experiments.commands.training_data import contents_of, data_of, run_config
from gen_experiments.data.datamodule import ImageDataModule
from gen_experiments.data.folder import find_pictures
from gen_experiments.data.framing import Framing
from gen_experiments.data.sources.base import PictureSource
from gen_experiments.errors import UserError
from gen_experiments.evaluation.archives import kind_of, read_samples
from gen_experiments.evaluation.feature_set import ClassLabels
from gen_experiments.images import ImageSpec
from gen_experiments.sizes import Size
from gen_experiments.storage import file_sha256

SPLITS = ("train", "val", "test")


@dataclass
class Images:
    """Real or generated images in a fixed order.

    Attributes:
        described: the description of the images, for the record.
        count: the number of images; None if any number can be made.
        read: returns the images of a range, (N, C, H, W) uint8.
        content: what the images show (`FeatureExtractor.content`), if it is known.
        archive: the .npz file that holds the images.
        labels: returns the classes of a range, if they are known.
        kept: returns the images of a range as training sees them, (N, C, H, W) uint16; None if `read` does.
    """

    described: dict[str, Any]
    count: int | None
    read: Callable[[range], Tensor]
    content: str | None = None
    archive: Path | None = None
    labels: Callable[[], ClassLabels | None] = lambda: None
    kept: Callable[[range], Tensor] | None = None


@dataclass
class Archive:
    """Statistics or features in a file.

    Attributes:
        path: the file.
        kind: statistics or features.
    """

    path: Path
    kind: Literal["statistics", "features"]
    content: ClassVar[None] = None  # what the images showed is not known

    @property
    def described(self) -> dict[str, Any]:
        """What they are, for the record."""
        return {"kind": self.kind, "path": str(self.path), "sha256": file_sha256(self.path)}


@dataclass(frozen=True)
class Preprocessing:
    """How the pictures of a folder are read, so that they can be compared with others.

    Attributes:
        image: the size and the channels.
        reading: which files are pictures, and how they are framed.
    """

    image: ImageSpec
    reading: Reading


def configured_data(name: str) -> tuple[ImageDataModule, Path, str] | None:
    """Returns the data of a YAML file, that file and the split (`FILE.yaml:SPLIT`, else train); None for other names.

    Raises:
        UserError: there is no such file, it describes no data, or there is no such split.
    """
    file, split = name, "train"
    if ".yaml:" in name or ".yml:" in name:
        file, _, split = name.rpartition(":")
    if Path(file).suffix not in (".yaml", ".yml"):
        return None
    if split not in SPLITS:
        raise UserError(f"{name} names no split: write {file}:train, :val or :test")
    return data_of(Path(file)), Path(file), split


def split_images(data: ImageDataModule, split: str) -> Images:
    """Returns a split of a data module."""
    images = data.split(split)
    described = {
        "kind": "split",
        "split": split,
        "source": type(data.source).__name__,
        "origin": data.source.origin(split) if split in data.source.splits() else "held out of train",
        "size": data.size,
        "crop": _framing_in_words(
            data.framing if isinstance(data.source, PictureSource) else data.framing.exact, data.size
        ),
        "fingerprint": images.fingerprint,
    }

    def labels() -> ClassLabels | None:
        numbers = images.labels(np.arange(len(images)))
        return ClassLabels.of(numbers, data.image.class_labels)

    kept = None if data.framing.depth == 8 else lambda part: images.kept(np.arange(part.start, part.stop))
    return Images(
        described,
        len(images),
        lambda part: images.read(np.arange(part.start, part.stop)),
        data.source.content,
        labels=labels,
        kept=kept,
    )


def images_in_files(path: Path, preprocessing: Preprocessing | None) -> Images:
    """Returns the pictures below a folder or in an archive.

    Args:
        path: the folder, or an .npz file with `arr_0`.
        preprocessing: that of the images that they are compared with; None keeps the pictures' size, in colour.

    Raises:
        UserError: there is nothing to read, or images differ in size.
    """
    if path.suffix == ".npz":
        samples = read_samples(path)
        size = list(samples.shape[2:])
        described: dict[str, Any] = {"kind": "samples", "path": str(path), "sha256": file_sha256(path), "size": size}
        return Images(described, len(samples), lambda part: samples[part.start : part.stop], archive=path)
    check_images_exist(str(path))
    if not path.is_dir():
        raise UserError(f"{path} is nothing that can be evaluated: name a .ckpt, .yaml or .npz file, or a folder")
    reading = Reading() if preprocessing is None else preprocessing.reading
    files, _ = find_pictures(path, reading.suffixes)
    channels, wanted = (3, None) if preprocessing is None else (preprocessing.image.channels, preprocessing.image.size)

    def kept(part: range) -> Tensor:
        pictures = [reading.kept(files[number], wanted, channels) for number in part]
        for number, picture in zip(part, pictures, strict=True):
            if picture.shape != pictures[0].shape:
                raise UserError(
                    f"{files[number]} and {files[part.start]} differ in size: describe the folder by a data "
                    "configuration (ImageFolder with data.size), which brings all to one"
                )
        return torch.stack(pictures)

    described = {"kind": "folder", "path": str(path), "pictures": len(files), "size": wanted or "as in the files"}
    if wanted is not None:
        described["crop"] = _framing_in_words(reading.framing, wanted)
    return Images(
        described,
        len(files),
        lambda part: eight_bits(kept(part)),
        kept=None if reading.framing.depth == 8 else kept,
    )


def images_or_archive(name: str, preprocessing: Preprocessing | None) -> Images | Archive:
    """Returns the contents of a folder or an archive; see `images_in_files`.

    Raises:
        UserError: the path is neither, or cannot be read.
    """
    path = Path(name)
    if path.suffix == ".npz" and path.is_file() and (kind := kind_of(path)) != "samples":
        return Archive(path, kind)
    return images_in_files(path, preprocessing)


def split_compared_with(checkpoint: Path, reconstructs: bool) -> str:
    """Returns the split that the training of a checkpoint's run compares with.

    Raises:
        UserError: the run's configuration is missing or names no split.
    """
    if reconstructs:
        return "val"
    evaluation = contents_of(run_config(str(checkpoint), None)).get("evaluation")
    split = str(evaluation.get("reference", "train")) if isinstance(evaluation, dict) else "train"
    if split not in SPLITS:
        raise UserError(f"the run of {checkpoint} compares with {split}, which is no split: name a reference")
    return split


def _framing_in_words(framing: Framing, size: Size) -> str:
    """Returns what the record says of the framing of pictures that are compared."""
    usual = framing.compared.is_usual and isinstance(size, int)
    return ("centre square, bicubic" if usual else framing.in_words) + (", decoded fast" if framing.fast else "")
