"""What all explicit codebooks share: nearest codes, the k-means start, the revival of dead codes."""

import warnings
from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F

from gen_experiments import distributed, randomness
from gen_experiments.errors import UserError
from gen_experiments.quantizers.base import Quantized, Quantizer
from gen_experiments.quantizers.estimators import Estimator, straight_through
from gen_experiments.quantizers.nearest import nearest, sums_by_code

START_STREAM, REVIVAL_STREAM = 11, 12
LLOYD_STEPS = 10


class CodebookQuantizer(Quantizer):
    """A table of codes of which each latent takes the nearest.

    The codes start as the k-means of the first training batch of all processes, and a code that is hardly used is set
    onto a latent of the current batch, the same one on every process.

    Args:
        num_codes: K.
        dim: D, the channels of latents and codes.
        commitment: β, the weight of mean ‖z − sg(e)‖².
        decay: γ of the moving averages of hits, and of codes where they are averages, per training step.
        kmeans_start: start from the first batch; otherwise from N(0, 1/D).
        revive_below: share of the mean number of hits below which a code is replaced; 0 for never.
        estimator: how the gradient passes; None is straight through.

    Raises:
        UserError: a size or rate that makes no sense.
    """

    codes: Tensor
    hits: Tensor

    def __init__(
        self,
        num_codes: int,
        dim: int,
        commitment: float,
        decay: float,
        kmeans_start: bool,
        revive_below: float,
        estimator: Estimator | None,
    ) -> None:
        super().__init__()
        if num_codes < 1 or dim < 1 or not 0 <= decay < 1 or revive_below < 0:
            raise UserError(
                "a codebook needs num_codes >= 1, dim >= 1, 0 <= decay < 1 and revive_below >= 0, "
                f"not {num_codes}, {dim}, {decay} and {revive_below}"
            )
        self.codebook_size, self.dim = num_codes, dim
        self.commitment, self.decay, self.revive_below = commitment, decay, revive_below
        self.estimator = estimator or straight_through
        self.register_buffer("hits", torch.ones(num_codes))
        self._started, self._steps = not kmeans_start, 0

    def get_extra_state(self) -> Tensor:
        """Whether the codes have started, and the training steps: what must not be forgotten when resuming."""
        return torch.tensor([int(self._started), self._steps])

    def set_extra_state(self, state: Tensor) -> None:
        """Takes them from a checkpoint, so that codes that were loaded are not started anew."""
        started, self._steps = state.tolist()
        self._started = bool(started)

    def forward(self, z: Tensor) -> Quantized:
        """Quantizes (B, D, h, w) latents, in float32 whatever the autocast."""
        with torch.autocast(z.device.type, enabled=False):
            rows = z.movedim(1, -1).reshape(-1, self.dim).float()
            if self.training and not self._started:
                self._start(rows.detach())
            indices = nearest(rows, self.codes)
            codes = F.embedding(indices, self.codes)
            loss = self.commitment * F.mse_loss(rows, codes.detach()) + self._code_loss(rows.detach(), codes)
            values = self.estimator(rows, codes)
            if self.training:
                self._learn(rows.detach(), indices)
        shape = (z.shape[0], *z.shape[2:])
        return Quantized(values.reshape(*shape, self.dim).movedim(-1, 1).to(z.dtype), indices.reshape(shape), loss)

    def decode(self, indices: Tensor) -> Tensor:
        """(B, h, w) int64 -> (B, D, h, w)."""
        return F.embedding(indices, self.codes).movedim(-1, 1)

    @abstractmethod
    def _code_loss(self, rows: Tensor, codes: Tensor) -> Tensor | float:
        """What draws codes to their latents by gradient."""

    @abstractmethod
    def _move(self, hits: Tensor, sums: Tensor) -> None:
        """Moves the codes after a step in which they got `hits` (K,) latents that sum to `sums` (K, D)."""

    @abstractmethod
    def _place(self, chosen: Tensor, codes: Tensor, hits: Tensor | float) -> None:
        """Sets the codes where `chosen` (K,) is true to `codes` (K, D), as if each had `hits`."""

    @torch.no_grad()
    def _learn(self, rows: Tensor, indices: Tensor) -> None:
        hits, sums = sums_by_code(rows, indices, self.codebook_size)
        hits, sums = distributed.all_reduce_sum(hits), distributed.all_reduce_sum(sums)
        self.hits.mul_(self.decay).add_(hits, alpha=1 - self.decay)
        self._move(hits, sums)
        if self.revive_below > 0:
            least = self.revive_below * rows.shape[0] * distributed.world_size() / self.codebook_size
            source = self._source(REVIVAL_STREAM)
            chosen = torch.randint(rows.shape[0] * distributed.world_size(), (self.codebook_size,), generator=source)
            dead = self.hits < least
            self._place(dead, _global_rows(rows, chosen), least)
            self.hits.masked_fill_(dead, least)
        self._steps += 1

    @torch.no_grad()
    def _start(self, rows: Tensor) -> None:
        """k-means of the batches of all processes; a cluster that becomes empty keeps its mean."""
        total = rows.shape[0] * distributed.world_size()
        source = self._source(START_STREAM)
        chosen = torch.randperm(total, generator=source)[: self.codebook_size]
        codes = _global_rows(rows, chosen)
        if total < self.codebook_size:
            warnings.warn(
                f"the first batch has {total} latents for {self.codebook_size} codes: the others start beside them",
                stacklevel=2,
            )
            codes = codes.repeat(-(-self.codebook_size // total), 1)[: self.codebook_size]
            codes += 0.01 * codes.std() * torch.randn(codes.shape, generator=source).to(codes)
        for _ in range(LLOYD_STEPS):
            hits, sums = sums_by_code(rows, nearest(rows, codes), self.codebook_size)
            hits, sums = distributed.all_reduce_sum(hits), distributed.all_reduce_sum(sums)
            codes = torch.where(hits[:, None] > 0, sums / hits[:, None].clamp_min(1), codes)
        hits, _ = sums_by_code(rows, nearest(rows, codes), self.codebook_size)
        # A code without any latent counts as one with its mean, or its average would fall to zero.
        hits = distributed.all_reduce_sum(hits).clamp_min(1)
        self._place(torch.ones_like(hits, dtype=torch.bool), codes, hits)
        self.hits.copy_(hits)
        self._started = True

    def _source(self, stream: int) -> torch.Generator:
        """The same draws on all processes; on the CPU, so that the device changes nothing."""
        return randomness.generator("cpu", randomness.run_seed(), stream, self._steps)


def _global_rows(rows: Tensor, chosen: Tensor) -> Tensor:
    """Rows of all processes' (N, D) in rank order, by number: each gives those it has, and the sum has all."""
    own = chosen.to(rows.device) - distributed.rank() * rows.shape[0]
    here = (own >= 0) & (own < rows.shape[0])
    return distributed.all_reduce_sum(rows[own.clamp(0, rows.shape[0] - 1)] * here[:, None])
