"""Lookup-free quantization: the signs of the channels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.errors import check_interval
from gen_experiments.quantizers.base import Quantized, Quantizer
from gen_experiments.quantizers.estimators import straight_through

MAX_BITS = 24


class LFQ(Quantizer):
    """The sign of each channel, straight through (https://arxiv.org/abs/2310.05737).

    The loss is β·mean((z − sg(q))²) + λ·(E[H(p)] − γ·H(E[p])), the means over the batch of all processes, where p is
    the softmax of −‖z − c‖²/τ over all codes c in {−1, 1}^D: each latent should be sure of its code, and all together
    should use every code. p is a product over the channels, of which E[H(p)] is a sum, and E[p] one matrix product of
    two halves: no N × 2^D numbers are ever held.

    In a validation H(E[p]) is that of each batch of each process, and smaller than that of all images together. The
    mean of these losses, and `val/loss` with it, is therefore larger for smaller batches (`data.eval_batch_size`): only
    validations in equal batches can be compared by it. No other score depends on the batches.

    Shapes: (B, D, h, w) latents -> (B, D, h, w) values of ±1, (B, h, w) indices in [0, 2^D), the first channel as the
    highest bit.

    Args:
        dim: D, in [1, 24].
        commitment: β; >= 0.
        entropy: λ; >= 0.
        diversity: γ; >= 0.
        temperature: τ; > 0.

    Raises:
        UserError: a number out of range.
    """

    basis: Tensor

    def __init__(
        self,
        dim: int = 10,
        commitment: float = 0.25,
        entropy: float = 0.1,
        diversity: float = 1.0,
        temperature: float = 0.01,
    ) -> None:
        super().__init__()
        check_interval(f"[1, {MAX_BITS}]", dim=dim)
        check_interval("[0, inf)", commitment=commitment, entropy=entropy, diversity=diversity)
        check_interval("(0, inf)", temperature=temperature)
        self.dim = dim
        self.codebook_size = 2**dim
        self.commitment = commitment
        self.entropy = entropy
        self.diversity = diversity
        self.temperature = temperature
        self.register_buffer("basis", 2 ** torch.arange(dim - 1, -1, -1), persistent=False)

    def forward(self, z: Tensor) -> Quantized:
        """Maps (B, D, h, w) latents -> their signs."""
        with torch.autocast(z.device.type, enabled=False):
            grid = z.float().movedim(1, -1)
            positive = grid.detach() > 0
            signs = 2 * positive.float() - 1
            loss = self.commitment * F.mse_loss(grid, signs)
            if self.entropy > 0:
                loss = loss + self.entropy * self._entropy(grid.flatten(0, -2))
            values = straight_through(grid, signs).movedim(-1, 1)
        return Quantized(values.to(z.dtype), (positive * self.basis).sum(-1), loss)

    def decode(self, indices: Tensor) -> Tensor:
        """Maps (B, h, w) int64 -> (B, D, h, w) float32."""
        bits = indices[..., None] // self.basis % 2
        return (2 * bits.float() - 1).movedim(-1, 1)

    def _entropy(self, rows: Tensor) -> Tensor:
        """Returns E[H(p)] − γ·H(E[p]) of (N, D) latents, in nats."""
        logits = 4 / self.temperature * rows
        certainty = (F.softplus(logits) - logits * logits.sigmoid()).sum(1).mean()
        high, low = logits[:, : self.dim // 2], logits[:, self.dim // 2 :]
        mean = _products(high).T @ _products(low) / rows.shape[0]
        if self.training:
            # The value of the global mean, the gradient of the own: averaged over processes, it is the exact one.
            mean = mean + (distributed.all_reduce_sum(mean) / distributed.world_size() - mean).detach()
        return certainty + self.diversity * (mean * mean.clamp(min=1e-12).log()).sum()


def _products(logits: Tensor) -> Tensor:
    """Returns the probabilities (N, 2^d) of all combinations of bits with (N, d) logits, in some order."""
    product = logits.new_ones(logits.shape[0], 1)
    for channel in logits.unbind(1):
        bit = torch.stack([(-channel).sigmoid(), channel.sigmoid()], dim=1)
        product = (product[:, :, None] * bit[:, None, :]).flatten(1)
    return product
