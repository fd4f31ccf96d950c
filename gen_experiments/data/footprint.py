"""How much decoded images take on the disk."""

import math
import shutil
from pathlib import Path

from gen_experiments.data.sources.base import PictureSource
from gen_experiments.errors import UserError
from gen_experiments.sizes import Size, height_and_width
from gen_experiments.storage import CACHE_VARIABLE, GIB

WORTH_SAYING = GIB  # bytes of a split whose size is said before it is written


def decoded_bytes(source: PictureSource, size: Size, depth: int = 8) -> int:
    """Returns how much all splits of a source take once they are decoded, at so many bits a channel."""
    return sum(len(source.pictures(split)) for split in source.splits()) * image_bytes(source, size, depth)


def image_bytes(source: PictureSource, size: Size, depth: int) -> int:
    """Returns how much a decoded image of a source takes, at so many bits a channel."""
    return source.channels * math.prod(height_and_width(size)) * depth // 8


def in_words(size: int) -> str:
    """Returns a number of bytes as a person says it."""
    return f"{size / GIB:.3g} GiB" if size >= GIB else f"{size / 2**20:.3g} MiB"


def say_size(folder: Path, split: str, count: int, each: int) -> None:
    """Says how much is about to be written, and refuses what the disk has no room for.

    Args:
        folder: where.
        split: of which images.
        count: their number.
        each: bytes of an image.

    Raises:
        UserError: there is no room.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if count * each > free:
        raise UserError(
            f"the {count} images of {split} take {in_words(count * each)} decoded and {there} has {in_words(free)}: "
            f"choose another cache by {CACHE_VARIABLE}, or set data.cache_limit=0 to decode them as they are read"
        )
    if count * each >= WORTH_SAYING:
        print(f"decoding {count} images of {split} into {folder}: {in_words(count * each)}", flush=True)
