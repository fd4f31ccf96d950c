"""How a picture of any size is brought to one: which part of it is kept, and by which filter it is resized."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gen_experiments.errors import UserError
from gen_experiments.sizes import Size, height_and_width

if TYPE_CHECKING:
    from PIL.Image import Image

Crop = Literal["centre", "random", "none", "pad"]
Filter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
FAST_FILTERS = ("bilinear", "bicubic")  # those that torch has, with antialiasing
Place = tuple[float, float]  # of what is kept: 0 at the top and at the left, 1 at the bottom and at the right


@dataclass(frozen=True)
class Framing:
    """A policy; the defaults give the pixels of runs from before there was a choice.

    Attributes:
        crop: "centre" keeps the largest central part that is shaped as wanted, "random" such a part at a place that is
            drawn anew for each picture and epoch of the training, and the central one wherever images are compared;
            "none" keeps all of the picture and changes its proportions; "pad" keeps all of it and its proportions, on a
            ground that is white, or transparent where there is an alpha channel.
        filter: by which Pillow resizes, as it calls it; all but "nearest" look at every pixel where they shrink.
        fast: in less time to slightly other pixels, as `data.turbo` does it.

    Raises:
        UserError: the fast way knows no such crop or filter.
    """

    crop: Crop = "centre"
    filter: Filter = "bicubic"
    fast: bool = False

    def __post_init__(self) -> None:
        if self.fast and (self.crop == "pad" or self.filter not in FAST_FILTERS):
            raise UserError(
                f"data.fast_decoding knows the crops centre, random and none and the filters "
                f"{' and '.join(FAST_FILTERS)}, not {self.crop} with {self.filter}: leave it out, or choose among these"
            )

    @property
    def is_usual(self) -> bool:
        """Whether the pixels are those of the central part, by the bicubic filter."""
        return (self.crop, self.filter) == ("centre", "bicubic")

    @property
    def in_words(self) -> str:
        """What stands in the protocol of an evaluation, for which no place is drawn."""
        return f"{'centre' if self.crop == 'random' else self.crop}, {self.filter}"


USUAL = Framing()


def framed(picture: "Image", size: Size, framing: Framing, place: Place = (0.5, 0.5)) -> "Image":
    """Returns a picture at a size.

    Args:
        picture: upright, of any size.
        size: the wanted one.
        framing: the policy.
        place: of what is kept, (down, across); for the crops "centre" and "random".
    """
    from PIL import Image, ImageOps

    height, width = height_and_width(size)
    if picture.size == (width, height):
        return picture
    method = Image.Resampling[framing.filter.upper()]
    if framing.crop == "none":
        return picture.resize((width, height), method)
    if framing.crop == "pad":
        ground = {"LA": (255, 0), "RGBA": (255, 255, 255, 0)}.get(picture.mode, "white")
        return ImageOps.pad(picture, (width, height), method, color=ground)
    down, across = place
    return ImageOps.fit(picture, (width, height), method, centering=(across, down))
