"""How a picture of any size and depth is brought to one size: the kept part, the range, and the filter."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from gen_experiments.errors import UserError
from gen_experiments.sizes import Size, height_and_width

if TYPE_CHECKING:
    from PIL.Image import Image

Crop = Literal["centre", "random", "none", "pad"]
Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
Depth = Literal[8, 16]
FAST_FILTERS = ("bilinear", "bicubic")  # those that torch has, with antialiasing
LARGEST = (1.0, 1.0)
FAST = "fast 2"  # in `Framing.key`; the number is increased whenever fast decoding changes pixels
MAX_AREA = 4.0  # of a random crop over that of the largest part: twice its sides


class Place(NamedTuple):
    """The part of a picture that is kept.

    Attributes:
        down: its vertical position, 0 at the top and 1 at the bottom.
        across: its horizontal position, 0 at the left and 1 at the right.
        scale: its sides over those of the largest part of the wanted proportions, in (0, 2]. A part that is larger than
            the picture is padded as by the crop "pad"; `down` is then the share of the padding above the picture and
            `across` the share at its left.
    """

    down: float
    across: float
    scale: float = 1.0


@dataclass(frozen=True)
class Framing:
    """How pictures are brought to a size; the defaults are those of runs before there was a choice.

    Attributes:
        crop: "centre" keeps the largest central part of the wanted proportions; "random" keeps such a part at a place
            that is drawn anew for each picture and epoch of the training, and the central one for evaluations; "none"
            keeps the whole picture and changes its proportions; "pad" keeps the whole picture and its proportions, with
            padding that is white, or transparent if there is an alpha channel.
        filter: Pillow's name of the resizing filter; all but "nearest" use every pixel when they shrink.
        value_range: (black, white) of pictures of more than 8 bits; other numbers are clamped. None takes the range
            from the files and refuses those that state none (`data.depth`).
        depth: bits per channel of stored pixels, 8 or 16; with 16 they are resized in floating point.
        fast: decode faster, to slightly different pixels (`data.fast_decoding`).
        crop_scale: the area of random crops over that of the largest part of the wanted proportions, (least, most) in
            (0, 4]; see `Place`.

    Raises:
        UserError: fast decoding has no such crop, scale, filter or depth, the range is invalid, or another crop than
            "random" has a scale.
    """

    crop: Crop = "centre"
    filter: Filter = "bicubic"
    fast: bool = False
    value_range: tuple[float, float] | None = None
    depth: Depth = 8
    crop_scale: tuple[float, float] = LARGEST

    def __post_init__(self) -> None:
        if self.value_range is not None and not -math.inf < self.value_range[0] < self.value_range[1] < math.inf:
            raise UserError(
                f"data.value_range must be [black, white], the first below the second, not {list(self.value_range)}"
            )
        least, most = self.crop_scale
        if not 0 < least <= most <= MAX_AREA:
            raise UserError(
                f"data.crop_scale must be [least, most], shares of an area in (0, {MAX_AREA:g}], not "
                f"{list(self.crop_scale)}"
            )
        if self.crop_scale != LARGEST and self.crop != "random":
            raise UserError(f"data.crop_scale is of random crops, not of {self.crop}: set data.crop=random")
        if self.fast and self.is_deep:
            raise UserError(
                "data.fast_decoding is for pictures of 8 bits: leave out data.value_range and data.depth, or it"
            )
        if self.fast and most > 1:
            raise UserError(
                "data.fast_decoding knows no crops beyond the picture: leave it out, or set data.crop_scale"
            )
        if self.fast and (self.crop == "pad" or self.filter not in FAST_FILTERS):
            raise UserError(
                f"data.fast_decoding knows the crops centre, random and none and the filters "
                f"{' and '.join(FAST_FILTERS)}, not {self.crop} with {self.filter}: leave it out, or choose among these"
            )

    @property
    def is_usual(self) -> bool:
        """Whether the pixels are the default ones: central part, bicubic filter, 8 bits, range of the files."""
        return self.exact == Framing()

    @property
    def exact(self) -> "Framing":
        """The same without fast decoding."""
        return replace(self, fast=False)

    @property
    def compared(self) -> "Framing":
        """The framing of evaluations, without random places."""
        return replace(self, crop="centre", crop_scale=LARGEST) if self.crop == "random" else self

    @property
    def is_deep(self) -> bool:
        """Whether pictures of more than 8 bits are not read as by default."""
        return self.value_range is not None or self.depth != 8

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The dtype of stored pixels."""
        return np.uint8 if self.depth == 8 else np.uint16

    @property
    def key(self) -> str:
        """What distinguishes the pixels from the default ones, whose key is empty."""
        parts = [] if (self.crop, self.filter) == ("centre", "bicubic") else [f"{self.crop}-{self.filter}"]
        parts += [] if self.value_range is None else [f"range {self.value_range[0]!r} {self.value_range[1]!r}"]
        parts += [] if self.depth == 8 else [f"{self.depth} bits"]
        return "".join(f"{part}|" for part in [*parts, *([FAST] if self.fast else [])])

    @property
    def in_words(self) -> str:
        """The framing in words, for the protocol of an evaluation."""
        depth = "" if self.depth == 8 else f", of {self.depth} bits, scored in 8"
        numbers = "" if self.value_range is None else f", numbers in {list(self.value_range)}"
        return f"{self.compared.crop}, {self.filter}{numbers}{depth}"


USUAL = Framing()


def is_framed(height: int, width: int, size: Size, place: Place | None) -> bool:
    """Returns whether a picture is kept unchanged: it has the wanted size, and all of it is kept."""
    return (height, width) == height_and_width(size) and (place is None or place.scale == 1)


def frame_picture(
    picture: "Image", size: Size, framing: Framing, place: Place | None = None, ground: float = 1.0
) -> "Image":
    """Returns a picture at a size.

    Args:
        picture: upright, of any size.
        size: the wanted one.
        framing: crop and filter.
        place: the kept part for the crops "centre" and "random"; None for the largest in the middle.
        ground: the padding of a floating-point plane.
    """
    from PIL import Image, ImageOps

    grounds: dict[str, Any] = {"LA": (255, 0), "RGBA": (255, 255, 255, 0), "F": ground}
    colour = grounds.get(picture.mode, "white")
    height, width = height_and_width(size)
    down, across, scale = place or Place(0.5, 0.5)
    if is_framed(picture.height, picture.width, size, place):
        return picture
    method = Image.Resampling[framing.filter.upper()]
    if framing.crop == "none":
        return picture.resize((width, height), method)
    if framing.crop == "pad":
        return ImageOps.pad(picture, (width, height), method, color=colour)
    if scale != 1:
        scale *= min(picture.width / width, picture.height / height)
        left, top = across * (picture.width - scale * width), down * (picture.height - scale * height)
        beyond = scale * width - picture.width, scale * height - picture.height
        border = max(0, math.ceil(beyond[0])), max(0, math.ceil(beyond[1]))
        if any(border):
            picture, left, top = ImageOps.expand(picture, border, colour), left + border[0], top + border[1]
        box = left, top, left + scale * width, top + scale * height
        return picture.resize((width, height), method, box)
    return ImageOps.fit(picture, (width, height), method, centering=(across, down))
