"""Finite scalar quantization: every channel rounded to a few values."""

import math

import torch
from torch import Tensor

from gen_experiments.errors import UserError
from gen_experiments.quantizers.base import MAX_CODES, Quantized, Quantizer
from gen_experiments.quantizers.estimators import straight_through


class FSQ(Quantizer):
    """Bounds each channel and rounds it to L values, without learning (https://arxiv.org/abs/2309.15505, appendix A.1).

    With h = (L−1)(1−10⁻³)/2 and o = ½ for even L, else 0: y = h·tanh(z + tan(o/h)) − o, and the value is
    round(y)/⌊L/2⌋, straight through the rounding. The index has round(y) + ⌊L/2⌋ as its digits in the mixed basis
    1, L₁, L₁L₂, …. There is no loss.

    Shapes: (B, D, h, w) latents -> (B, D, h, w) values in [-1, 1], (B, h, w) indices in [0, ∏L).

    Args:
        levels: L of each of the D channels; all >= 2. The paper takes [8, 6, 5] for 2^8 codes, [8, 5, 5, 5] for 2^10,
            [7, 5, 5, 5, 5] for 2^12, [8, 8, 8, 6, 5] for 2^14 and [8, 8, 8, 5, 5, 5] for 2^16.

    Raises:
        UserError: no channels, fewer than two levels in one, or more than 2^24 codes.
    """

    sizes: Tensor
    basis: Tensor

    def __init__(self, levels: tuple[int, ...] = (8, 5, 5, 5)) -> None:
        super().__init__()
        if not levels or min(levels) < 2 or math.prod(levels) > MAX_CODES:
            raise UserError(
                f"FSQ needs two levels or more in every channel and at most 2^24 codes, not levels={list(levels)}"
            )
        self.dim = len(levels)
        self.codebook_size = math.prod(levels)
        basis = [math.prod(levels[:channel]) for channel in range(self.dim)]
        self.register_buffer("sizes", torch.tensor(levels), persistent=False)
        self.register_buffer("basis", torch.tensor(basis), persistent=False)

    def forward(self, z: Tensor) -> Quantized:
        """Maps (B, D, h, w) latents -> their roundings."""
        z32 = z.float().movedim(1, -1)
        half = (self.sizes.float() - 1) * (1 - 1e-3) / 2
        offset = 0.5 * (self.sizes % 2 == 0)
        bounded = torch.tanh(z32 + torch.tan(offset / half)) * half - offset
        rounded = bounded.detach().round()
        width = self.sizes // 2
        values = (straight_through(bounded, rounded) / width).movedim(-1, 1)
        indices = ((rounded.long() + width) * self.basis).sum(-1)
        return Quantized(values.to(z.dtype), indices, z32.new_zeros(()))

    def decode(self, indices: Tensor) -> Tensor:
        """Maps (B, h, w) int64 -> (B, D, h, w) float32."""
        width = self.sizes // 2
        digits = indices[..., None] // self.basis % self.sizes
        return ((digits - width).float() / width).movedim(-1, 1)
