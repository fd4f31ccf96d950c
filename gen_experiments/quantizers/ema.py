"""A codebook of moving averages."""

import torch
from torch import Tensor

from gen_experiments.quantizers.codebook import CodebookQuantizer
from gen_experiments.quantizers.estimators import Estimator


class EMAQuantizer(CodebookQuantizer):
    """Each code is the moving average of the latents that chose it (https://arxiv.org/abs/1711.00937, appendix A.1).

    N ← γN + (1−γ)n, m ← γm + (1−γ)Σz, e = m/N̂ with N̂ = (N+ε)/(ΣN+Kε)·ΣN, where n and Σz are summed over all processes
    first. The loss is β mean ‖z − sg(e)‖².

    Args:
        num_codes: K.
        dim: D, the channels of latents and codes.
        commitment: β.
        decay: γ, per training step.
        kmeans_start: start from the first batch's k-means; otherwise from N(0, 1/D).
        revive_below: share of the mean number of hits below which a code is replaced; 0 for never.
        estimator: how the gradient passes; None is straight through.
        epsilon: ε, Laplace smoothing of the hits.
    """

    sums: Tensor

    def __init__(
        self,
        num_codes: int = 512,
        dim: int = 64,
        commitment: float = 0.25,
        decay: float = 0.99,
        kmeans_start: bool = True,
        revive_below: float = 0.1,
        estimator: Estimator | None = None,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__(num_codes, dim, commitment, decay, kmeans_start, revive_below, estimator)
        self.epsilon = epsilon
        codes = torch.randn(num_codes, dim) / dim**0.5
        self.register_buffer("codes", codes)
        self.register_buffer("sums", codes.clone())

    def _code_loss(self, rows: Tensor, codes: Tensor) -> float:
        return 0.0

    def _move(self, hits: Tensor, sums: Tensor) -> None:
        self.sums.mul_(self.decay).add_(sums, alpha=1 - self.decay)
        total = self.hits.sum()
        smoothed = (self.hits + self.epsilon) / (total + self.codebook_size * self.epsilon) * total
        # A new tensor: the old codes are still needed by the backward pass.
        self.codes = self.sums / smoothed[:, None]

    def _place(self, chosen: Tensor, codes: Tensor, hits: Tensor | float) -> None:
        self.codes = torch.where(chosen[:, None], codes, self.codes)
        sums = codes * (hits[:, None] if isinstance(hits, Tensor) else hits)
        self.sums = torch.where(chosen[:, None], sums, self.sums)
