"""The size of decoded images on disk."""

import math
import shutil
from pathlib import Path

from gen_experiments.data.sources.base import PictureSource
from gen_experiments.errors import UserError
from gen_experiments.sizes import Size, height_and_width
from gen_experiments.storage import CACHE_VARIABLE, GIB

WORTH_SAYING = GIB  # bytes of a split above which its size is printed before it is written


def decoded_bytes(source: PictureSource, size: Size, depth: int = 8) -> int:
    """Returns the bytes of all decoded splits of a source, at `depth` bits per channel."""
    return sum(len(source.pictures(split)) for split in source.splits()) * image_bytes(source, size, depth)


def image_bytes(source: PictureSource, size: Size, depth: int) -> int:
    """Returns the bytes of a decoded image of a source, at `depth` bits per channel."""
    return source.channels * math.prod(height_and_width(size)) * depth // 8


def in_words(size: int) -> str:
    """Returns a number of bytes for messages."""
    return f"{size / GIB:.3g} GiB" if size >= GIB else f"{size / 2**20:.3g} MiB"


def say_size(folder: Path, split: str, count: int, bytes_of_one: int, otherwise: str = "") -> None:
    """Prints the size of a split before it is written, and refuses a split that is too large for the disk.

    Args:
        folder: where it is written.
        split: the name of the split.
        count: number of images.
        bytes_of_one: bytes of an image.
        otherwise: what else can be done, for the message.

    Raises:
        UserError: the disk has too little space.
    """
    check_room(folder, count * bytes_of_one, f"the {count} decoded images of {split}", otherwise)
    if count * bytes_of_one >= WORTH_SAYING:
        print(f"decoding {count} images of {split} into {folder}: {in_words(count * bytes_of_one)}", flush=True)


def check_room(folder: Path, size: int, what: str, otherwise: str = "") -> None:
    """Refuses what is too large for the disk of the cache, before anything is computed.

    Args:
        folder: where it is written; it need not exist.
        size: bytes.
        what: its name in the plural, for the message.
        otherwise: what can be done other than to choose another cache.

    Raises:
        UserError: the disk has too little space.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if size > free:
        raise UserError(
            f"{what} take {in_words(size)}, and {there} has {in_words(free)}: "
            f"choose another cache by {CACHE_VARIABLE}{otherwise}"
        )
