"""Pure functions of codebooks: latents of each code, draws from the global batch, k-means.

A global batch is split over the processes by rows, in the order of their ranks; every function takes this process's
rows, must be called by all processes together, and returns the same on each.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gen_experiments import distributed
from gen_experiments.quantizers.nearest import nearest

KMEANS_STEPS = 10  # assignments


def totals(z: Tensor, indices: Tensor, num_codes: int) -> tuple[Tensor, Tensor]:
    """Returns the number and the sum of the rows of each code, over the global batch.

    A code with a row that is not finite counts as having none: such a row would stay in averages forever.

    Args:
        z: (N, D) float32.
        indices: (N,) int64 in [0, num_codes).
        num_codes: K.

    Returns:
        (K,) and (K, D) float32.
    """
    sums = z.new_zeros((num_codes, z.shape[1])).index_add_(0, indices, z)
    sums = distributed.all_reduce_sum(sums)
    finite = sums.isfinite().all(1)
    return hits(indices, num_codes) * finite, torch.where(finite[:, None], sums, 0.0)


def hits(indices: Tensor, num_codes: int) -> Tensor:
    """Returns how many of (N,) indices name each code, over the global batch: (K,) float32."""
    return distributed.all_reduce_sum(_count(indices, num_codes))


def draw(z: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """Draws random rows of the global batch, each once before any is repeated; no process sees the whole batch.

    Numbers that are not finite become 0.

    Args:
        z: (N, D), this process's rows.
        count: rows to draw.
        rng: on the device of `z`, in the same state on all processes.

    Returns:
        (count, D).
    """
    own = z.shape[0]
    order = torch.randperm(own * distributed.world_size(), generator=rng, device=z.device)
    local = order.repeat(-(-count // len(order)))[:count] - own * distributed.rank()
    mine = (local >= 0) & (local < own)
    return distributed.all_reduce_sum(_finite(torch.where(mine[:, None], z[local.clamp(0, own - 1)], 0.0)))


def anchors(codes: Tensor, z: Tensor) -> Tensor:
    """Maps (K, D) codes, (N, D) rows -> (K, D), the row of the global batch nearest to each code; not finite is 0."""
    z = _finite(z)
    own = z[nearest(codes, z)]
    distances = distributed.all_gather_rows((own - codes).square().sum(1)[None])
    mine = distances.argmin(0) == distributed.rank()
    return distributed.all_reduce_sum(torch.where(mine[:, None], own, 0.0))


def kmeans(
    z: Tensor, num_codes: int, rng: torch.Generator, project: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Runs ten steps of Lloyd's algorithm on the global batch from random rows; an empty cluster keeps its mean.

    With more codes than rows, rows are repeated with noise of a hundredth of their spread, and a warning is printed.

    Args:
        z: (N, D) float32, this process's rows.
        num_codes: K.
        rng: on the device of `z`, in the same state on all processes.
        project: maps (K, D) means to the set of allowed codes, for instance the unit sphere.

    Returns:
        (K, D) means, and the (K,) counts of their rows.
    """
    means = draw(z, num_codes, rng)
    rows = z.shape[0] * distributed.world_size()
    if num_codes > rows:
        distributed.warn_once(f"{num_codes} codes start from a first batch of only {rows} latents, repeated with noise")
        noise = torch.randn(means.shape, generator=rng, device=z.device, dtype=z.dtype)
        noise[:rows] = 0.0
        means = project(means + 0.01 * means.std(dim=0, correction=0) * noise)
    for _ in range(KMEANS_STEPS):
        counts, sums = totals(z, nearest(z, means), num_codes)
        means = torch.where(counts[:, None] > 0, project(sums / counts.clamp(min=1.0)[:, None]), means)
    return means, counts


def _finite(rows: Tensor) -> Tensor:
    return rows.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _count(indices: Tensor, num_codes: int) -> Tensor:
    if indices.is_cuda:
        # bincount would wait for the GPU to tell the largest index.
        ones = torch.ones_like(indices, dtype=torch.float32)
        return torch.zeros(num_codes, device=indices.device, dtype=torch.float32).index_add_(0, indices, ones)
    return torch.bincount(indices, minlength=num_codes).float()
