"""MIND, the Monge Inception Distance: optimal transport along random directions."""

import torch
from torch import Tensor
from torch.nn import functional as F

CHUNK = 100  # directions at once


def mind(generated: Tensor, real: Tensor, directions: int = 1000, seed: int = 0) -> float:
    """Returns 3d/(nM) Σᵢ Σⱼ (sort(uᵢᵀX)ⱼ − sort(uᵢᵀY)ⱼ)² over M random unit vectors u (https://arxiv.org/abs/2605.06797).

    n is the smaller of the two counts: of the larger set so many rows are drawn.

    Args:
        generated: (N, d) features.
        real: (K, d) features.
        directions: M.
        seed: of the directions and of the rows that are drawn.
    """
    return sliced_distance(*draw_for_mind(generated, real, directions, seed))


def draw_for_mind(generated: Tensor, real: Tensor, directions: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the unit vectors (M, d) of `mind` and the rows of either set that it compares, (n, d) float64 each."""
    rng = torch.Generator().manual_seed(seed)
    units = F.normalize(torch.randn(directions, generated.shape[1], generator=rng, dtype=torch.float64), dim=1)
    count = min(len(generated), len(real))
    first, second = (
        features.double()
        if len(features) == count
        else features.double()[torch.randperm(len(features), generator=rng)[:count]]
        for features in (generated, real)
    )
    return units.to(generated.device), first, second


def sliced_distance(units: Tensor, first: Tensor, second: Tensor) -> float:
    """Returns the formula of `mind` of (M, d) unit vectors and (n, d) rows."""
    total = torch.zeros((), dtype=torch.float64, device=first.device)
    for part in units.split(CHUNK):
        one, other = (torch.sort(part @ features.T, dim=1).values for features in (first, second))
        total += (one - other).square().sum()
    return float(3 * first.shape[1] * total / (len(first) * len(units)))
