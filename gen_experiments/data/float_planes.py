"""Pictures of more than 8 bits, as floating-point planes from their numbers to the wanted size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.depth import SIXTEEN_BITS, TWELVE_BITS, Depth, too_dark, within
from gen_experiments.data.framing import Framing, Place, frame_picture, is_framed
from gen_experiments.errors import UserError
from gen_experiments.images import IMAGE_SUFFIXES, LUMINANCE
from gen_experiments.sizes import Size
from gen_experiments.untrusted.arrays import array_in, open_mapped

if TYPE_CHECKING:
    from PIL.Image import Image

ARRAY, MAGIC = ".npy", b"\x93NUMPY"


def suffixes(arrays: bool) -> tuple[str, ...]:
    """Returns the suffixes of pictures' files, with that of arrays if they count as pictures."""
    return (*IMAGE_SUFFIXES, ARRAY) if arrays else IMAGE_SUFFIXES


def is_array(file: Path | bytes) -> bool:
    """Returns whether a file, or the contents of a file, is an array rather than a picture."""
    return file.suffix.lower() == ARRAY if isinstance(file, Path) else file.startswith(MAGIC)


def planes_of(
    picture: "Image", depth: Depth, channels: int, framing: Framing, file: Path | bytes
) -> NDArray[np.float32] | None:
    """Returns a picture of more than 8 bits as (h, w, channels) numbers in [0, 1]; None for 8 bits per channel.

    Args:
        picture: upright.
        depth: the range according to the file.
        channels: as for `pictures.decode_one`.
        framing: with the user's range, if any.
        file: the file of the picture, or its contents.

    Raises:
        UserError: neither user nor file states the range, or the file's 16 bits cannot be read.
    """
    grey = depth.shares(picture, framing.value_range)
    if grey is None and not depth.sixteen_bit_colours(picture):
        return None
    planes = _colours(file, framing) if grey is None else grey[..., None]
    has_alpha = planes.shape[2] in (2, 4)
    colours, alpha = (planes[..., :-1], planes[..., -1:]) if has_alpha else (planes, np.ones_like(planes[..., :1]))
    if channels in (2, 4):
        return np.concatenate([in_channels(colours, channels - 1), alpha], axis=2)
    return in_channels(colours * alpha + (1 - alpha), channels)


def _colours(file: Path | bytes, framing: Framing) -> NDArray[np.float32]:
    """Returns the colours of 16 bits in a PNG, of which Pillow keeps the upper eight."""
    import torch
    from torchvision.io import decode_png

    contents = file.read_bytes() if isinstance(file, Path) else file
    if not contents.startswith(b"\x89PNG"):
        raise UserError("it has 16 bits a channel, which is read from PNG and .npy files alone: save it as one of them")
    data = torch.from_numpy(np.frombuffer(contents, dtype=np.uint8).copy())
    numbers: NDArray[Any] = decode_png(data, apply_exif_orientation=True).permute(1, 2, 0).numpy()
    colours = 3 if numbers.shape[2] > 2 else 1
    if framing.value_range is None and numbers[..., :colours].max() <= TWELVE_BITS:
        raise UserError(too_dark())
    shares = within(numbers, framing.value_range or (0, SIXTEEN_BITS))
    shares[..., colours:] = numbers[..., colours:] / np.float32(SIXTEEN_BITS)
    return shares


def read_array(file: Path | bytes, framing: Framing) -> NDArray[np.float32]:
    """Returns the array of a .npy file as (h, w, C) numbers in [0, 1]: uint8 over 255, others by the user's range.

    Args:
        file: the file, or its contents.
        framing: the range.

    Raises:
        Unreadable: its contents hold no array.
        UserError: its shape is neither (h, w) nor (h, w, 1 to 4), its numbers are no real ones or not finite, or they
            are not uint8 and no range is stated.
    """
    numbers = open_array(file, framing)
    shares = within(numbers, (0, 255) if numbers.dtype == np.uint8 else framing.value_range or (0, 1))
    return shares.reshape(*numbers.shape[:2], -1)


def open_array(file: Path | bytes, framing: Framing) -> NDArray[Any]:
    """Returns the array of a .npy file, of which only the header is read, or of its contents, as `read_array` does.

    Raises:
        Unreadable, UserError: as for `read_array`, but for numbers that are not finite.
    """
    numbers = array_in(file) if isinstance(file, bytes) else open_mapped(file)
    shape = numbers.shape
    if len(shape) not in (2, 3) or not numbers.size or (len(shape) == 3 and shape[2] > 4):
        raise UserError(f"it holds an array of shape {shape}: a picture is (h, w), or (h, w, channels) of at most four")
    if numbers.dtype.kind not in "uif":
        raise UserError(f"it holds {numbers.dtype}, which are no numbers of pixels")
    if numbers.dtype != np.uint8 and framing.value_range is None:
        raise UserError(f"it holds {numbers.dtype}: say by data.value_range=[black, white] which number is white")
    return numbers


def in_channels(planes: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Returns (h, w, C) planes as (h, w, channels): grey repeated as colour, colour as its luminance.

    Raises:
        UserError: there is no such conversion.
    """
    count = planes.shape[2]
    if count == channels:
        return planes
    if (count, channels) == (1, 3):
        return planes.repeat(3, axis=2)
    if (count, channels) == (3, 1):
        return (planes @ np.array(LUMINANCE, dtype=np.float32))[..., None]
    raise UserError(f"it has {count} channels, and the source's are {channels}: set data.source.channels={count}")


def resize_planes(
    planes: NDArray[np.float32], size: Size | None, framing: Framing, place: Place | None
) -> NDArray[np.unsignedinteger[Any]]:
    """Resizes (h, w, C) planes in [0, 1]; returns (C, H, W) integers of the depth that the framing names.

    Each plane is resized in floating point; with alpha (two or four planes) transparent colours do not bleed. As for
    files of 8 bits, colours under an alpha of 0 are kept if no pixels are blended, and become black otherwise; the
    padding of the crop "pad" is white under its alpha.
    """
    from PIL import Image

    if size is not None and not is_framed(planes.shape[0], planes.shape[1], size, place):
        count = planes.shape[2]
        alpha = count in (2, 4)
        blends = alpha and framing.filter != "nearest"
        # Padding that is resized together with the picture must not brighten its border.
        colour = 0.0 if blends and framing.crop != "pad" else 1.0
        grounds = [*[colour] * (count - alpha), *[0.0] * alpha]
        if blends:
            planes = np.concatenate([planes[..., :-1] * planes[..., -1:], planes[..., -1:]], axis=2)
        layers = (Image.fromarray(np.ascontiguousarray(planes[..., number])) for number in range(count))
        parts = [
            frame_picture(plane, size, framing, place, ground) for plane, ground in zip(layers, grounds, strict=True)
        ]
        planes = np.stack([np.asarray(part) for part in parts], 2)
        if blends:
            planes = np.concatenate([planes[..., :-1] / planes[..., -1:].clip(1e-6), planes[..., -1:]], axis=2)
    white = np.iinfo(framing.dtype).max
    picture: NDArray[Any] = np.rint(planes.clip(0, 1) * white).astype(framing.dtype).transpose(2, 0, 1)
    return picture
