"""Whether generated images are copies of training images."""

import math

import torch
from torch import Tensor

CHUNK = 1024  # queries compared at once


def nearest(queries: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the Euclidean distances (N,) of (N, D) queries to the nearest of (M, D) references, and these (N,)."""
    found = [torch.cdist(part, references).min(dim=1) for part in queries.split(CHUNK)]
    return torch.cat([part.values for part in found]), torch.cat([part.indices for part in found])


def near_copies(generated: Tensor, held_out: Tensor, share: float) -> Tensor:
    """Returns which generated images lie nearer to a training image than all but `share` of the held-out images do.

    Of images that were not copied, about `share` are so by construction: held-out images are as near to the training
    images as unseen ones can be (the comparison of https://arxiv.org/abs/2004.05675 with a held-out set).

    Args:
        generated: (N,) distances of generated images to their nearest training images.
        held_out: (M,) the same of real images that were not trained on.
        share: in (0, 1).

    Returns:
        (N,) bool.
    """
    return generated < torch.quantile(held_out, share)


def wilson_interval(count: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """Returns Wilson's 95% confidence interval of a proportion (https://doi.org/10.1080/01621459.1927.10502953).

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), p = count / total, n = total.
    """
    p, square = count / total, z * z / total
    centre, half = p + square / 2, z * math.sqrt(p * (1 - p) / total + square / (4 * total))
    return (centre - half) / (1 + square), (centre + half) / (1 + square)
