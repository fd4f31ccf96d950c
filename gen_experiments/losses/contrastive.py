"""Contrastive losses."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from gen_experiments.precision import at_least_float32


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """Returns the PatchNCE loss of CUT (https://arxiv.org/abs/2007.15651, equation 3).

    Each place of a translation is classified as the same place of its source, among all places of that source: mean
    over images and places i of −log(exp(qᵢ·kᵢ / τ) / Σⱼ exp(qᵢ·kⱼ / τ)). The keys get no gradient. It is computed at
    least in float32, also under autocast: a small τ enlarges the rounding errors of bfloat16.

    Args:
        queries: (B, N, D) features of N places of translations, each of length one.
        keys: (B, N, D) features of the same places of the sources, each of length one.
        temperature: τ.

    Returns:
        A scalar.
    """
    with torch.autocast(queries.device.type, enabled=False):
        products = at_least_float32(queries) @ at_least_float32(keys.detach()).transpose(
            1, 2
        )  # (B, N, N), a row for each i
    similarities = products / temperature
    targets = torch.arange(keys.shape[1], device=keys.device).repeat(len(keys))
    return cross_entropy(similarities.flatten(0, 1), targets)
