"""From files to pixels."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gen_experiments.errors import UserError


def decode_all(files: Sequence[Path], size: int, channels: int) -> NDArray[np.uint8]:
    """Decodes pictures of any size, mode and format to (N, channels, size, size) uint8.

    Raises:
        UserError: a file is no picture or is cut short; its path is named.
    """
    images = np.empty((len(files), channels, size, size), dtype=np.uint8)

    def decode(number: int) -> None:
        images[number] = decode_one(files[number], size, channels)

    # Pillow lets go of the interpreter while it decodes and resizes.
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(decode, range(len(files))):
            pass
    return images


def decode_one(file: Path, size: int, channels: int) -> NDArray[np.uint8]:
    """One picture as (channels, size, size) uint8: upright, its central square, on white where it is transparent."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode in ("I", "I;16", "I;16B", "I;16L"):
                picture = Image.fromarray((np.asarray(picture, dtype=np.float64) / 257).clip(0, 255).astype(np.uint8))
            if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
                ground = Image.new("RGBA", picture.size, "white")
                picture = Image.alpha_composite(ground, picture.convert("RGBA"))
            picture = picture.convert("RGB" if channels == 3 else "L")
            if picture.size != (size, size):
                picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be decoded ({error}): mend or remove it") from error
    return np.asarray(picture).reshape(size, size, channels).transpose(2, 0, 1)


def resize_all(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """(N, H, H, C) uint8 -> (N, C, size, size), bicubic, with antialiasing where it shrinks."""
    import torch
    from torch.nn import functional as F

    images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    if images.shape[-1] == size:
        return images
    resized = [
        F.interpolate(part.float(), (size, size), mode="bicubic", antialias=True)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for part in torch.from_numpy(images).split(4096)
    ]
    result: NDArray[np.uint8] = torch.cat(resized).numpy()
    return result
