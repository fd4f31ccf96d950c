"""Residual quantization: each level quantizes the residual of the levels before it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gen_experiments import randomness
from gen_experiments.errors import UserError, check_interval
from gen_experiments.quantizers.base import CountsSteps, Quantized, Quantizer
from gen_experiments.quantizers.ema import EMAQuantizer
from gen_experiments.quantizers.estimators import Estimator, StraightThrough
from gen_experiments.randomness import Stream

MAX_LEVELS = 64

QuantizerFactory = Callable[[], Quantizer]


class ResidualQuantizer(CountsSteps, Quantizer):
    """Sums the values of several quantizers, each given the residual of those before (https://arxiv.org/abs/2107.03312).

    The loss is the sum of the levels' losses. The estimator is applied once, to latents and sum, so that a straight
    gradient is one whatever the depth.

    Shapes: (B, D, h, w) latents -> (B, D, h, w) values, (B, depth, h, w) indices, the coarsest level first; (B, h, w)
    at a depth of 1.

    Args:
        quantizer: makes the quantizer of a level, itself of one level.
        depth: number of levels; in [1, 64].
        shared: whether all levels use one quantizer, which learns from each level in turn.
        scale: each level divides its residual by one more factor of `scale`, and multiplies its values by it: for
            quantizers of fixed range, such as FSQ, and for shared codebooks; > 0.
        dropout: share of the training images of which only the first n levels are used, n uniform in [1, depth], so
            that every number of levels can be decoded; in [0, 1].
        estimator: the gradient of the latents; None is straight through.

    Raises:
        UserError: a number out of range, a quantizer of several levels, or one with another estimator than straight
            through, which would have no effect.
    """

    def __init__(
        self,
        quantizer: QuantizerFactory = EMAQuantizer,
        depth: int = 4,
        shared: bool = False,
        scale: float = 1.0,
        dropout: float = 0.0,
        estimator: Estimator | None = None,
    ) -> None:
        super().__init__()
        check_interval(f"[1, {MAX_LEVELS}]", depth=depth)
        check_interval("(0, inf)", scale=scale)
        check_interval("[0, 1]", dropout=dropout)
        self.stages = nn.ModuleList(quantizer() for _ in range(1 if shared else depth))
        first = self._stage(0)
        if not first.is_single:
            raise UserError(
                f"the levels of a residual quantizer must be single, but {type(first).__name__} has several"
            )
        of_level = getattr(first, "estimator", None)
        if not isinstance(of_level, StraightThrough | None):
            raise UserError(
                f"the gradient passes the sum of the levels: give {type(of_level).__name__} to the estimator of the "
                "residual quantizer, not to that of its levels"
            )
        self.dim = first.dim
        self.codebook_size = first.codebook_size
        self.depth = depth
        self.scale = scale
        self.dropout = dropout
        self.estimator = estimator or StraightThrough()

    def forward(self, z: Tensor) -> Quantized:
        """Maps (B, D, h, w) latents -> the sum of the levels' values."""
        z32 = z.float()
        levels = self._levels_used(z32)
        total = values = torch.zeros_like(z32)
        loss = z32.new_zeros(())
        indices = []
        for level in range(self.depth):
            scale = self.scale**level
            quantized = self._stage(level)((z32 - total) / scale)
            part = scale * quantized.values.detach()
            total = total + part
            values = total if levels is None else torch.where(level < levels, total, values)
            loss = loss + quantized.loss
            indices.append(quantized.indices)
        self.steps += self.training
        values = self.estimator(z32.movedim(1, -1), values.movedim(1, -1)).movedim(-1, 1)
        return Quantized(values.to(z.dtype), torch.stack(indices, 1) if self.depth > 1 else indices[0], loss)

    def decode(self, indices: Tensor) -> Tensor:
        """Maps (B, n, h, w) int64, the first n levels, -> (B, D, h, w) float32; (B, h, w) at a depth of 1."""
        levels = indices.unbind(1) if self.depth > 1 else (indices,)
        parts = [self.scale**level * self._stage(level).decode(codes) for level, codes in enumerate(levels)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _stage(self, level: int) -> Quantizer:
        stage = self.stages[level % len(self.stages)]
        assert isinstance(stage, Quantizer)
        return stage

    def _levels_used(self, z: Tensor) -> Tensor | None:
        """Returns (B, 1, 1, 1), how many levels each image keeps; None if all keep all."""
        if not self.training or self.dropout == 0:
            return None
        rng = randomness.generator(z.device, randomness.run_seed(), Stream.DROPOUT, self.steps)
        dropped = randomness.rand_rows(z.shape[0], rng=rng) < self.dropout
        levels = 1 + randomness.randint_rows(z.shape[0], self.depth, rng)
        return torch.where(dropped, levels, self.depth)[:, None, None, None]
