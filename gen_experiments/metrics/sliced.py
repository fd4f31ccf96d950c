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
    source = torch.Generator().manual_seed(seed)
    units = F.normalize(torch.randn(directions, generated.shape[1], generator=source, dtype=torch.float64), dim=1)
    count = min(len(generated), len(real))
    rows = [
        each.double() if len(each) == count else each.double()[torch.randperm(len(each), generator=source)[:count]]
        for each in (generated, real)
    ]
    total = torch.zeros((), dtype=torch.float64, device=generated.device)
    for part in units.to(generated.device).split(CHUNK):
        first, second = (torch.sort(part @ each.T, dim=1).values for each in rows)
        total += (first - second).square().sum()
    return float(3 * generated.shape[1] * total / (count * directions))
