"""A codebook learned by moving averages."""

import torch
from torch import Tensor

from gen_experiments.errors import check_interval
from gen_experiments.quantizers import codebook
from gen_experiments.quantizers.estimators import Estimator
from gen_experiments.quantizers.learned import LearnedCodebook


class EMAQuantizer(LearnedCodebook):
    """Codes are moving averages of their latents (https://arxiv.org/abs/1711.00937, appendix A.1).

    With n the hits of a batch and s the sums of its latents by code, over all processes:
    N ← γN + (1−γ)n, m ← γm + (1−γ)s, e = m/N̂ with N̂ = (N+ε)/(ΣN+Kε)·ΣN. The loss is β·mean((z − sg(e))²), the mean
    taken over all elements, with the codes as they were before the batch.

    Shapes: (B, D, h, w) latents -> (B, D, h, w) values, (B, h, w) indices in [0, K).

    Args:
        num_codes: K; >= 1.
        dim: D.
        decay: γ, per step; in [0, 1).
        commitment: β; >= 0.
        estimator: the gradient of the latents; None is straight through.
        cosine: whether latents and codes are normalised to length one.
        kmeans_start: whether the codes start as the k-means of the first training batch.
        revive_below: a code is replaced by a random latent of the batch when its N falls below this share of its hits
            under equal use of all codes; >= 0, 0 never replaces.
        online_clustering: instead of reviving codes, moves every code towards its nearest latent of the batch, the more
            the less it is used (CVQ, https://arxiv.org/abs/2307.15139).
        eps: ε, in hits; > 0.

    Raises:
        UserError: a number out of range.
    """

    codebook: Tensor
    sums: Tensor

    def __init__(
        self,
        num_codes: int = 512,
        dim: int = 64,
        decay: float = 0.99,
        commitment: float = 0.25,
        estimator: Estimator | None = None,
        cosine: bool = False,
        kmeans_start: bool = True,
        revive_below: float = 0.1,
        online_clustering: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__(
            num_codes, dim, decay, commitment, estimator, cosine, kmeans_start, revive_below, online_clustering
        )
        check_interval("(0, inf)", eps=eps)
        self.eps = eps
        self.register_buffer("codebook", self._initial())
        self.register_buffer("sums", self.codebook.clone())

    def codes(self) -> Tensor:
        """Returns the (K, D) table."""
        return self.codebook

    def _replace(self, share: Tensor, codes: Tensor, hits: Tensor) -> None:
        self.hits.lerp_(hits, share)
        self.codebook.copy_(self._project(self.codebook.lerp(codes, share[:, None])))
        self.sums.lerp_(codes * self._smooth()[:, None], share[:, None])

    def _update(self, rows: Tensor, indices: Tensor) -> None:
        hits, sums = codebook.totals(rows, indices, self.codebook_size)
        self.hits.lerp_(hits, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        torch.div(self.sums, self._smooth()[:, None], out=self.codebook)
        self.codebook.copy_(self._project(self.codebook))

    def _smooth(self) -> Tensor:
        """Returns N̂, (K,)."""
        total = self.hits.sum()
        return (self.hits + self.eps) / (total + self.codebook_size * self.eps) * total
