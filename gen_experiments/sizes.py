"""Sizes of images: a number for squares, height and width for others."""

from collections.abc import Sequence

from gen_experiments.errors import UserError

Size = int | tuple[int, int]
"""Pixels per side of squares, or height and width."""


def height_and_width(size: Size) -> tuple[int, int]:
    """Returns both sides of images of a size."""
    return (size, size) if isinstance(size, int) else size


def canonical_size(size: Size | Sequence[int]) -> Size:
    """Returns a size in its stored form: two equal sides become one number.

    Raises:
        UserError: it is neither one number nor two.
    """
    if isinstance(size, int):
        return size
    if len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise UserError(f"a size is a number of pixels, or height and width as in [96, 128], not {list(size)}")
    height, width = size
    return height if height == width else (height, width)


def in_words(size: Size) -> str:
    """Returns a size for messages: 32, or 96x128 with the height first."""
    return str(size) if isinstance(size, int) else f"{size[0]}x{size[1]}"


def as_set(size: Size) -> str:
    """Returns a size in the command line's notation: 32 or [96, 128]."""
    return str(size if isinstance(size, int) else list(size))


def central_part(height: int, width: int, size: Size) -> tuple[int, int, int, int]:
    """Returns the largest central part of a picture with the proportions of `size`, at whole pixels.

    Returns:
        Its top, left, height and width.
    """
    wanted_height, wanted_width = height_and_width(size)
    part_height = min(height, max(1, round(width * wanted_height / wanted_width)))
    part_width = min(width, max(1, round(height * wanted_width / wanted_height)))
    return (height - part_height) // 2, (width - part_width) // 2, part_height, part_width
