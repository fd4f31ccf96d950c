"""From files to pixels."""

import ctypes
import io
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gen_experiments.data.depth import Depth
from gen_experiments.data.fast_decoding import header, jpeg, quick_header, resize_pixels
from gen_experiments.data.float_planes import in_channels, is_array, open_array, planes_of, read_array, resize_planes
from gen_experiments.data.framing import USUAL, Framing, Place, frame_picture
from gen_experiments.data.pages import warn_of_pages
from gen_experiments.data.undecodable import naming, refusal
from gen_experiments.images import IMAGE_FORMATS
from gen_experiments.sizes import Size, central_part, height_and_width

if TYPE_CHECKING:
    from PIL.Image import Image

Numbers = NDArray[np.unsignedinteger[Any]]  # uint8 or uint16
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # Pillow's names, by the number of channels
# Decoded pixels in memory over all threads; a larger picture is decoded alone.
PIXELS_AT_ONCE = 1 << 25
LARGE = 1 << 22  # pixels of a picture above which memory is returned to the system


@dataclass(frozen=True)
class Encoded:
    """A picture that is not a file of its own.

    Attributes:
        name: for messages.
        data: the contents of a file.
    """

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


class Pictures(Protocol):
    """Encoded pictures by their numbers."""

    def __len__(self) -> int:
        """Returns how many there are."""

    def __getitem__(self, number: int, /) -> Path | Encoded:
        """Returns the file of one, or what it would hold."""


class _Budget:
    """Limits what all threads hold together to a total; a thread that needs more runs alone."""

    def __init__(self, total: int) -> None:
        self._total, self._held = total, 0
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, amount: int) -> Iterator[None]:
        amount = min(amount, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._held + amount <= self._total)
            self._held += amount
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()


_pixels = _Budget(PIXELS_AT_ONCE)


def decode_all(files: Pictures, size: Size, channels: int, framing: Framing = USUAL) -> Numbers:
    """Decodes pictures of any size, mode and format to (N, channels, H, W) uint8, or uint16 if the depth is 16.

    Raises:
        UserError: files are no pictures, are cut short or have numbers of unknown range; their paths are named.
    """
    images: Numbers = np.empty((len(files), channels, *height_and_width(size)), dtype=framing.dtype)

    def decode(number: int) -> None:
        images[number] = decode_one(files[number], size, channels, framing)

    if refused := refusal(files, decode, range(len(files))):
        raise refused
    return images


def check_headers(files: Sequence[Path], framing: Framing = USUAL) -> None:
    """Makes sure that files are pictures as far as their headers tell; no pixel is decoded.

    Raises:
        UserError: files are no pictures, or arrays of no picture; their paths are named.
    """
    from PIL import Image

    def check(number: int) -> None:
        file = files[number]
        with naming(file):
            if is_array(file):
                open_array(file, framing)
            else:
                Image.open(file, formats=IMAGE_FORMATS).close()

    if refused := refusal(files, check, range(len(files))):
        raise refused


def decode_one(
    file: Path | Encoded, size: Size | None, channels: int, framing: Framing = USUAL, place: Place | None = None
) -> Numbers:
    """Returns an upright picture as (channels, H, W); without alpha transparent parts become white.

    Without a size the whole picture is returned. Numbers are uint8, or uint16 if the framing's depth is 16.

    Args:
        file: the picture.
        size: of the result; None keeps the size.
        channels: 1 for grey, 2 for grey and alpha, 3 for RGB, 4 for RGB and alpha.
        framing: how it is brought to the size.
        place: the kept part of random crops; None for the middle.

    Raises:
        UserError: as for `decode_all`.
    """
    from PIL import Image

    with naming(file):
        if channels in (2, 4):
            framing = framing.exact  # fast decoding knows no alpha
        contents = file.data if isinstance(file, Encoded) else file.read_bytes() if framing.fast else file
        if is_array(contents):
            return _of_array(contents, size, channels, framing, place)
        if framing.fast and isinstance(contents, bytes) and size is not None:
            known = quick_header(contents)
            if known is not None and known.pixels <= LARGE:  # of too many Pillow warns
                with _pixels.holding(known.pixels):
                    return jpeg(contents, known, size, channels, framing, place)
        opened = Image.open(io.BytesIO(contents) if isinstance(contents, bytes) else contents, formats=IMAGE_FORMATS)
        warn_of_pages(opened, contents, str(file))
        count = opened.width * opened.height
        with _pixels.holding(count):
            with opened:
                pixels = of_picture(opened, contents, size, channels, framing, place)
            del opened
            if count > LARGE:
                _give_back_memory()
        return pixels


