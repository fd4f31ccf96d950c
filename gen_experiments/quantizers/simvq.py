"""A frozen codebook with one trained linear map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gen_experiments.quantizers.estimators import Estimator
from gen_experiments.quantizers.lookup import LookupQuantizer


class SimVQ(LookupQuantizer):
    """Codes C·Wᵀ of a frozen random table C and a trained matrix W (SimVQ, https://arxiv.org/abs/2411.02038).

    A gradient of any code changes W and so all codes: none stays unused. C is drawn from N(0, 1/D); the loss is
    mean((sg(z) − e)²) + β·mean((z − sg(e))²), the means taken over all elements.

    Shapes: (B, D, h, w) latents -> (B, D, h, w) values, (B, h, w) indices in [0, K).

    Args:
        num_codes: K; >= 1.
        dim: D.
        commitment: β, on the term that draws the latents to their codes; >= 0.
        estimator: the gradient of the latents; None is straight through.

    Raises:
        UserError: a number out of range.
    """

    frozen: Tensor

    def __init__(
        self, num_codes: int = 512, dim: int = 64, commitment: float = 0.25, estimator: Estimator | None = None
    ) -> None:
        super().__init__(num_codes, dim, commitment, estimator, cosine=False)
        self.register_buffer("frozen", torch.randn(num_codes, dim) / dim**0.5)
        self.map = nn.Linear(dim, dim, bias=False)

    def codes(self) -> Tensor:
        """Returns the (K, D) table."""
        table: Tensor = self.map(self.frozen)
        return table

    def _loss(self, rows: Tensor, codes: Tensor) -> Tensor:
        return F.mse_loss(codes, rows.detach()) + super()._loss(rows, codes)
