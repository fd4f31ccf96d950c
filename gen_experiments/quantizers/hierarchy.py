"""Two levels of codes: a coarse grid for large structures, a fine grid for details."""

import math

import torch
from torch import Tensor, nn

from gen_experiments.errors import UserError
from gen_experiments.quantizers.base import Quantized, Quantizer


class HierarchicalQuantizer(Quantizer):
    """The two levels of VQ-VAE-2 (https://arxiv.org/abs/1906.00446) as one quantizer, for any encoder and decoder.

    The latents are halved once more to the top grid and quantized there; the bottom grid quantizes the latents together
    with the values of the top. The result is the sum of both values; a transposed convolution brings the top's to the
    bottom's grid (the paper concatenates them, and the decoder's first convolution sums them). The convolutions between
    the levels follow autocast, the quantizers do not.

    Shapes: (B, D, h, w) latents -> (B, D, h, w) values and (B, hw/4 + hw) indices: the top's row by row, then the
    bottom's. h and w must be even; `decode` takes square grids, `decode_grid` all.

    Args:
        top: quantizes the coarse grid.
        bottom: quantizes the fine grid; of the same latent channels and codebook size.

    Raises:
        UserError: channels or codebook sizes differ, or a quantizer has several levels.
    """

    def __init__(self, top: Quantizer, bottom: Quantizer) -> None:
        super().__init__()
        if not (top.is_single and bottom.is_single):
            raise UserError("the two levels of a hierarchy must be single quantizers, not ones of several levels")
        if (top.dim, top.codebook_size) != (bottom.dim, bottom.codebook_size):
            raise UserError(
                "the two levels of a hierarchy need quantizers of equal dim and codebook size, not "
                f"{top.dim} and {bottom.dim} channels, {top.codebook_size} and {bottom.codebook_size} codes"
            )
        self.top, self.bottom = top, bottom
        self.dim = dim = top.dim
        self.codebook_size = top.codebook_size
        self.down = nn.Sequential(nn.ReLU(), nn.Conv2d(dim, dim, 4, stride=2, padding=1))
        self.up = nn.ConvTranspose2d(dim, dim, 4, stride=2, padding=1)
        self.joined = nn.Conv2d(2 * dim, dim, 1)

    def grids(self, height: int, width: int) -> tuple[tuple[int, int], ...]:
        """Returns the top's grid and the bottom's."""
        return (height // 2, width // 2), (height, width)

    def forward(self, z: Tensor) -> Quantized:
        """Maps (B, D, h, w) latents -> both levels.

        Raises:
            UserError: h or w is odd.
        """
        if z.shape[-2] % 2 or z.shape[-1] % 2:
            raise UserError(
                f"a hierarchy halves its grid of {z.shape[-2]}x{z.shape[-1]} codes once more: "
                "choose an image size or a number of downsamplings that makes it even"
            )
        coarse = self.top(self.down(z))
        raised = self.up(coarse.values)
        fine = self.bottom(self.joined(torch.cat([z, raised], dim=1)))
        indices = torch.cat([coarse.indices.flatten(1), fine.indices.flatten(1)], dim=1)
        return Quantized(fine.values + raised, indices, coarse.loss + fine.loss)

    def decode(self, indices: Tensor) -> Tensor:
        """Maps (B, hw/4 + hw) int64, of a square grid, -> (B, D, h, w)."""
        side = 2 * math.isqrt(indices.shape[1] // 5)
        return self.decode_grid(indices, side, side)

    def decode_grid(self, indices: Tensor, height: int, width: int) -> Tensor:
        """Maps (B, hw/4 + hw) int64, of a grid of height x width, -> (B, D, h, w)."""
        of_top, of_bottom = self.grids(height, width)
        coarse = self.top.decode(indices[:, : math.prod(of_top)].unflatten(1, of_top))
        fine = self.bottom.decode(indices[:, math.prod(of_top) :].unflatten(1, of_bottom))
        values: Tensor = fine + self.up(coarse)
        return values
