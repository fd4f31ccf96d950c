"""How much of a codebook is used: counts over an epoch and all processes."""

import torch
from torch import Tensor
from torchmetrics import Metric


def perplexity(counts: Tensor) -> Tensor:
    """Returns exp(−Σ p log p) of the codes' frequencies p: (K,) counts -> scalar in [1, K]; K for equal use."""
    p = counts.double() / counts.sum()
    value: Tensor = torch.special.entr(p).sum().exp()
    return value.float()


def usage(counts: Tensor) -> Tensor:
    """Returns the share of codes that were met at least once: (K,) counts -> scalar in [0, 1]."""
    return (counts > 0).double().mean().float()


class CodebookUsage(Metric):
    """Counts how often each code is met, over batches and processes. `compute` gives the (K,) int64 counts.

    Args:
        codebook_size: K.
    """

    full_state_update = False
    counts: Tensor

    def __init__(self, codebook_size: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(codebook_size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, indices: Tensor) -> None:
        """Counts codes of any shape, int64 in [0, K)."""
        self.counts += torch.bincount(indices.flatten(), minlength=self.counts.numel())

    def compute(self) -> Tensor:
        """Returns the counts."""
        return self.counts
