"""How a run reads pictures, so that commands on its checkpoint read those of a folder in the same way."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from gen_experiments.checkpoints.exports import pictures_of
from gen_experiments.checkpoints.paths import is_exported
from gen_experiments.commands.training_data import contents_of, run_config
from gen_experiments.data.depth import in_eight_bits
from gen_experiments.data.float_planes import ARRAY, suffixes
from gen_experiments.data.framing import USUAL, Crop, Filter, Framing
from gen_experiments.data.picture_decoding import decode_one
from gen_experiments.errors import UserError, quoted
from gen_experiments.images import IMAGE_SUFFIXES
from gen_experiments.sizes import Size
from gen_experiments.untrusted.unreadable import Unreadable


@dataclass(frozen=True)
class Reading:
    """Which files are pictures, and how they are resized to a model's size.

    Attributes:
        framing: the framing of the images that the run compares.
        suffixes: the file name extensions of pictures.
    """

    framing: Framing = USUAL
    suffixes: tuple[str, ...] = IMAGE_SUFFIXES

    def kept(self, file: Path, size: Size | None, channels: int) -> Tensor:
        """Returns a picture as the run trains on it: (channels, H, W) uint8, or uint16 if its data keep 16 bits.

        Arguments are those of `decode_one`.

        Raises:
            UserError: it cannot be decoded.
        """
        return torch.from_numpy(decode_one(file, size, channels, self.framing))


def eight_bits(images: Tensor) -> Tensor:
    """Returns images as uint8, rounded where they are uint16."""
    return torch.from_numpy(in_eight_bits(images.numpy()))


def reading_of(checkpoint: str, compared: bool = False) -> Reading:
    """Returns the reading of the run that holds or exported a checkpoint; the usual one if that run is unknown.

    Args:
        checkpoint: its file, or the folder of an export.
        compared: see `reading_in`.
    """
    return _known_reading(checkpoint, compared) or Reading()


def plain_reading(checkpoint: str) -> dict[str, Any] | None:
    """Returns the reading of a checkpoint's run as plain values for an export; None if that run is unknown."""
    reading = _known_reading(checkpoint, compared=True)
    if reading is None:
        return None
    framing = reading.framing
    return {
        "crop": framing.crop,
        "filter": framing.filter,
        "value_range": framing.value_range,
        "depth": framing.depth,
        "fast_decoding": framing.fast,
        "arrays": ARRAY in reading.suffixes,
    }


def _known_reading(checkpoint: str, compared: bool) -> Reading | None:
    try:
        contents = contents_of(run_config(checkpoint, None))
    except UserError:
        return _exported_reading(Path(checkpoint), compared) if is_exported(Path(checkpoint)) else None
    return reading_in(contents, compared)


def _exported_reading(folder: Path, compared: bool) -> Reading | None:
    try:
        pictures = pictures_of(folder)
    except Unreadable as error:
        raise UserError(f"{folder} is no readable export: {quoted(error)}") from error
    return None if pictures is None else _reading(pictures, pictures.get("arrays") is True, compared)


def reading_in(contents: dict[str, Any], compared: bool = False) -> Reading:
    """Returns that of the data in a configuration, as far as it makes sense: the data themselves need not be there.

    Args:
        contents: the contents of the configuration.
        compared: whether the pictures are scored against those of the data, so that where these are decoded in the fast
            way they must be too. What else is done with pictures needs no library for it and gets their exact pixels.
    """
    data = _arguments(contents.get("data"))
    return _reading(data, _arguments(data.get("source")).get("arrays") is True, compared)


def _reading(data: dict[str, Any], arrays: bool, compared: bool) -> Reading:
    """Returns the reading of a data module with these arguments; `arrays` says whether arrays are pictures."""
    crop: Any = data.get("crop")
    chosen: Any = data.get("filter")
    numbers: Any = data.get("value_range")
    is_range = isinstance(numbers, list) and len(numbers) == 2 and all(isinstance(x, (int, float)) for x in numbers)
    framing = Framing(
        crop=crop if crop in get_args(Crop) else "centre",
        filter=chosen if chosen in get_args(Filter) else "bicubic",
        value_range=(float(numbers[0]), float(numbers[1])) if is_range else None,
        fast=compared and data.get("fast_decoding") is True,
        depth=16 if data.get("depth") == 16 else 8,
    )
    return Reading(framing.compared, suffixes(arrays))


def _arguments(described: Any) -> dict[str, Any]:
    """Returns the arguments of a class in a configuration; empty without a class."""
    arguments = described.get("init_args") if isinstance(described, dict) else None
    return arguments if isinstance(arguments, dict) else {}
