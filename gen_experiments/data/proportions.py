"""The proportions of the pictures of a pair, by their headers."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gen_experiments.data.fast_decoding import ORIENTATION, TURNS
from gen_experiments.errors import UserError, quoted
from gen_experiments.images import IMAGE_FORMATS

if TYPE_CHECKING:
    from PIL.Image import Image


def check_proportions(pairs: Sequence[tuple[Path, Path]]) -> None:
    """Refuses pairs of different proportions; what cannot be opened is left to the decoder, which says why.

    Raises:
        UserError: the upright pictures of a pair differ in proportions.
    """
    from PIL import Image

    for pair in pairs:
        try:
            sizes = []
            for file in pair:
                with Image.open(file, formats=IMAGE_FORMATS) as picture:
                    sizes.append(_upright_size(picture))
        except Exception:  # Pillow's plugins fail in any way
            continue
        if not _shaped_alike(*sizes):
            first, second = (f"{width}x{height}" for width, height in sizes)
            raise UserError(
                f"{quoted(pair[0])} has {first} pixels and {quoted(pair[1])} {second}: the pictures of a pair may "
                "differ in size, but not in proportions"
            )


def _upright_size(picture: "Image") -> tuple[int, int]:
    """Returns the (width, height) that an opened picture has once it is turned according to its EXIF data."""
    # Pillow gives the upright size of a TIFF, and decodes a PNG to look for EXIF data behind its pixels.
    if picture.format == "TIFF" or (picture.format == "PNG" and "exif" not in picture.info):
        return picture.size
    swapped, _ = TURNS.get(picture.getexif().get(ORIENTATION, 1), (False, ()))
    return picture.size[::-1] if swapped else picture.size


def _shaped_alike(*sizes: tuple[int, int]) -> bool:
    """Returns whether two (width, height) have the same proportions, up to rounding at the smaller size."""
    (width, height), (wide, high) = sorted(sizes, key=math.prod)
    return width == round(wide * height / high) or height == round(high * width / wide)
