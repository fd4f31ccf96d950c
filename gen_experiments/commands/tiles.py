"""Applies a network to pictures of any size: in overlapping tiles, without seams."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from gen_experiments.sizes import Size, height_and_width

BATCH = 16


def apply_in_tiles(network: Callable[[Tensor], Tensor], image: Tensor, size: Size) -> Tensor:
    """Applies a network to a picture in tiles that overlap by half, and blends the results.

    The weight of a tile is largest in its middle and almost zero at its border, where it lacks the surroundings, so
    that neighbouring tiles blend over half a tile. The picture is padded by mirroring.

    Args:
        network: maps (B, C, h, w) -> the same shape.
        image: (C, H, W) in [-1, 1].
        size: the size of a tile; its sides are even.

    Returns:
        (C, H, W).
    """
    height, width = image.shape[-2:]
    tile_height, tile_width = height_and_width(size)
    down, right = tile_height // 2, tile_width // 2
    # One step more on every side, so that each pixel lies in four tiles, then up to whole steps.
    padded = _mirror(image[None], [right, right + -width % right, down, down + -height % down])
    rows, columns = (range(0, padded.shape[-2 + axis] - 2 * step + 1, step) for axis, step in enumerate((down, right)))
    corners = [(top, left) for top in rows for left in columns]
    ramps = [(torch.arange(2 * step, device=image.device) + 0.5) / step for step in (down, right)]
    of_rows, of_columns = (torch.minimum(ramp, 2 - ramp) for ramp in ramps)
    weights = of_rows[:, None] * of_columns
    total = torch.zeros_like(padded)
    for start in range(0, len(corners), BATCH):
        part = corners[start : start + BATCH]
        outputs = network(
            torch.cat([padded[..., top : top + tile_height, left : left + tile_width] for top, left in part])
        )
        for (top, left), tile in zip(part, outputs, strict=True):
            total[0, :, top : top + tile_height, left : left + tile_width] += weights * tile
    # The weights of the tiles over a pixel add up to one.
    return total[0, :, down : down + height, right : right + width]


def _mirror(images: Tensor, padding: list[int]) -> Tensor:
    """Pads by mirroring, also by more than the picture's width."""
    while any(padding):
        limits = [images.shape[-1] - 1] * 2 + [images.shape[-2] - 1] * 2
        now = [min(wanted, limit) for wanted, limit in zip(padding, limits, strict=True)]
        if not any(now):
            return F.pad(images, padding, mode="replicate")
        images = F.pad(images, now, mode="reflect")
        padding = [wanted - done for wanted, done in zip(padding, now, strict=True)]
    return images
