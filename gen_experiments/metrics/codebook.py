"""How much of a codebook is used over all processes: over an epoch, and per batch on average."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from gen_experiments import distributed

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


class BatchPerplexity:
    """Mean of the perplexities of batches of 2,048 consecutive codes, as sonnet's VQ-VAE example reports it.

    It is below the perplexity of all codes together: a few images use fewer codes, and 2,048 codes cannot cover a large
    codebook (https://github.com/google-deepmind/sonnet/blob/v2/examples/vqvae_example.ipynb). Batches are made of the
    codes of all images in their order, whichever process holds them; a last incomplete batch is ignored.
    """

    def __init__(self) -> None:
        self._codes: list[Tensor] = []
        self._places: list[Tensor] = []

    def update(self, indices: Tensor, places: Tensor) -> None:
        """Keeps the codes of B images until `compute`, on their device, in 4 bytes each.

        Args:
            indices: (B, ...) int64 in [0, K).
            places: (B,) int64, the places of the images in the order of all.
        """
        self._codes.append(indices.flatten(1).int())
        self._places.append(places.to(indices.device))

    def compute(self) -> Tensor:
        """Returns the mean over all full batches, float32, NaN if there is none, and forgets the codes.

        All processes must call it, each after an update at least.
        """
        codes, _ = distributed.gather_in_order(self._codes, self._places)
        self._codes, self._places = [], []
        whole = codes.flatten()[: codes.numel() // BATCH_CODES * BATCH_CODES].view(-1, BATCH_CODES)
        values = [perplexity(torch.bincount(batch)) for batch in whole]
        return torch.stack(values).double().mean().float() if values else torch.tensor(math.nan)
