"""A codebook that learns by gradient, as in the VQ-VAE's paper."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gen_experiments.quantizers.codebook import CodebookQuantizer
from gen_experiments.quantizers.estimators import Estimator


class GradientQuantizer(CodebookQuantizer):
    """Codes are parameters, with the loss mean ‖sg(z) − e‖² + β mean ‖z − sg(e)‖² (https://arxiv.org/abs/1711.00937).

    Args:
        num_codes: K.
        dim: D, the channels of latents and codes.
        commitment: β.
        decay: of the moving average of each code's hits, by which dead codes are known.
        kmeans_start: start from the first batch's k-means; otherwise from N(0, 1/D).
        revive_below: share of the mean number of hits below which a code is replaced; 0 for never.
        estimator: how the gradient passes; None is straight through.
    """

    def __init__(
        self,
        num_codes: int = 512,
        dim: int = 64,
        commitment: float = 0.25,
        decay: float = 0.99,
        kmeans_start: bool = True,
        revive_below: float = 0.1,
        estimator: Estimator | None = None,
    ) -> None:
        super().__init__(num_codes, dim, commitment, decay, kmeans_start, revive_below, estimator)
        self.codes = nn.Parameter(torch.randn(num_codes, dim) / dim**0.5)

    def _code_loss(self, rows: Tensor, codes: Tensor) -> Tensor:
        return F.mse_loss(codes, rows)

    def _move(self, hits: Tensor, sums: Tensor) -> None:
        """The optimizer does it."""

    def _place(self, chosen: Tensor, codes: Tensor, hits: Tensor | float) -> None:
        self.codes.data = torch.where(chosen[:, None], codes, self.codes.data)
