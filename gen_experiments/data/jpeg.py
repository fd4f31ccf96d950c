"""JPEG compression as a kind of damage, computed with tensors on any device."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from gen_experiments.data.damage import Damage, check_range, draw_strength
from gen_experiments.randomness import uniform_of

BLOCK = 8
# Annex K of the standard (ITU-T T.81), for luminance and chrominance.
LUMINANCE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMINANCE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *((99,) * BLOCK,) * 4,
)
# JFIF: Y, Cb − 128 and Cr − 128 of R, G and B.
TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


class JPEG(Damage):
    """The loss of JPEG: chroma of half the resolution, and rounded frequencies of 8×8 blocks (ITU-T T.81).

    Args:
        quality: on the Independent JPEG Group's scale, in [1, 100].

    Raises:
        UserError: a number out of range.
    """

    strength = "quality"
    of_colours = True

    def __init__(self, quality: tuple[float, float] = (10.0, 50.0)) -> None:
        check_range("[1, 100]", quality=quality)
        self.quality = quality

    def __call__(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Returns the images after compression and decompression."""
        quality = draw_strength(self.quality, uniform_of(seeds)).round()
        return compress((images + 1) * 127.5, quality) / 127.5 - 1


def compress(pixels: Tensor, quality: Tensor) -> Tensor:
    """Returns (B, C, H, W) pixels on a [0, 255] scale after JPEG of (B, 1, 1, 1) qualities in [1, 100]."""
    # The Independent JPEG Group's scale of the tables, in per cent.
    scale = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality)
    if pixels.shape[1] == 1:
        return (_quantize(pixels.round() - 128, LUMINANCE, scale) + 128).clamp(0, 255)
    height, width = pixels.shape[-2:]
    luma, *chroma = torch.einsum("ij,bjhw->bihw", pixels.new_tensor(TO_YCC), pixels).round().split(1, dim=1)
    parts = [_quantize(luma - 128, LUMINANCE, scale) + 128]
    for part in chroma:
        even = F.pad(part, (0, width % 2, 0, height % 2), mode="replicate")
        halved = _quantize(F.avg_pool2d(even, 2).round(), CHROMINANCE, scale)
        parts.append(F.interpolate(halved, scale_factor=2, mode="bilinear")[..., :height, :width])
    rgb = torch.einsum("ij,bjhw->bihw", pixels.new_tensor(TO_RGB), torch.cat(parts, dim=1))
    return rgb.round().clamp(0, 255)


def _quantize(plane: Tensor, base: tuple[tuple[int, ...], ...], scale: Tensor) -> Tensor:
    """Returns a (B, 1, H, W) plane whose blocks' frequencies are multiples of the scaled table's steps."""
    height, width = plane.shape[-2:]
    padded = F.pad(plane, (0, -width % BLOCK, 0, -height % BLOCK), mode="replicate")
    blocks = padded.unfold(2, BLOCK, BLOCK).unfold(3, BLOCK, BLOCK)  # (B, 1, rows, columns, 8, 8)
    steps = ((plane.new_tensor(base) * scale + 50) / 100).floor().clamp(1, 255)[:, :, None, None].squeeze(1)
    dct = _dct(plane.device)
    frequencies = dct @ blocks @ dct.T
    blocks = dct.T @ ((frequencies / steps[:, None]).round() * steps[:, None]) @ dct
    whole = blocks.transpose(3, 4).reshape(padded.shape)
    return whole[..., :height, :width].round()


def _dct(device: torch.device) -> Tensor:
    """Returns the matrix of the orthonormal discrete cosine transform of 8 values."""
    places = torch.arange(BLOCK, device=device, dtype=torch.float32)
    matrix = torch.cos(math.pi / BLOCK * places[:, None] * (places + 0.5)) * math.sqrt(2 / BLOCK)
    matrix[0] = math.sqrt(1 / BLOCK)
    return matrix
