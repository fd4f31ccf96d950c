"""Fast decoding with slightly different pixels: libjpeg-turbo's fast methods, and resizing in integers."""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.framing import Framing, Place
from gen_experiments.errors import UserError
from gen_experiments.sizes import Size, central_part, height_and_width

if TYPE_CHECKING:
    from PIL.Image import Image

ORIENTATION = 274  # a tag of EXIF 2.3
# Markers of JPEG (ITU-T T.81, table B.1): start of the image, segment of EXIF or XMP, start of the pixels.
START, NOTES, SCAN = b"\xff\xd8", b"\xff\xe1", b"\xff\xda"
# For each orientation: whether rows become columns, and which axes are flipped afterwards.
TURNS: dict[int, tuple[bool, tuple[int, ...]]] = {
    **{2: (False, (1,)), 3: (False, (0, 1)), 4: (False, (0,))},
    **{5: (True, ()), 6: (True, (1,)), 7: (True, (0, 1)), 8: (True, (0,))},
}


def load_library() -> Any:
    """Returns the module simplejpeg.

    Raises:
        UserError: it is not installed.
    """
    try:
        import simplejpeg
    except ModuleNotFoundError as error:
        raise UserError(
            "data.fast_decoding needs the library simplejpeg: pip install 'gen-experiments[fast]', or leave it out"
        ) from error
    return simplejpeg


class Header(NamedTuple):
    """The size and the orientation of a JPEG, known before it is decoded.

    Attributes:
        height: the number of stored rows of pixels.
        width: the length of a stored row.
        orientation: the orientation by EXIF; 1 for upright.
    """

    height: int
    width: int
    orientation: int = 1

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.height * self.width


def quick_header(data: bytes) -> Header | None:
    """Returns the header of a JPEG in RGB or grey without EXIF, faster than Pillow; None for other files."""
    if not data.startswith(START) or not _is_plain(data):
        return None
    height, width, colours, _ = load_library().decode_jpeg_header(data)
    return Header(height, width) if colours in ("RGB", "YCbCr", "Gray") else None


def header(opened: "Image") -> Header | None:
    """Returns the header of an opened picture; None if it is no JPEG in RGB or grey."""
    if opened.format != "JPEG" or opened.mode not in ("RGB", "L"):
        return None
    return Header(opened.height, opened.width, opened.getexif().get(ORIENTATION, 1))


def jpeg(
    data: bytes, known: Header, size: Size, channels: int, framing: Framing, place: Place | None = None
) -> NDArray[np.uint8]:
    """Returns a JPEG upright as (channels, H, W).

    The cosine transform is libjpeg-turbo's faster one, which differs by one in some 8-bit values; colours of half the
    resolution are repeated, not interpolated. The JPEG is decoded at the smallest of the scales 1, 1/2, 1/4 and 1/8
    (those with machine code) at which each side of the used part is at least twice the wanted length.

    Args:
        data: the file.
        known: the header of the file.
        size: the size of the result.
        channels: 3 for RGB, 1 for grey.
        framing: how the picture is resized.
        place: the drawn part that is kept; None for the middle.
    """
    swapped, axes = TURNS.get(known.orientation, (False, ()))
    height, width = (known.width, known.height) if swapped else (known.height, known.width)
    wanted_height, wanted_width = height_and_width(size)
    larger = (1.0 if place is None else place.scale) * min(height / wanted_height, width / wanted_width)
    parts = next((parts for parts in (8, 4, 2) if larger >= 2 * parts), 1)
    pixels: NDArray[np.uint8] = load_library().decode_jpeg(
        data,
        colorspace="RGB" if channels == 3 else "GRAY",
        fastdct=True,
        fastupsample=True,
        min_height=known.height // parts,
        min_width=known.width // parts,
    )
    return resize_pixels(np.flip(pixels.swapaxes(0, 1) if swapped else pixels, axes), size, framing, place)


def resize_pixels(
    pixels: NDArray[np.uint8], size: Size, framing: Framing, place: Place | None = None
) -> NDArray[np.uint8]:
    """Maps (h, w, C) uint8 -> (C, H, W), with antialiasing, by torch; see `Framing`, whose padding it cannot do.

    It crops at whole pixels. Where `ImageOps.fit` would crop the middle at half pixels, as the sides differ by an odd
    number, it keeps one row or column more: both centres are the same, and the proportions differ by that one.
    """
    import torch
    from torch.nn import functional as F

    wanted = height_and_width(size)
    top, left, height, width = 0, 0, pixels.shape[0], pixels.shape[1]
    if framing.crop != "none":
        top, left, height, width = central_part(height, width, size)
        if place is None:
            height += (pixels.shape[0] - height) % 2
            width += (pixels.shape[1] - width) % 2
    if place is not None:
        height, width = (max(1, round(place.scale * side)) for side in (height, width))
        room = pixels.shape[0] - height, pixels.shape[1] - width
        top, left = (int(at * (most + 1)) for at, most in zip(place[:2], room, strict=True))
    part = np.ascontiguousarray(pixels[top : top + height, left : left + width])
    if part.shape[:2] == wanted:
        return part.transpose(2, 0, 1)
    # Only `unsqueeze` gives a single image strides that torch recognises as channels last, and then keeps.
    image = torch.from_numpy(part).unsqueeze(0).permute(0, 3, 1, 2)
    result: NDArray[np.uint8] = F.interpolate(image, wanted, mode=framing.filter, antialias=True)[0].numpy()
    return result


def _is_plain(data: bytes) -> bool:
    """Returns whether no segment before the pixels of a JPEG can hold an orientation."""
    at = len(START)
    while data[at : at + 1] == b"\xff" and data[at : at + 2] not in (NOTES, SCAN):
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[at : at + 2] == SCAN