def is_grey(file: Path) -> bool:
    """Returns whether a picture is grey according to its file, which must be decodable."""
    from PIL import Image

    with Image.open(file, formats=IMAGE_FORMATS) as picture:
        return Image.getmodebase(picture.mode) == "L"


def of_picture(
    picture: "Image",
    file: Path | bytes,
    size: Size | None,
    channels: int,
    framing: Framing,
    place: Place | None,
) -> Numbers:
    """Returns an opened picture, which it may turn upright, as `decode_one` does; `file` is its file or contents."""
    from PIL import Image, ImageOps

    data = file if framing.fast and isinstance(file, bytes) else None
    if data is not None and size is not None:
        known = header(picture)
        if known is not None:
            return jpeg(data, known, size, channels, framing, place)
    depth = Depth(picture)
    ImageOps.exif_transpose(picture, in_place=True)
    if framing.is_deep:
        planes = planes_of(picture, depth, channels, framing, file)
        if planes is not None:
            return resize_planes(planes, size, framing, place)
    picture = depth.to_eight_bits(picture)
    picture = picture.convert("RGB") if picture.mode == "LAB" else picture  # Pillow knows no other way to grey
    mode = MODES[channels]
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture if (picture.mode, channels) in (("RGBA", channels), ("LA", 2)) else picture.convert("RGBA")
        if channels in (1, 3):
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    elif channels in (2, 4) and picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    if picture.mode != mode:
        picture = picture.convert(mode)
    if data is not None and size is not None:
        return resize_pixels(np.array(picture).reshape(picture.height, picture.width, channels), size, framing, place)
    if framing.depth != 8:
        planes = np.asarray(picture, dtype=np.float32) / np.float32(255)
        return resize_planes(planes.reshape(picture.height, picture.width, channels), size, framing, place)
    if size is not None:
        picture = frame_picture(picture, size, framing, place)
    return np.array(picture).reshape(picture.height, picture.width, channels).transpose(2, 0, 1)


def _of_array(file: Path | bytes, size: Size | None, channels: int, framing: Framing, place: Place | None) -> Numbers:
    """Returns the picture of a .npy file, or of the contents of one, as `decode_one` does."""
    with _pixels.holding((len(file) if isinstance(file, bytes) else file.stat().st_size) // 4):
        return resize_planes(in_channels(read_array(file, framing), channels), size, framing, place)


def _give_back_memory() -> None:
    """Returns freed memory to the system: glibc keeps the memory of each thread's largest picture."""
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def resize_all(pixels: NDArray[np.uint8], size: Size, framing: Framing = USUAL) -> NDArray[np.uint8]:
    """Maps (N, h, w, 1 or 3) uint8 -> (N, C, H, W) with antialiasing; by torch under the default framing."""
    import torch
    from torch.nn import functional as F

    wanted = height_and_width(size)
    if not framing.is_usual:
        from PIL import Image

        pictures = (Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image) for image in pixels)
        stack = np.stack([np.array(frame_picture(picture, size, framing)) for picture in pictures])
        return np.ascontiguousarray(stack.reshape(len(stack), *wanted, -1).transpose(0, 3, 1, 2))
    top, left, height, width = central_part(pixels.shape[1], pixels.shape[2], size)
    images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)[..., top : top + height, left : left + width])
    if images.shape[-2:] == wanted:
        return images
    resized = [
        F.interpolate(part.float(), wanted, mode="bicubic", antialias=True).round_().clamp_(0, 255).to(torch.uint8)
        for part in torch.from_numpy(images).split(4096)
    ]
    result: NDArray[np.uint8] = torch.cat(resized).numpy()
    return result
