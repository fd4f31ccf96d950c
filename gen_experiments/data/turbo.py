"""Pictures in less time, to slightly other pixels: JPEG by libjpeg-turbo's fast ways, and resizing in integers."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.framing import Framing, Place
from gen_experiments.errors import UserError
from gen_experiments.sizes import Size, central_part, height_and_width

if TYPE_CHECKING:
    from PIL.Image import Image

ORIENTATION = 274  # a tag of EXIF 2.3
# For each orientation: whether rows become columns, and which axes are then turned round.
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


def decoded_jpeg(
    data: bytes, opened: "Image", size: Size, channels: int, scale: float = 1.0
) -> NDArray[np.uint8] | None:
    """Returns an upright JPEG as (H, W, channels), or None for one of other colours than RGB or grey, or no JPEG.

    The cosine transform is the faster of libjpeg-turbo's, which in 8 bits is off by one here and there, and colours of
    half the resolution are repeated instead of interpolated. Of 1, 1/2, 1/4 and 1/8, for which the transform has
    machine code, the smallest scale is decoded that leaves each side of what is used at least twice as long as wanted.

    Args:
        data: the file.
        opened: what Pillow makes of its header.
        size: that it is to be resized to.
        channels: 3 for RGB, 1 for grey.
        scale: of what is used, as `Place` has it.
    """
    if opened.format != "JPEG" or opened.mode not in ("RGB", "L"):
        return None
    swapped, axes = TURNS.get(opened.getexif().get(ORIENTATION, 1), (False, ()))
    height, width = opened.size if swapped else opened.size[::-1]
    wanted_height, wanted_width = height_and_width(size)
    larger = scale * min(height / wanted_height, width / wanted_width)
    parts = next((parts for parts in (8, 4, 2) if larger >= 2 * parts), 1)
    pixels: NDArray[np.uint8] = load_library().decode_jpeg(
        data,
        colorspace="RGB" if channels == 3 else "GRAY",
        fastdct=True,
        fastupsample=True,
        min_height=opened.height // parts,
        min_width=opened.width // parts,
    )
    return np.flip(pixels.swapaxes(0, 1) if swapped else pixels, axes)


def resized(pixels: NDArray[np.uint8], size: Size, framing: Framing, place: Place | None = None) -> NDArray[np.uint8]:
    """Maps (h, w, C) uint8 -> (C, H, W), with antialiasing, by torch; see `Framing`, of which it knows no padding.

    What is kept is cut at whole pixels; `ImageOps.fit` cuts at halves where the sides differ by an odd number.
    """
    import torch
    from torch.nn import functional as F

    wanted = height_and_width(size)
    top, left, height, width = 0, 0, pixels.shape[0], pixels.shape[1]
    if framing.crop != "none":
        top, left, height, width = central_part(height, width, size)
    if place is not None:
        height, width = (max(1, round(place.scale * side)) for side in (height, width))
        room = pixels.shape[0] - height, pixels.shape[1] - width
        top, left = (int(at * (most + 1)) for at, most in zip(place[:2], room, strict=True))
    part = np.ascontiguousarray(pixels[top : top + height, left : left + width])
    if part.shape[:2] == wanted:
        return part.transpose(2, 0, 1)
    image = torch.from_numpy(part).permute(2, 0, 1)[None]
    result: NDArray[np.uint8] = F.interpolate(image, wanted, mode=framing.filter, antialias=True)[0].numpy()
    return result
