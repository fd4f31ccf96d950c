"""A codebook learned by gradient."""

import torch.nn.functional as F
from torch import Tensor, nn

from gen_experiments.quantizers import codebook
from gen_experiments.quantizers.estimators import Estimator
from gen_experiments.quantizers.learned import LearnedCodebook


class GradientQuantizer(LearnedCodebook):
    """The VQ-VAE's codebook (https://arxiv.org/abs/1711.00937, equation 3), moved by the optimizer.

    The loss is mean((sg(z) − e)²) + β·mean((z − sg(e))²), the means taken over all elements.

    Shapes: (B, D, h, w) latents -> (B, D, h, w) values, (B, h, w) indices in [0, K).

    Args:
        num_codes: K; >= 1.
        dim: D.
        commitment: β, on the term that draws the latents to their codes; >= 0.
        estimator: the gradient of the latents; None is straight through.
        cosine: whether latents and codes are normalised to length one.
        kmeans_start: whether the codes start as the k-means of the first training batch.
        revive_below: a code is replaced by a random latent of the batch when its average of hits (decay 0.99) falls
            below this share of its hits under equal use of all codes; >= 0, 0 never replaces.
        online_clustering: instead of reviving codes, moves every code towards its nearest latent of the batch, the more
            the less it is used (CVQ, https://arxiv.org/abs/2307.15139).

    Raises:
        UserError: a number out of range.
    """

    def __init__(
        self,
        num_codes: int = 512,
        dim: int = 64,
        commitment: float = 0.25,
        estimator: Estimator | None = None,
        cosine: bool = False,
        kmeans_start: bool = True,
        revive_below: float = 0.1,
        online_clustering: bool = False,
    ) -> None:
        super().__init__(
            num_codes, dim, 0.99, commitment, estimator, cosine, kmeans_start, revive_below, online_clustering
        )
        self.codebook = nn.Parameter(self._initial())

    def codes(self) -> Tensor:
        """Returns the (K, D) table."""
        # A copy: a revival must not change what normalisation has saved for the backward pass.
        return self._project(self.codebook.clone()) if self.cosine else self.codebook

    def _loss(self, rows: Tensor, codes: Tensor) -> Tensor:
        return F.mse_loss(codes, rows.detach()) + super()._loss(rows, codes)

    def _replace(self, share: Tensor, codes: Tensor, hits: Tensor) -> None:
        self.hits.lerp_(hits, share)
        self.codebook.lerp_(codes, share[:, None])

    def _update(self, rows: Tensor, indices: Tensor) -> None:
        self.hits.lerp_(codebook.hits(indices, self.codebook_size), 1 - self.decay)
