"""How much of one distribution lies within the other, by the nearest neighbours of their features."""

from typing import NamedTuple

import torch
from torch import Tensor

from gen_experiments.errors import UserError

CHUNK = 1024  # rows compared at once


def nearest(queries: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the Euclidean distances (N,) of (N, D) queries to the nearest of (M, D) references, and its row (N,)."""
    # Products of rows far from the origin lose the digits by which near rows differ.
    centre = references.mean(0)
    centred = references - centre
    rows = torch.cat([torch.cdist(part - centre, centred).argmin(dim=1) for part in queries.split(CHUNK)])
    return torch.linalg.vector_norm(queries - references[rows], dim=1), rows


class Overlap(NamedTuple):
    """Scores in [0, 1], except the unbounded density.

    Attributes:
        precision: share of generated images inside a real image's ball: how many look real.
        recall: share of real images inside a generated image's ball: how much of the data is generated.
        density: mean number of real images' balls around a generated image, over k.
        coverage: share of real images with a generated image in their ball.
        inside: (N,) bool, whether each generated image lies in a real image's ball.
        balls: (N,) int64, the number of real images' balls around each generated image.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    inside: Tensor
    balls: Tensor


def overlap(generated: Tensor, real: Tensor, neighbours: int = 3, wide_neighbours: int = 5) -> Overlap:
    """Returns precision and recall (https://arxiv.org/abs/1904.06991), density and coverage (2002.09797).

    An image's ball reaches to its k-th nearest neighbour of its own kind. Precision and recall, equation (1), include
    the surface; density and coverage, equations (5) and (6), do not.

    Args:
        generated: (N, D) features.
        real: (M, D) features.
        neighbours: k of precision and recall; 3 as published.
        wide_neighbours: k of density and coverage; 5 as published.

    Raises:
        UserError: there are not more real, or generated, images than neighbours.
    """
    most = max(neighbours, wide_neighbours)
    if min(len(generated), len(real)) <= most:
        raise UserError(f"{most} neighbours need more than {most} images of either kind: evaluate more")
    # Far from the origin distances lose digits.
    centre = real.double().mean(0)
    generated, real = generated.double() - centre, real.double() - centre
    own = radii(generated, (neighbours,))[0]
    near, wide = radii(real, (neighbours, wide_neighbours))
    parts, recalled, covered = [], torch.zeros(len(real)).bool(), torch.zeros(len(real)).bool()
    for start in range(0, len(generated), CHUNK):
        distances = torch.cdist(generated[start : start + CHUNK], real).cpu()
        within = distances < wide
        parts.append(torch.stack([(distances <= near).any(1), within.sum(1)]))
        covered |= within.any(0)
        recalled |= (distances <= own[start : start + CHUNK, None]).any(0)
    inside, balls = torch.cat(parts, 1)
    return Overlap(
        float(inside.double().mean()),
        float(recalled.double().mean()),
        float(balls.double().mean()) / wide_neighbours,
        float(covered.double().mean()),
        inside.bool(),
        balls,
    )


def radii(rows: Tensor, neighbours: tuple[int, ...]) -> list[Tensor]:
    """Returns the distances of (N, D) rows to their k-th nearest others, (N,) for each k."""
    parts = [torch.cdist(part, rows).topk(1 + max(neighbours), largest=False).values for part in rows.split(CHUNK)]
    sorted_distances = torch.cat(parts).cpu()
    return [sorted_distances[:, k] for k in neighbours]  # the nearest is the row itself
