"""Codebooks that follow the data: k-means start, revival of dead codes, online clustering."""

from abc import abstractmethod

import torch
from torch import Tensor

from gen_experiments import distributed, randomness
from gen_experiments.errors import check_interval
from gen_experiments.quantizers import codebook
from gen_experiments.quantizers.base import CountsSteps
from gen_experiments.quantizers.estimators import Estimator
from gen_experiments.quantizers.lookup import LookupQuantizer
from gen_experiments.randomness import Stream


class LearnedCodebook(CountsSteps, LookupQuantizer):
    """A table of codes that starts from the first training batch and replaces unused codes.

    Both draw from the global batch by keys of (seed, purpose, step), so that all processes and a resumed run draw the
    same. Every training batch counts as a step, except a first one without any finite latent, which changes nothing.
    The count is part of the state_dict: a loaded codebook does not start anew.

    Args and errors as for `EMAQuantizer`. Online clustering (CVQ, https://arxiv.org/abs/2307.15139) moves a code e to
    (1−α)e + α·latent, where α = exp(−10·K·p/(1−decay) − 10⁻³) and p is the code's average share of the hits.

    Attributes:
        hits: (K,), the average of hits per step, over all processes; initially that of equal use, at least 1.
        revived: how many codes were revived since `take_revived` was last called, a scalar.
    """

    hits: Tensor
    revived: Tensor

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
        online_clustering: bool,
    ) -> None:
        super().__init__(num_codes, dim, commitment, estimator, cosine)
        check_interval("[0, 1)", decay=decay)
        check_interval("[0, inf)", revive_below=revive_below)
        self.decay = decay
        self.kmeans_start = kmeans_start
        self.revive_below = revive_below
        self.online_clustering = online_clustering
        self.register_buffer("hits", torch.ones(num_codes))
        self.register_buffer("revived", torch.zeros(()), persistent=False)

    def take_revived(self) -> Tensor:
        """Returns how many codes were revived since the last call, a scalar; a code revived twice counts twice."""
        revived = self.revived.clone()
        self.revived.zero_()
        return revived

    def _initial(self) -> Tensor:
        """Returns the initial (K, D) codes."""
        return self._project(torch.empty(self.codebook_size, self.dim).uniform_(-1, 1) / self.codebook_size)

    def _look_up(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """In training, replaces codes before (N, D) latents are looked up, and learns from what was found."""
        if not self.training:
            return super()._look_up(rows)
        latents = rows.detach()
        self._start_or_revive(latents)
        indices, codes = super()._look_up(rows)
        if self.steps > 0:
            with torch.no_grad():
                self._update(latents, indices)
        return indices, codes

    @torch.no_grad()
    def _start_or_revive(self, rows: Tensor) -> None:
        """Starts the codes from the first batch, moves them to unused latents, or revives dead ones; counts a step."""
        total = rows.shape[0] * distributed.world_size()
        if self.steps == 0 and self.kmeans_start:
            means, counts = codebook.kmeans(rows, self.codebook_size, self._rng(Stream.START, rows), self._project)
            if not counts.any():  # no latent is finite: the next batch is the first
                return
            # A code with 0 hits, as that of an empty cluster, would be lost in the averages.
            self._replace(torch.ones_like(counts), means, counts.clamp(min=1.0))
        elif self.online_clustering:
            used = self.codebook_size * self.hits / total
            share = torch.exp(-10 / (1 - self.decay) * used - 1e-3)
            self._replace(share, codebook.anchors(self.codes(), rows), self.hits)
        elif self.revive_below > 0:
            if self.steps == 0 and total > self.codebook_size:
                # The hits start at 1, which is few in a batch of many latents: all codes would be replaced unused.
                self._replace(torch.ones_like(self.hits), self.codes(), self.hits.clamp(min=total / self.codebook_size))
            least = torch.full_like(self.hits, self.revive_below * total / self.codebook_size)
            dead = (self.hits < least).float()
            # Asking a GPU whether any code is dead would wait for it.
            if dead.is_cuda or dead.any():
                latents = codebook.draw(rows, self.codebook_size, self._rng(Stream.REVIVAL, rows))
                self.revived += dead.sum()
                self._replace(dead, latents, least)
        self.steps += 1

    def _rng(self, stream: int, rows: Tensor) -> torch.Generator:
        return randomness.generator(rows.device, randomness.run_seed(), stream, self.steps)

    @abstractmethod
    def _replace(self, share: Tensor, codes: Tensor, hits: Tensor) -> None:
        """Moves the learned state towards (K, D) `codes` with (K,) `hits`, by a (K,) share in [0, 1]; 1 replaces it."""

    @abstractmethod
    def _update(self, rows: Tensor, indices: Tensor) -> None:
        """Updates the table by (N, D) latents and their (N,) codes."""
