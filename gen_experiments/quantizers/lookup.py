"""Quantizers that look latents up in a table of codes."""

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor

from gen_experiments.errors import check_interval
from gen_experiments.quantizers.base import MAX_CODES, Quantized, Quantizer
from gen_experiments.quantizers.estimators import Estimator, StraightThrough
from gen_experiments.quantizers.nearest import nearest

MAX_CHANNELS = 2**16


class LookupQuantizer(Quantizer):
    """Replaces every latent by its nearest code; the base of all quantizers with a table of codes.

    It computes in float32 under any autocast and returns values in the latents' dtype.

    Args:
        num_codes: K; in [1, 2^24].
        dim: D; in [1, 2^16].
        commitment: β, the weight of mean((z − sg(e))²), which draws the latents to their codes; >= 0.
        estimator: the gradient of the latents; None is straight through.
        cosine: whether latents and codes are normalised to length one, so that the nearest code has the largest cosine
            (https://arxiv.org/abs/2110.04627).

    Raises:
        UserError: a number out of range.
    """

    def __init__(self, num_codes: int, dim: int, commitment: float, estimator: Estimator | None, cosine: bool) -> None:
        super().__init__()
        check_interval(f"[1, {MAX_CODES}]", num_codes=num_codes)
        check_interval(f"[1, {MAX_CHANNELS}]", dim=dim)
        check_interval("[0, inf)", commitment=commitment)
        self.codebook_size = num_codes
        self.dim = dim
        self.commitment = commitment
        self.estimator = estimator or StraightThrough()
        self.cosine = cosine

    @abstractmethod
    def codes(self) -> Tensor:
        """Returns the (K, D) float32 table."""

    def forward(self, z: Tensor) -> Quantized:
        """Maps (B, D, h, w) latents -> their nearest codes."""
        with torch.autocast(z.device.type, enabled=False):
            grid = z.float().movedim(1, -1)
            rows = self._project(grid.flatten(0, -2))
            indices, codes = self._look_up(rows)
            loss = self._loss(rows, codes)
            values = self.estimator(rows, codes).reshape(grid.shape).movedim(-1, 1)
        return Quantized(values.to(z.dtype), indices.reshape(grid.shape[:-1]), loss)

    def decode(self, indices: Tensor) -> Tensor:
        """Maps (B, h, w) int64 -> (B, D, h, w) float32."""
        with torch.autocast(indices.device.type, enabled=False):
            return F.embedding(indices, self.codes()).movedim(-1, 1)

    def _look_up(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (N, D) latents -> the (N,) indices of their nearest codes, and the (N, D) codes."""
        table = self.codes()
        indices = nearest(rows.detach(), table.detach())
        return indices, F.embedding(indices, table)

    def _loss(self, rows: Tensor, codes: Tensor) -> Tensor:
        """Returns the term of (N, D) latents and their codes in the training loss."""
        return self.commitment * F.mse_loss(rows, codes.detach())

    def _project(self, rows: Tensor) -> Tensor:
        """Maps (N, D) latents or codes to the set of allowed codes."""
        return F.normalize(rows, dim=-1) if self.cosine else rows
