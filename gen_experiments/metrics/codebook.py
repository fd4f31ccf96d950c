"""How much of a codebook is used: over an epoch and all processes, and per batch on average."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

BATCH_CODES = 2048  # of a batch of sonnet's CIFAR-10 example: 32 images of 8x8 codes


def perplexity(counts: Tensor) -> Tensor:
    """Returns exp(−Σ p log p) of the codes' frequencies p: (K,) counts -> scalar in [1, K]; K for equal use."""
    p = counts.double() / counts.sum()
    value: Tensor = torch.special.entr(p).sum().exp()
    return value.float()


def usage(counts: Tensor) -> Tensor:
    """Returns the share of codes that occurred at least once: (K,) counts -> scalar in [0, 1]."""
    return (counts > 0).double().mean().float()


def entropy_bits(codes: Tensor, grids: Sequence[tuple[int, int]]) -> list[float]:
    """Returns for each level the bits per image of an ideal coder that knows the frequencies of the level's codes.

    Args:
        codes: (N, ...) int64.
        grids: (h, w) of each level, in the order of an image's codes.

    Returns:
        h·w·H for each level, where H is the entropy of its codes in bits.
    """
    levels = codes.flatten(1).split([height * width for height, width in grids], dim=1)
    return [level.shape[1] * math.log2(float(perplexity(torch.bincount(level.flatten())))) for level in levels]


class CodebookUsage(Metric):
    """Counts how often each code occurs, over batches and processes. `compute` returns the (K,) int64 counts.

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


class BatchPerplexity(Metric):
    """Mean of the perplexities of batches of 2,048 consecutive codes, as sonnet's VQ-VAE example reports it.

    It is below the perplexity of all codes together: a few images use fewer codes, and 2,048 codes cannot cover a large
    codebook (https://github.com/google-deepmind/sonnet/blob/v2/examples/vqvae_example.ipynb). Batches are made of
    each process's codes in their order; a last incomplete batch is ignored. `compute` returns a float32 scalar, NaN
    without a full batch.
    """

    full_state_update = False
    total: Tensor
    batches: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(()), dist_reduce_fx="sum")
        self.add_state("batches", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")
        self._waiting: Tensor | None = None  # codes of a batch that is not full yet

    def update(self, indices: Tensor) -> None:
        """Counts codes of any shape, int64 in [0, K)."""
        codes = indices.flatten() if self._waiting is None else torch.cat([self._waiting, indices.flatten()])
        full = codes.numel() - codes.numel() % BATCH_CODES
        for batch in codes[:full].view(-1, BATCH_CODES):
            self.total += perplexity(torch.bincount(batch))
            self.batches += 1
        self._waiting = codes[full:]

    def compute(self) -> Tensor:
        """Returns the mean over the batches of all processes."""
        return (self.total / self.batches).float()

    def reset(self) -> None:
        """Resets all counts."""
        super().reset()
        self._waiting = None
