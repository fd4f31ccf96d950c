"""How much recall and coverage vary between samples, without resamples: repeated images would spoil neighbours."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from gen_experiments.metrics.neighbours import CHUNK, radii

GRID, STEPS = 50, 200  # of the mixing distribution


class Deviations(NamedTuple):
    """Standard deviations over samples of as many generated images, for fixed real images."""

    recall: float
    coverage: float


def overlap_deviations(generated: Tensor, real: Tensor, neighbours: int = 3, wide_neighbours: int = 5) -> Deviations:
    """Returns the deviations by a jackknife that does not count together what several images do.

    Without generated image i, dᵢ of the M real images are no longer found. Let the count n of the generated images that
    find a real image have a Poisson distribution of mean λ. Then Σ dᵢ² estimates a sum of λ exp(−λ), over pairs of real
    images that the same generated images find, where the variance of M times the score has exp(−λ) − exp(−2λ). That is
    far less where nearly all are found, each by several; a jackknife is never too small on average (Efron and Stein
    1981, https://doi.org/10.1214/aos/1176345462). So the variance is (r Σ dᵢ² − (Σ dᵢ)²/N)/M². The ratio r of the two
    means is that of the distribution of λ that makes the counts most likely. The last term is due to N, which is fixed.

    Coverage weights n by pairs. For recall, whose balls are not fixed, the formula is an approximation, and each real
    image has the same weight: weights by pairs were tried, and gave intervals that were too wide.

    Args:
        generated: (N, D) features, N > k + 1.
        real: (M, D) features.
        neighbours: k of recall.
        wide_neighbours: k of coverage.
    """
    centre = real.double().mean(0)
    generated, real = generated.double() - centre, real.double() - centre
    (wide,) = radii(real, (wide_neighbours,))
    nearest, recalling, bordering, covering = [], [], [], []
    for start in range(0, len(generated), CHUNK):
        part = generated[start : start + CHUNK]
        others = torch.cdist(part, generated)
        others[range(len(part)), range(start, start + len(part))] = -1  # first, also among equal images
        own = others.topk(neighbours + 2, largest=False)
        nearest.append(own.indices[:, 1:-1].cpu())
        distances = torch.cdist(part, real)
        nearer = torch.searchsorted(own.values[:, 1:].contiguous(), distances)  # generated images before the real one
        recalling.append(_pairs(nearer < neighbours, start))
        bordering.append(_pairs(nearer == neighbours, start))
        covering.append(_pairs(distances.cpu() < wide, start))
    recalls, borders, covers = (torch.cat(pairs, 1) for pairs in (recalling, bordering, covering))
    recalled, covered = (pairs[1].bincount(minlength=len(real)) for pairs in (recalls, covers))
    recall = _recall_changes(recalls, borders, torch.cat(nearest), recalled)
    coverage = covers[0, covered[covers[1]] == 1].bincount(minlength=len(generated))
    return Deviations(
        _deviation(recall, recalled, torch.ones(len(real), dtype=torch.float64)),
        _deviation(coverage, covered, _found_alike(covers, len(generated), len(real))),
    )


def _pairs(which: Tensor, start: int) -> Tensor:
    """Returns the numbers of generated and real images of the pairs: (2, pairs) int64."""
    rows, columns = which.nonzero(as_tuple=True)
    return torch.stack([rows + start, columns]).cpu()


def _recall_changes(recalls: Tensor, borders: Tensor, nearest: Tensor, found: Tensor) -> Tensor:
    """Returns how many real images less are recalled without each generated image: (N,) int64, negative for more.

    Args:
        recalls: (2, pairs), generated images and the real ones in their balls.
        borders: (2, pairs), the same between their k-th and their next neighbour. Without one of the k nearest the ball
            grows and contains them.
        nearest: (N, k), the nearest others of the generated images.
        found: (M,), how many balls contain each real image.
    """
    count = len(found)
    borders = borders[:, found[borders[1]] < 2]
    grown = (nearest[borders[0]] * count + borders[1, :, None]).flatten().unique()
    alone = recalls[:, found[recalls[1]] == 1]
    lost = alone[0, ~torch.isin(alone[0] * count + alone[1], grown)]
    gained = grown[found[grown % count] == 0] // count
    changes: Tensor = lost.bincount(minlength=len(nearest)) - gained.bincount(minlength=len(nearest))
    return changes


def _found_alike(pairs: Tensor, generated: int, real: int) -> Tensor:
    """Returns how many real images are found by the same generated images as each: (M,) float64."""
    codes = torch.randint(2**62, (generated,), generator=torch.Generator().manual_seed(0))
    sums = torch.zeros(real, dtype=torch.int64).index_add_(0, pairs[1], codes[pairs[0]])  # equal for equal sets
    _, numbers, counts = sums.unique(return_inverse=True, return_counts=True)
    return torch.as_tensor(counts[numbers], dtype=torch.float64)


def _deviation(changes: Tensor, found: Tensor, weights: Tensor) -> float:
    """Returns the deviation of a share of M real images from (N,) changes, (M,) counts n and their weights."""
    squares, total = float(changes.square().sum()), float(changes.sum())
    if not squares:
        return 0.0
    rates, shares = mixing_distribution(found, weights)
    once = shares * torch.exp(-rates)
    ratio = float((once * -torch.expm1(-rates)).sum() / (once * rates).sum())
    return math.sqrt(max(ratio * squares - total**2 / len(changes), 0.0)) / len(found)


def mixing_distribution(counts: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the distribution of the means of Poisson variables whose counts are most likely, without a form for it.

    It has masses on a grid, found by EM (Laird 1978, https://doi.org/10.1080/01621459.1978.10480103).

    Args:
        counts: (M,) int64.
        weights: (M,) of the counts.

    Returns:
        (G,) means from 0.05 to a fifth above the largest count, and (G,) shares, float64.
    """
    values, numbers = counts.unique(return_inverse=True)
    observed = torch.zeros(len(values), dtype=torch.float64).index_add_(0, numbers, weights / weights.sum())
    rates = torch.logspace(math.log10(0.05), math.log10(1.2 * max(int(values[-1]), 1)), GRID, dtype=torch.float64)
    likelihoods = torch.exp(torch.xlogy(values[:, None], rates) - rates - torch.lgamma(values[:, None] + 1.0))
    shares = torch.full_like(rates, 1 / GRID)
    for _ in range(STEPS):
        joint = likelihoods * shares
        shares = (observed[:, None] * joint / joint.sum(1, keepdim=True)).sum(0)
    return rates, shares
