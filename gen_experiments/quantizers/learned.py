"""Codebooks that follow the data: k-means start, revival of dead codes."""

from abc import abstractmethod

import torch
from torch import Tensor

from gen_experiments import distributed, randomness
from gen_experiments.errors import UserError
from gen_experiments.quantizers import codebook
from gen_experiments.quantizers.estimators import Estimator
from gen_experiments.quantizers.lookup import LookupQuantizer

# First words after the seed in the keys of this module's random streams.
START_STREAM, REVIVAL_STREAM = 11, 12


class LearnedCodebook(LookupQuantizer):
    """A table of codes that starts from the first training batch and replaces codes which nothing uses.

    Both draw from the global batch by keys of (seed, purpose, step), so that all processes, and a run that was resumed,
    draw the same. Every training batch counts as a step, and the count is part of the state_dict: a codebook that was
    loaded goes on as it is, without a new start.

    Args:
        num_codes: K; >= 1.
        dim: D.
        decay: of the average of hits a step; in [0, 1).
        commitment: β; >= 0.
        estimator: how the gradient reaches the latents; None is straight through.
        cosine: whether latents and codes are brought to length one.
        kmeans_start: whether the codes start as the k-means of the first training batch.
        revive_below: a code whose average of hits falls below this share of the hits that it would have if all codes
            were used equally is put onto a random latent of the batch; >= 0, 0 never does.

    Attributes:
        hits: (K,), the average of hits a step, over all processes.
        steps: training batches seen.
    """

    hits: Tensor

    def __init__(
        self,
        num_codes: int,
        dim: int,
        decay: float,
        commitment: float,
        estimator: Estimator | None,
        cosine: bool,
        kmeans_start: bool,
        revive_below: float,
    ) -> None:
        super().__init__(num_codes, dim, commitment, estimator, cosine)
        if not 0 <= decay < 1:
            raise UserError(f"the decay of a codebook's averages must lie in [0, 1), not {decay}")
        if revive_below < 0:
            raise UserError(f"revive_below must not be negative, but is {revive_below}; 0 never revives a code")
        self.decay = decay
        self.kmeans_start = kmeans_start
        self.revive_below = revive_below
        self.steps = 0
        self.register_buffer("hits", torch.ones(num_codes))

    def get_extra_state(self) -> Tensor:
        """The steps, as a tensor: a number that needs no device to be read."""
        return torch.tensor(self.steps)

    def set_extra_state(self, state: Tensor) -> None:
        """Takes the steps."""
        self.steps = int(state)

    def _initial(self) -> Tensor:
        """(K, D) codes for as long as there are no data."""
        return self._project(torch.empty(self.codebook_size, self.dim).uniform_(-1, 1) / self.codebook_size)

    @torch.no_grad()
    def _prepare(self, rows: Tensor) -> None:
        if self.steps == 0 and self.kmeans_start:
            means, counts = codebook.kmeans(rows, self.codebook_size, self._source(START_STREAM, rows), self._project)
            # A cluster without rows would have a code of no weight, which the averages could not keep.
            self._replace(counts >= 0, means, counts.clamp(min=1.0))
        elif self.revive_below > 0:
            share = rows.shape[0] * distributed.world_size() / self.codebook_size
            least = torch.full_like(self.hits, self.revive_below * share)
            drawn = codebook.draw(rows, self.codebook_size, self._source(REVIVAL_STREAM, rows))
            self._replace(self.hits < least, drawn, least)

    @torch.no_grad()
    def _learn(self, rows: Tensor, indices: Tensor) -> None:
        self._follow(rows, indices)
        self.steps += 1

    def _source(self, stream: int, rows: Tensor) -> torch.Generator:
        return randomness.generator(rows.device, randomness.run_seed(), stream, self.steps)

    @abstractmethod
    def _replace(self, chosen: Tensor, codes: Tensor, hits: Tensor) -> None:
        """Where (K,) `chosen` is true, puts the (K, D) `codes` with (K,) `hits` in place of what was learned."""

    @abstractmethod
    def _follow(self, rows: Tensor, indices: Tensor) -> None:
        """Learns from (N, D) latents and their (N,) codes."""
